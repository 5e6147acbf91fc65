/**
 * One connection, shared by all callers: dialled when the first caller needs it, and dialled anew after it broke.
 *
 * - Callers that need it while it is being dialled wait for that dial, and all get its result.
 * - A dial that fails is removed before its waiters get the failure: the next caller dials again.
 * - A connection that was discarded is never used again. It is closed at once, in the background.
 * - A caller that is interrupted while it waits stops waiting at once. A dial that has begun goes on, as other callers
 *   may use it.
 * - After a failed dial the next one is delayed by the {@link Lifetime.dialBackoff}. Callers that arrive in the
 *   meantime wait too, and one dial serves them all. Each failed dial takes one step of the `dialBackoff`. A connection
 *   that broke before it was healthy counts as a failed dial. After a healthy connection the next dial is made at once.
 * - At its maximum age, or when it was idle for long, it takes no more calls, finishes the calls in flight and is
 *   closed; the next caller dials anew.
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
import { identity, type LazyArg } from "effect/Function"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Result from "../internal/result.js"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../InvalidOption.js"
import * as internal from "./connection/connection.js"
import type { Connection, Dialled } from "./connection/model.js"

export type { Connection, Dialled } from "./connection/model.js"

/**
 * How a connection is redialled, replaced and closed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lifetime {
  /**
   * The delays after failed dials; a schedule that ends starts over. Default 100 ms, then 1.5 times as long each time,
   * at most 1 second: as the default delays between attempts, so that the attempts of one call do not wait for their
   * dials.
   */
  readonly dialBackoff?: Schedule.Schedule<unknown> | undefined
  /**
   * A connection that lasted this long counts as healthy, also when {@link Dialled.healthy} was not run; zero is
   * allowed. Default 10 seconds.
   */
  readonly healthyAfter?: Duration.DurationInput | undefined
  /**
   * Closes the connection when it was not used for this long, or at the latest after twice as long. Default never.
   */
  readonly idleTimeout?: Duration.DurationInput | undefined
  /** Replaces the connection at this age, give or take a tenth. Default never. */
  readonly maxAge?: Duration.DurationInput | undefined
  /** How long the end of the scope waits for the calls in flight. Default 0: they fail at once. */
  readonly drainTimeout?: Duration.DurationInput | undefined
}

/**
 * Makes a connection that lives as long as the scope it is made in.
 *
 * A dial runs in the context that the connection was made in. Its failure is the failure of all callers that wait for
 * it; turn an interruption that comes from outside into a `Retryable`, or they are interrupted.
 *
 * Throws `InvalidOption` for an invalid duration.
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
    /** Opens the connection, in a scope of its own that closes when the connection is discarded. */
    readonly dial: (dialled: Dialled) => Effect.Effect<A, E, R>
    /**
     * Makes the error for callers that use the connection after the end of the scope, or wait for it at that moment.
     */
    readonly closed: LazyArg<E>
    /** The name under which `RpcRetry.inspect` shows the connection. Default `"connection"`. */
    readonly name?: string | undefined
    /**
     * Makes the error of a caller whose dial was delayed by the `dialBackoff` and then failed, from the failure of the
     * dial and the delay. Default: the failure of the dial unchanged, as callers get it that did not wait.
     */
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
 * Checks the options of a {@link Lifetime} and fills in their defaults; the error names the option that is invalid. It
 * is for transports, which name themselves in `where`.
 *
 * @since 0.1.0
 * @category validation
 */
export const checkLifetime = (where: string, options: Lifetime) =>
  Result.gen(function*() {
    const optional = (field: "idleTimeout" | "maxAge") => {
      const input = options[field]
      return input === undefined ? Result.succeed(undefined) : checkDuration(where, field, input)
    }
    const schedule = options.dialBackoff ?? dialBackoff
    if (!Schedule.isSchedule(schedule)) {
      return yield* Result.fail(
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
