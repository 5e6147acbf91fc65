/**
 * The version of this package, for what copies of it in one process must not share.
 *
 * @internal
 */

/** The version of the package, as in `package.json`. @internal */
export const version = "0.1.0"

/**
 * Returns a key of a context that holds a value with functions inside. Effect keeps the default of a reference once for
 * each key in a process, and a value that one version of this package has put in a context may lack what another one
 * calls. So copies of different versions do not see it of each other. References with plain values, such as the
 * deadline, have keys without a version: copies share these.
 *
 * @internal
 */
export const versioned = (key: string): string => `${key}@${version}`
