/**
 * One connection, shared by all callers: dialled when the first one asks, dialled anew after it broke.
 *
 * - Callers that ask while it is being dialled wait for that dial, and all get its result.
 * - A dial that fails is forgotten before its waiters hear of it: who asks next dials again.
 * - A connection that was discarded is never given out again. It is closed at once, in the background.
 * - A caller that is interrupted while it waits leaves at once. A dial that has begun goes on: it is the connection's, not
 *   the caller's.
 * - After a dial that failed, the next one waits for the `dialBackoff`, and so do those who ask in the meantime; one dial
 *   serves them all. Each dial that fails takes one step of the `dialBackoff`. A connection that broke before it was
 *   healthy counts as a dial that failed. After one that was healthy the next dial is made at once.
 * - At its maximum age, or when it was not used for long, it takes no more calls, finishes those it has and is closed; who
 *   asks next dials anew.
 *
 * ```
 * idle -> connecting -> ready -> draining -> idle
 *              |          |
 *              +-> broken <+ -> connecting -> ...           closed: from any of them, for good
 * ```
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity, type LazyArg } from "effect/Function"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { State } from "../Connections.js"
import type { Progress } from "../Deadline.js"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../InvalidOption.js"
import * as internal from "./internal/connection.js"

/**
 * @since 0.1.0
 * @category models
 */
export interface Connection<out A, out E> {
  /**
   * Gives the connection, dialled if need be, to the function for as long as its effect runs.
   *
   * - `progress`: of the request that waits for the connection. While it waits it is told how the last dial failed.
   */
  readonly use: <B, E2, R>(
    f: (connection: A) => Effect.Effect<B, E2, R>,
    options?: { readonly progress?: Progress | undefined }
  ) => Effect.Effect<B, E | E2, R>
  /** How it is now. */
  readonly state: Effect.Effect<State>
  /** How it is and becomes; the stream ends when it is closed. */
  readonly states: Stream.Stream<State>
  /** Takes no more calls, and ends when those that are running have ended and the connection is closed. */
  readonly close: Effect.Effect<void>
}

/**
 * What a dial is given of the connection it opens.
 *
 * - `discard`: to be run as soon as the connection is known to be broken, and before anybody who uses it is told.
 * - `healthy`: to be run when the peer has answered for the first time: the next dial then need not wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dialled {
  readonly discard: Effect.Effect<void>
  readonly healthy: Effect.Effect<void>
}

/**
 * How a connection is kept.
 *
 * - `dialBackoff`: the delays after dials that failed; a schedule that ends begins again. Default 100 ms, then 1.5 times as
 *   long each time, at most 1 second: as the default delays between attempts, so that the attempts of one call do not wait for their dials.
 * - `healthyAfter`: a connection that lasted this long was healthy, also when `healthy` was not run. Default 10 seconds.
 * - `idleTimeout`: it is closed when nobody used it for this long, or at the latest after twice as long. Default never.
 * - `maxAge`: it is replaced when it is this old, give or take a tenth. Default never.
 * - `drainTimeout`: how long the end of the scope waits for those who use it. Default 0: they are told at once.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lifetime {
  readonly dialBackoff?: Schedule.Schedule<unknown> | undefined
  readonly healthyAfter?: Duration.DurationInput | undefined
  readonly idleTimeout?: Duration.DurationInput | undefined
  readonly maxAge?: Duration.DurationInput | undefined
  readonly drainTimeout?: Duration.DurationInput | undefined
}

/**
 * Makes a connection that lives as long as the scope it is made in.
 *
 * - `dial`: opens it, in a scope of its own that closes when it is discarded.
 * - `closed`: the error for a caller that asks after the end of the scope, or is waiting at that moment.
 * - `name`: under which `RpcRetry.inspect` shows it. Default `"connection"`.
 * - `afterWait`: what a caller is told when the dial failed that the `dialBackoff` had held back for so long. Default the failure of
 *   the dial, as it is told to those who did not wait.
 *
 * A dial sees the context that the connection was made in. Its failure is the failure of all who wait for it; make a
 * `Retryable` of an interruption that comes from outside, or they are interrupted.
 *
 * Throws `InvalidOption` for a duration that is none.
 *
 * @example
 * ```ts
 * import { Retryable } from "effect-rpc-retry"
 * import * as Connection from "effect-rpc-retry/Connection"
 * import * as Effect from "effect/Effect"
 *
 * declare const connect: (onClose: () => void) => Promise<{ ask(question: string): Promise<string>; close(): void }>
 *
 * const unavailable = () => new Retryable({ reason: "Unavailable", delivery: "NotSent" })
 * const lost = () => new Retryable({ reason: "ConnectionLost", delivery: "Unknown" })
 *
 * const program = Effect.gen(function*() {
 *   const connection = yield* Connection.make({
 *     dial: ({ discard }) =>
 *       Effect.acquireRelease(
 *         Effect.tryPromise({ try: () => connect(() => Effect.runSync(discard)), catch: unavailable }),
 *         (client) => Effect.sync(() => client.close())
 *       ),
 *     closed: unavailable,
 *     maxAge: "10 minutes"
 *   })
 *   return yield* connection.use((client) => Effect.tryPromise({ try: () => client.ask("?"), catch: lost }))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <A, E, R>(
  options: Lifetime & {
    readonly dial: (dialled: Dialled) => Effect.Effect<A, E, R>
    readonly closed: LazyArg<E>
    readonly name?: string | undefined
    readonly afterWait?: ((error: E, waited: Duration.Duration) => E) | undefined
  }
): Effect.Effect<Connection<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> => {
  const where = "Connection.make"
  const { dial, closed, name, afterWait } = options
  orThrow(checkKnown(where, options, ["dial", "closed", "name", "afterWait", ...internal.lifetimeFields]))
  return internal.make({
    dial,
    closed,
    name: name ?? "connection",
    afterWait: afterWait ?? identity,
    ...orThrow(checkLifetime(where, options))
  })
}

/**
 * The options of a lifetime with their defaults, or what is wrong with them; for transports, which name themselves in
 * `where`.
 *
 * @since 0.1.0
 * @category validation
 */
export const checkLifetime = (where: string, options: Lifetime) =>
  Either.gen(function*() {
    const optional = (field: "idleTimeout" | "maxAge") => {
      const input = options[field]
      return input === undefined ? Either.right(undefined) : checkDuration(where, field, input)
    }
    const schedule = options.dialBackoff ?? dialBackoff
    if (!Schedule.isSchedule(schedule)) {
      return yield* Either.left(
        new InvalidOption({ where, field: "dialBackoff", problem: `must be a Schedule, got ${String(schedule)}` })
      )
    }
    return {
      dialBackoff: schedule,
      healthyAfter: yield* checkDuration(where, "healthyAfter", options.healthyAfter ?? "10 seconds", { zero: true }),
      idleTimeout: yield* optional("idleTimeout"),
      maxAge: yield* optional("maxAge"),
      drainTimeout: yield* checkDuration(where, "drainTimeout", options.drainTimeout ?? 0, { zero: true })
    }
  })

const dialBackoff: Schedule.Schedule<unknown> = Schedule.union(
  Schedule.exponential("100 millis", 1.5),
  Schedule.spaced("1 second")
)
