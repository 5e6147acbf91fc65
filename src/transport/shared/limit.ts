/**
 * Limits on an answer: its bytes, and the memory that it takes once it is decoded.
 *
 * @internal
 */

/**
 * A limit on one frame or body.
 *
 * - `bytes`: the most it may have.
 * - `option`: the name of the option that says so, for messages.
 *
 * @internal
 */
export interface Limit {
  readonly bytes: number
  readonly option: string
}

/** The default limit of one frame: that of gRPC, 4 MiB. @internal */
export const defaultBytes = 4 * 1024 * 1024

/** The memory that is always allowed, in bytes: a small answer may take many times its size. */
const leastMemory = 1024 * 1024

/**
 * Returns the most memory that a decoded frame may take, in bytes: 3.5 times the limit of the frame. The frame itself
 * takes up to twice its bytes while it is read, and a schema that is applied in parts copies the decoded value, so that
 * an answer of a transport needs at most 10 times the limit, garbage not counted.
 *
 * @internal
 */
export const memoryOf = (bytes: number): number => Math.max(3.5 * bytes, leastMemory)

/** Describes a frame with more bytes than the limit. @internal */
export const tooLong = (what: string, { bytes, option }: Limit): string =>
  `${what} of more than ${bytes} bytes: see ${option}`

/** Describes a frame that would take more memory than the limit. @internal */
export const tooMuch = ({ bytes, option }: Limit): string =>
  `too large for memory, of which it would take more than ${memoryOf(bytes)} bytes: see ${option}`

/**
 * The largest frame that is skipped, in bytes: 1 GiB. A frame over the limit is skipped up to this size, so that the
 * other calls on the connection go on.
 *
 * @internal
 */
export const maxSkipped = 1024 * 1024 * 1024
