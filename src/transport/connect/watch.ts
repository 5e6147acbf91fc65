/**
 * Lets the transports of `ConnectNode` report to an attempt what they have written. Other transports report nothing.
 *
 * @internal
 */
import type { Transport } from "@connectrpc/connect"
import type { Progress } from "../../Deadline.js"

/** Starts a request within reach of the progress of its attempt. @internal */
export type Watch = <A>(progress: Progress, start: () => A) => A

const watches = new WeakMap<Transport, Watch>()

/** @internal */
export const register = (transport: Transport, watch: Watch): Transport => {
  watches.set(transport, watch)
  return transport
}

/** Returns how to watch a transport; `undefined` when it reports nothing. @internal */
export const of = (transport: Transport): Watch | undefined => watches.get(transport)
