/**
 * A dispatcher of undici that has a pool of connections for each origin.
 *
 * @internal
 */
import type * as Undici from "@effect/platform-node/Undici"
import undici from "@effect/platform-node/Undici"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Tls from "node:tls"
import type { Registry } from "../../../Connections.js"
import * as Runtime from "../../../internal/effect/runtime.js"
import * as Result from "../../../internal/result.js"
import { type Handler, type Options, Origin, PendingRequest, poolClosed, type Shared } from "./origin.js"

/** Returns whether undici is available. Bun replaces a part of it, whose dispatchers make no requests. @internal */
export const isSupported = (): boolean => Predicate.isFunction(undici.Dispatcher.prototype.request)

/** Checks the options with undici and Node, without connecting. @internal */
export const validate = (options: Options): Result.Result<void, string> =>
  Result.try({
    try: () => {
      if (Predicate.isRecord(options.connect)) {
        Tls.createSecureContext(options.connect as Tls.SecureContextOptions)
      }
      // an unused client opens no connection
      void new undici.Client("http://127.0.0.1", options)
    },
    catch: (error) => `is not usable: ${error instanceof Error ? error.message : String(error)}`
  })

/** @internal */
export class PoolDispatcher extends undici.Dispatcher {
  private readonly origins = new Map<string, Origin>()
  private readonly shared: Shared
  private destroyed = false

  constructor(
    options: Options,
    private readonly registry: Registry,
    private readonly runner: Runtime.Runner,
    clock: Clock.Clock
  ) {
    super()
    this.shared = { options, clock }
  }

  override dispatch(options: Undici.Dispatcher.DispatchOptions, handler: Handler): boolean {
    if (this.destroyed) {
      throw poolClosed()
    }
    const name = String(options.origin)
    const origin = this.origins.get(name) ?? this.enter(name)
    new PendingRequest(options, handler, origin).begin()
    return true
  }

  override destroy(): Promise<void> {
    this.destroyed = true
    const origins = Array.from(this.origins.values())
    origins.forEach((origin) => this.leave(origin))
    return Promise.all(origins.map((origin) => origin.destroy())).then(() => undefined)
  }

  private enter(name: string): Origin {
    this.sweep()
    const origin = new Origin(name, this.shared)
    this.origins.set(name, origin)
    Runtime.fork(this.runner)(
      Scope.extend(this.registry.add(Effect.sync(() => origin.status)), origin.scope)
    )
    return origin
  }

  private leave(origin: Origin): void {
    this.origins.delete(origin.name)
    Runtime.fork(this.runner)(Scope.close(origin.scope, Exit.void))
  }

  /** Removes unused origins when a new one is added, so that at most one more is kept than is in use. */
  private sweep(): void {
    this.origins.forEach((origin) => {
      if (origin.unused) {
        this.leave(origin)
      }
    })
  }
}
