/**
 * The ambient values of a call: its deadline, the number of the current attempt and its idempotency key. Also how a
 * transport reports whether an attempt has sent its request.
 *
 * The values are `Context.Reference`s: reading one needs nothing in `R`, and forked fibers inherit them. The transports
 * of this package send them where the protocol has a place for them, and your own transport can do the same.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import { read } from "./internal/ambient/context.js"
import * as monotonic from "./internal/ambient/monotonic.js"
import * as progress from "./internal/ambient/progress.js"
import { checkDuration, orThrow } from "./InvalidOption.js"

/**
 * The number of the current attempt. The first one is 1. Outside a call it is 1.
 *
 * @example
 * ```ts
 * import { Deadline, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.flatMap(Deadline.CurrentAttempt, (attempt) => Effect.log(`attempt ${attempt}`)).pipe(
 *   withRpcRetry
 * )
 * ```
 *
 * @since 0.1.0
 * @category references
 */
export class CurrentAttempt extends Context.Reference<CurrentAttempt>()("effect-rpc-retry/Deadline/CurrentAttempt", {
  defaultValue: () => 1
}) {}

/**
 * The deadline in force, in milliseconds on the clock of {@link now}; `Infinity` when there is none. {@link within} and
 * the `deadline` of a policy set it. Of two deadlines the earlier one applies.
 *
 * @since 0.1.0
 * @category references
 */
export class CurrentDeadline extends Context.Reference<CurrentDeadline>()("effect-rpc-retry/Deadline/CurrentDeadline", {
  defaultValue: () => Infinity
}) {}

/**
 * The idempotency key of the current call. All attempts of a call have the same key, so that a server can recognise a
 * repeated request. `None` unless the option `idempotencyKey` of the call asks for one.
 *
 * @example
 * ```ts
 * import { Deadline, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * declare const post: (headers: Record<string, string>) => Effect.Effect<void, Retryable>
 *
 * const placeOrder = Deadline.IdempotencyKey.pipe(
 *   Effect.map(Option.match({ onNone: () => ({}), onSome: (key) => ({ "idempotency-key": key }) })),
 *   Effect.flatMap(post),
 *   withRpcRetry({ method: "Orders.Place", idempotencyKey: true })
 * )
 * ```
 *
 * @since 0.1.0
 * @category references
 */
export class IdempotencyKey extends Context.Reference<IdempotencyKey>()("effect-rpc-retry/Deadline/IdempotencyKey", {
  defaultValue: (): Option.Option<string> => Option.none()
}) {}

/**
 * The attempt number of the incoming call that this work serves: above 1 when the caller, in another process, retries.
 * Set it with `RpcRetry.inheritAttempt`. Default 1. {@link CurrentAttempt} counts the attempts of the outgoing call
 * instead.
 *
 * @since 0.1.0
 * @category references
 */
export class InheritedAttempt
  extends Context.Reference<InheritedAttempt>()("effect-rpc-retry/Deadline/InheritedAttempt", {
    defaultValue: () => 1
  })
{}

/**
 * Returns the time on the clock that deadlines are measured with: milliseconds of the monotonic clock, with up to three
 * decimals. Unlike the wall clock it does not jump when the time is corrected. Use it to measure durations; do not show
 * it, since it drifts from the wall clock.
 *
 * - `clock`: the `Clock` of the running effect.
 *
 * @since 0.1.0
 * @category getters
 */
export const unsafeNow: (clock: Clock.Clock) => number = monotonic.now

/**
 * Returns {@link unsafeNow} of the current `Clock`.
 *
 * @since 0.1.0
 * @category getters
 */
export const now: Effect.Effect<number> = Effect.map(Effect.clock, unsafeNow)

/**
 * Returns the time until the deadline: `None` without a deadline, zero when it has passed.
 *
 * @since 0.1.0
 * @category getters
 */
export const remaining: Effect.Effect<Option.Option<Duration.Duration>> = Effect.flatMap(
  CurrentDeadline,
  (deadline) =>
    deadline === Infinity
      ? Effect.succeedNone
      : Effect.map(now, (now) => Option.some(Duration.millis(Math.max(0, deadline - now))))
)

/**
 * The values of an attempt that a transport sends to the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  /** The idempotency key of the call; `undefined` without one. See {@link IdempotencyKey}. */
  readonly idempotencyKey: string | undefined
  /** The number of attempts of the call before this one. */
  readonly previousAttempts: number
  /** Whole milliseconds until the deadline, at least 1; `undefined` without a deadline. */
  readonly remaining: number | undefined
}

/**
 * Returns the values of the current attempt in the forms that protocols use. Use it to write your own transport.
 *
 * @example
 * ```ts
 * import { Deadline, Fatal, type Retryable, RpcCall } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const send: (body: string, headers: Record<string, string>) => Effect.Effect<string, Retryable | Fatal>
 *
 * const call = (body: string) =>
 *   Effect.flatMap(Deadline.facts, ({ idempotencyKey, previousAttempts, remaining }) =>
 *     send(body, {
 *       ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
 *       ...(previousAttempts === 0 ? {} : { "x-retry-attempt": String(previousAttempts) }),
 *       ...(remaining === undefined ? {} : { "x-timeout-ms": String(remaining) })
 *     })).pipe(RpcCall.make({ method: "Orders.Place" }))
 * ```
 *
 * @since 0.1.0
 * @category getters
 */
export const facts: Effect.Effect<Facts> = Effect.withFiberRuntime(({ currentContext, currentDefaultServices }) => {
  const deadline = read(currentContext, CurrentDeadline, Infinity)
  return Effect.succeed({
    idempotencyKey: Option.getOrUndefined(read(currentContext, IdempotencyKey, noKey)),
    previousAttempts: read(currentContext, CurrentAttempt, 1) - 1,
    remaining: deadline === Infinity
      ? undefined
      : Math.max(1, Math.floor(deadline - unsafeNow(Context.get(currentDefaultServices, Clock.Clock))))
  })
})

const noKey: Option.Option<string> = Option.none()

/**
 * The callbacks with which a transport reports the progress of one request. See {@link whileUnsent}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /**
   * Records why the request could not be sent so far, such as a failed dial. If the attempt times out before the
   * request is written, the error recorded last becomes the `cause` of its `AttemptTimeout`.
   */
  readonly failed: (error: unknown) => void
  /**
   * Must be called right before the first byte of the request is written. Returns `true` when the request may be
   * written. Returns `false` when the attempt has timed out and was reported as not sent: the request must not be
   * written, so fail or wait to be interrupted.
   */
  readonly sending: () => boolean
}

/**
 * Runs one request of a transport, and tells `withRpcRetry` that nothing of it is written yet, from the start of the
 * effect until {@link Progress.sending} is called or the effect ends. An attempt that reaches its timeout or the
 * deadline in that time fails with the delivery `NotSent`, so that it can be retried even if the call must not run
 * twice.
 *
 * Without this function a request is assumed to be sent: an attempt that times out has the delivery `Unknown`. The same
 * holds for an attempt that has sent another request before or in parallel.
 *
 * - `f`: makes the request. It calls `sending` before it writes.
 *
 * @example
 * ```ts
 * import { Deadline, type Fatal, Retryable, RpcCall } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const connect: Effect.Effect<{ send(body: string): Effect.Effect<string, Retryable | Fatal> }, Retryable>
 *
 * const timedOut = new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" })
 *
 * const call = (body: string) =>
 *   Deadline.whileUnsent((progress) =>
 *     connect.pipe(
 *       Effect.tapError((error) => Effect.sync(() => progress.failed(error))),
 *       Effect.retry({ times: 2 }),
 *       Effect.flatMap((connection) => progress.sending() ? connection.send(body) : Effect.fail(timedOut))
 *     )
 *   ).pipe(RpcCall.make({ method: "Orders.Place", idempotent: false }))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const whileUnsent: <A, E, R>(f: (progress: Progress) => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> =
  progress.whileUnsent

/**
 * Gives all calls inside the effect a common deadline, counted from the start of the effect. An earlier deadline that
 * is already in force stays in force.
 *
 * It ends only calls made with `withRpcRetry`. To end other work too, use `Effect.timeout`.
 *
 * Throws `InvalidOption` unless the duration is finite and greater than zero.
 *
 * @example
 * ```ts
 * import { Deadline, type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const user: Effect.Effect<string, Retryable | Fatal>
 * declare const orders: Effect.Effect<Array<string>, Retryable | Fatal>
 *
 * // both calls, with all their retries, within two seconds
 * const page = Effect.all([withRpcRetry(user), withRpcRetry(orders)]).pipe(Deadline.within("2 seconds"))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const within: {
  (duration: Duration.DurationInput): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.DurationInput): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.DurationInput): Effect.Effect<A, E, R> => {
    const millis = Duration.toMillis(orThrow(checkDuration("Deadline.within", "duration", duration)))
    return Effect.flatMap(
      CurrentDeadline,
      (current) =>
        Effect.flatMap(
          now,
          (now) => Effect.provideService(self, CurrentDeadline, Math.min(current, now + millis))
        )
    )
  }
)
