/**
 * How a transport of ours tells an attempt over it what it has written. A transport of somebody else tells nothing.
 *
 * @internal
 */
import type { Transport } from "@connectrpc/connect"
import type { Progress } from "../../Deadline.js"

/** Starts a request, so that the transport finds the progress of the attempt that it is part of. @internal */
export type Watch = <A>(progress: Progress, start: () => A) => A

const watches = new WeakMap<Transport, Watch>()

/** @internal */
export const register = (transport: Transport, watch: Watch): Transport => {
  watches.set(transport, watch)
  return transport
}

/** `undefined` of a transport that tells nothing. @internal */
export const of = (transport: Transport): Watch | undefined => watches.get(transport)
