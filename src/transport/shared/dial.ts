/**
 * Which failures happened while a connection was made, so that nothing of a request can have been written.
 *
 * The failure itself does not say: a TLS handshake that the peer resets fails with the same `read ECONNRESET` as a request
 * that it resets. undici, which is also the `fetch` of Node, and `node:http` tell where it happened on a diagnostics channel, with
 * the very error that the request then fails with. A runtime without these channels tells nothing, and nothing is known there.
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
