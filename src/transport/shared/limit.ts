/**
 * How much of a peer's answer is read: its bytes, and the memory of what is made of them.
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

/** Small limits still allow for what a small answer is made into. */
const leastMemory = 1024 * 1024

/**
 * The most memory, in bytes by estimate, that may be made of one frame: 3.5 times its limit. The frame itself takes up to twice
 * its bytes while it is read, and a schema copies what was made, so that it costs 10 times its limit at most.
 *
 * @internal
 */
export const memoryOf = (bytes: number): number => Math.max(3.5 * bytes, leastMemory)

/** Says that a frame has more bytes than it may. @internal */
export const tooLong = (what: string, { bytes, option }: Limit): string =>
  `${what} of more than ${bytes} bytes: see ${option}`

/** Says what a frame is that would be made into more than it may. @internal */
export const tooMuch = ({ bytes, option }: Limit): string =>
  `too large for memory, of which it would take more than ${memoryOf(bytes)} bytes: see ${option}`

/** A frame over the limit is passed over to its end, so that the others go on, if it has no more bytes than this: 1 GiB. @internal */
export const maxSkipped = 1024 * 1024 * 1024
