/**
 * A dispatcher of undici with one pool for each origin, which is exchanged for a new one when a connection of it fails.
 *
 * @internal
 */
import type * as Undici from "@effect/platform-node/Undici"
import undici from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import * as Tls from "node:tls"
import * as Classify from "../../Classify.js"
import type { Registry, Status } from "../../Connections.js"

/**
 * What undici or Node find wrong with the options, without a connection.
 *
 * @internal
 */
export const validate = (options: Undici.Pool.Options): Either.Either<void, string> =>
  Either.try({
    try: () => {
      if (Predicate.isRecord(options.connect)) {
        Tls.createSecureContext(options.connect as Tls.SecureContextOptions)
      }
      // a client that is never used has no connection
      void new undici.Client("http://127.0.0.1", options)
    },
    catch: (error) => `is not usable: ${error instanceof Error ? error.message : String(error)}`
  })

type Handler = Undici.Dispatcher.DispatchHandler

type Controller = Undici.Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Handler["onResponseStart"]>>[2]

/** It has the methods of a handler; undici's types leave them out. */
const Decorator = undici.DecoratorHandler as unknown as new(handler: Handler) => {
  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void
  onResponseError(controller: Controller, error: Error): void
}

class Watched extends Decorator {
  constructor(
    handler: Handler,
    private readonly heard: () => void,
    private readonly failed: (error: unknown) => void
  ) {
    super(handler)
  }
  override onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void {
    this.heard()
    super.onResponseStart(controller, status, headers, message)
  }
  override onResponseError(controller: Controller, error: Error): void {
    // first: who is told of the failure may ask again at once
    this.failed(error)
    super.onResponseError(controller, error)
  }
}

/** A request that was wrong says nothing of its connection. */
const isConnectionFailure = (error: unknown): boolean => Option.isSome(Classify.systemError(error))

const isGivenUp = (error: unknown): boolean => Option.isSome(Classify.aborted(error))

interface Origin {
  readonly name: string
  readonly scope: Scope.CloseableScope
  /** The pool that new requests go to. */
  pool: Undici.Pool
  /** How many answers have begun. */
  answers: number
  dials: number
  failedDials: number
}

/** @internal */
export class PoolDispatcher extends undici.Dispatcher {
  private readonly origins = new Map<string, Origin>()
  /** All that are not closed yet: of each origin one, and those that were dropped and still have requests in flight. */
  private readonly pools = new Set<Undici.Pool>()
  private destroyed = false

  constructor(
    private readonly options: Undici.Pool.Options,
    private readonly registry: Registry,
    private readonly runtime: Runtime.Runtime<never>
  ) {
    super()
  }

  override dispatch(options: Undici.Dispatcher.DispatchOptions, handler: Handler): boolean {
    if (this.destroyed) {
      throw new undici.errors.ClientDestroyedError()
    }
    const name = String(options.origin)
    const origin = this.origins.get(name) ?? this.enter(name)
    const { answers, pool } = origin
    const watched = new Watched(handler, () => origin.answers++, (error) => {
      // given up, and no one has had an answer since it was made: the connections may lead nowhere
      if (isConnectionFailure(error) || (isGivenUp(error) && origin.answers === answers)) {
        this.drop(origin, pool)
      }
    })
    return pool.dispatch(options, watched as Handler)
  }

  override destroy(): Promise<void> {
    this.destroyed = true
    const pools = Array.from(this.pools)
    this.origins.forEach((origin) => this.leave(origin))
    return Promise.all(pools.map((pool) => pool.destroy())).then(() => undefined)
  }

  private enter(name: string): Origin {
    this.sweep()
    const scope = Effect.runSync(Scope.make())
    const origin: Origin = { name, scope, pool: this.open(name), answers: 0, dials: 0, failedDials: 0 }
    this.count(origin)
    this.origins.set(name, origin)
    Runtime.runFork(this.runtime)(
      Scope.extend(this.registry.add(Effect.sync(() => statusOf(origin))), scope)
    )
    return origin
  }

  private leave(origin: Origin): void {
    this.origins.delete(origin.name)
    Runtime.runFork(this.runtime)(Scope.close(origin.scope, Exit.void))
  }

  private open(name: string): Undici.Pool {
    const pool = new undici.Pool(name, { ...this.options, pipelining: 1, allowH2: false })
    this.pools.add(pool)
    return pool
  }

  private count(origin: Origin): void {
    origin.pool.on("connect", () => {
      origin.dials++
    })
    origin.pool.on("connectionError", () => {
      origin.dials++
      origin.failedDials++
    })
  }

  /** Origins without a connection make room when another one comes: there are never more of them than are in use, and one. */
  private sweep(): void {
    this.origins.forEach((origin) => {
      const { connected, size } = origin.pool.stats
      if (connected === 0 && size === 0) {
        this.leave(origin)
        this.retire(origin.pool)
      }
    })
  }

  /** A failure that belongs to a pool which was dropped already says nothing of the new one. */
  private drop(origin: Origin, pool: Undici.Pool): void {
    if (origin.pool === pool && !this.destroyed) {
      origin.pool = this.open(origin.name)
      this.count(origin)
      this.retire(pool)
    }
  }

  /** What is in flight ends as it would have; what is idle is closed at once. */
  private retire(pool: Undici.Pool): void {
    pool.close(() => this.pools.delete(pool))
  }
}

const statusOf = ({ dials, failedDials, name, pool }: Origin): Status => {
  const { connected, size } = pool.stats
  return {
    name,
    state: connected > 0 ? "ready" : size > 0 ? "connecting" : "idle",
    dials,
    failedDials
  }
}
