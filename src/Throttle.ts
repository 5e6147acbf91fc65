/**
 * Rejects calls at the client while the server accepts few of them.
 *
 * **Why.** To turn a call away costs the server something too, and one that is overloaded enough is kept down by that
 * alone. Each client sees by itself how much is accepted: a throttle lets through about `k` times as much, and rejects
 * the rest before it is sent. There is no threshold at which it trips: it rejects as much as is in excess.
 *
 * **What it does.** Of the calls that were started in the last two minutes, and of those that the server accepted, it
 * makes the probability with which a call is rejected: `(calls - in flight - k x accepts) / (calls + 1)`, at least 0
 * and at most 0.9.
 *
 * - A call counts when it starts, also one that the throttle rejects. While it is in flight it says neither yes nor no,
 *   so that a server that accepts everything is never throttled: not after a start with many calls at once, and not
 *   with long calls.
 * - One a second is always let through, so that a server that recovers is noticed. A client with at most one call a
 *   second is never throttled.
 * - With fewer than 10 calls in the window nothing is rejected.
 * - The last quarter of the window is looked at too, and the lower of the two probabilities holds, so that it ends soon
 *   when the server has recovered.
 * - A rejected call fails at once with `CallRejected`, reason `Throttled`. Nothing was sent.
 *
 * **What counts as accepted.** Everything but the ends that say that the server is not there or has too much to do:
 *
 * | end of the call                                                                                    | counts as                  |
 * | -------------------------------------------------------------------------------------------------- | -------------------------- |
 * | success, `Fatal`, domain error, defect, `Retryable Custom`                                         | accepted                   |
 * | `Retryable` of another reason: `Throttled`, `Unavailable`, `AttemptTimeout`, lost, refused         | not accepted               |
 * | `RetryExhausted`                                                                                   | its `last` error; `CircuitOpen` as not accepted |
 * | `CallRejected CircuitOpen` or `Throttled`, of something inside                                     | not accepted               |
 * | `CallRejected BulkheadFull` or `DeadlineExceeded`; interrupted                                     | no call at all             |
 *
 * **What it never does.** It delays no call, it interrupts none, and it shares nothing with other processes.
 *
 * **Where.** As `throttle` of a policy, `withRpcRetry({ throttle })`, or of `RpcRetry.layer`, which makes one for each
 * destination: then each call passes it before its first attempt. {@link protect} puts one around any effect.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as monotonic from "./internal/ambient/monotonic.js"
import * as internal from "./internal/gate/throttle.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, type InvalidOption, orThrow } from "./InvalidOption.js"
import { CallRejected } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/Throttle"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A throttle: made with {@link make}, used with {@link protect}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Throttle extends Pipeable {
  readonly [TypeId]: TypeId
  /** The probability with which a call is rejected now, from 0 to 0.9. */
  readonly rejecting: Effect.Effect<number>
  /** How many calls were started in the window, those included that were rejected. */
  readonly calls: Effect.Effect<number>
  /** How many calls ended in the window and were accepted. */
  readonly accepts: Effect.Effect<number>
  /** @internal */
  readonly core: internal.Throttle
  /** What it was made with. @internal */
  readonly settings: Valid
}

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isThrottle = (u: unknown): u is Throttle => Predicate.hasProperty(u, TypeId)

/**
 * What {@link make} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * How many calls are sent for each that the server accepts, at least 1.5. Default 2. Less sends less in vain and
   * recovers more slowly; near 1 it would never recover.
   */
  readonly k?: number | undefined
  /**
   * The time that is looked back to, finite and greater than zero. Of calls that time out after a longer time it sees
   * nothing. Default 2 minutes.
   */
  readonly window?: Duration.DurationInput | undefined
}

/**
 * A throttle that has seen nothing yet. Throws `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { type Fatal, type Retryable, Throttle, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const throttle = yield* Throttle.make()
 *   const user = (id: number) => getUser(id).pipe(withRpcRetry, Throttle.protect(throttle))
 *   return yield* Effect.forEach([1, 2, 3], user)
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<Throttle> => {
  const valid = orThrow(validate("Throttle.make", options ?? {}))
  return Effect.sync(() => fromValid(valid))
}

/** @internal */
export interface Valid {
  readonly k: number
  /** In milliseconds. */
  readonly window: number
}

/**
 * The options, or what is wrong with them.
 *
 * @internal
 */
export const validate = (where: string, options: Options): Result.Result<Valid, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, ["k", "window"])
    const k = yield* checkNumber(where, "k", options.k ?? 2, { min: 1.5, max: Number.MAX_VALUE })
    const window = yield* checkDuration(where, "window", options.window ?? "2 minutes")
    return { k, window: Duration.toMillis(window) }
  })

/**
 * Makes a throttle of options that are valid.
 *
 * @internal
 */
export const fromValid = (settings: Valid): Throttle => {
  const core = internal.make(settings.k, settings.window)
  const snapshot = Effect.map(Effect.clock, (clock) => core.snapshot(monotonic.now(clock)))
  return Object.assign(Object.create(Proto), {
    rejecting: Effect.map(snapshot, ({ rejecting }) => rejecting),
    calls: Effect.map(snapshot, ({ calls }) => calls),
    accepts: Effect.map(snapshot, ({ accepts }) => accepts),
    core,
    settings
  })
}

/**
 * Runs an effect unless the throttle rejects it, and tells the throttle how it ended. Rejected, it fails with
 * `CallRejected`, reason `Throttled`, without having run.
 *
 * Put it outside of `withRpcRetry`: it throttles calls, and leaves their retries to the budget.
 *
 * @example
 * ```ts
 * import { type CallRejected, type Fatal, type RetryExhausted, Throttle } from "effect-rpc-retry"
 * import type * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, Fatal | RetryExhausted>
 * declare const throttle: Throttle.Throttle
 *
 * const program: Effect.Effect<string, Fatal | RetryExhausted | CallRejected> = Throttle.protect(call, throttle)
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const protect: {
  (throttle: Throttle): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CallRejected, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, throttle: Throttle): Effect.Effect<A, E | CallRejected, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, { core }: Throttle): Effect.Effect<A, E | CallRejected, R> =>
    Effect.withFiberRuntime((fiber) =>
      internal.through(
        core,
        fiber.currentDefaultServices,
        () => self,
        () => Effect.fail(new CallRejected({ reason: "Throttled" }))
      )
    )
)
