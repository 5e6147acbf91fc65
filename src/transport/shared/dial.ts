/**
 * Tells failures of a dial from failures of a request: nothing of the request was sent when the dial failed.
 *
 * The error itself does not show it: a TLS handshake that the peer resets fails with the same `read ECONNRESET` as a
 * request that it resets. undici, which is also the `fetch` of Node, and `node:http` publish the error of a dial on a
 * diagnostics channel, and the request then fails with the same object. In a runtime without these channels no failure
 * is known to be one of a dial.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"

const dialErrors = new WeakSet<object>()

const note = (error: unknown): void => {
  if (Predicate.isObject(error)) {
    dialErrors.add(error)
  }
}

/** @internal */
export const isDialError = (error: object): boolean => dialErrors.has(error)

interface DiagnosticsChannel {
  readonly subscribe: (channel: string, listener: (message: unknown) => void) => void
}

interface Runtime {
  readonly process?: { readonly getBuiltinModule?: (name: string) => DiagnosticsChannel | undefined }
}

const diagnostics = (globalThis as Runtime).process?.getBuiltinModule?.("node:diagnostics_channel")

const at = (u: unknown, key: string): unknown => Predicate.hasProperty(u, key) ? u[key] : undefined

diagnostics?.subscribe("undici:client:connectError", (message) => note(at(message, "error")))

diagnostics?.subscribe("http.client.request.error", (message) => {
  if (at(at(at(message, "request"), "socket"), "secureConnecting") === true) {
    note(at(message, "error"))
  }
})
