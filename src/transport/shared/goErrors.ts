/**
 * How Go's servers say that they have no such method: the words are all they give, and part of the protocol.
 *
 * @internal
 */
const words = [
  "rpc: can't find service ",
  "rpc: can't find method ",
  "rpc: service/method request ill-formed: "
]

/** @internal */
export const isUnimplemented = (message: string): boolean => words.some((start) => message.startsWith(start))
