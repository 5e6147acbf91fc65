/**
 * The ambient facts of a call: its deadline, the number of the current attempt, its idempotency key; and what an attempt says of
 * itself to who may cut it.
 *
 * They are `Context.Reference`s: reading one needs nothing in `R`, and what an effect forks inherits them. Transports
 * read them and send them where their protocol has a place for them; an attempt of your own can do the same.
 *
 * @since 0.1.0
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as monotonic from "./internal/ambient/monotonic.js"
import * as progress from "./internal/ambient/progress.js"
import { checkDuration, orThrow } from "./InvalidOption.js"

/**
 * The number of the current attempt. The first one is 1, which is also what an effect outside any call reads.
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
 * The deadline in force, in milliseconds on the scale of {@link now}; `Infinity` when there is none. `within` and the `deadline` of a
 * policy set it; of two the earlier one wins.
 *
 * @since 0.1.0
 * @category references
 */
export class CurrentDeadline extends Context.Reference<CurrentDeadline>()("effect-rpc-retry/Deadline/CurrentDeadline", {
  defaultValue: () => Infinity
}) {}

/**
 * The idempotency key of the current call: the same for all its attempts, so that a server can tell a repeated request
 * from a new one. `None` unless the call asks for one with the option `idempotencyKey`.
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
 * The attempt of the call that this work was started by: above 1 when a caller in another process has made it again. Set it
 * with `RpcRetry.inheritAttempt`. It is not `CurrentAttempt`: that one says "I am a retry", this one "my caller is one".
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
 * The time on the scale that deadlines are measured on: milliseconds of the monotonic clock, with up to three decimals. The
 * clock of the wall may jump when it is corrected; this one does not. It starts near the wall's time, but is not it: use it to
 * measure, not to show.
 *
 * - `clock`: the `Clock` of the running effect.
 *
 * @since 0.1.0
 * @category getters
 */
export const unsafeNow: (clock: Clock.Clock) => number = monotonic.now

/**
 * {@link unsafeNow} of the `Clock` in force.
 *
 * @since 0.1.0
 * @category getters
 */
export const now: Effect.Effect<number> = Effect.map(Effect.clock, unsafeNow)

/**
 * The time that remains until the deadline, `None` when there is no deadline; zero, not negative, when it has passed.
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
 * What an attempt has to tell the server of its call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Facts {
  /** The key of the call, the same for all its attempts; `undefined` without one. See {@link IdempotencyKey}. */
  readonly idempotencyKey: string | undefined
  /** How many attempts of the call came before this one. */
  readonly previousAttempts: number
  /** Whole milliseconds until the deadline, at least 1; `undefined` without a deadline. */
  readonly remaining: number | undefined
}

/**
 * The ambient facts of an attempt at once, in the forms that protocols have for them: for a transport of your own.
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
export const facts: Effect.Effect<Facts> = Effect.zipWith(
  Effect.zip(IdempotencyKey, CurrentAttempt),
  remaining,
  ([key, attempt], remaining) => ({
    idempotencyKey: Option.getOrUndefined(key),
    previousAttempts: attempt - 1,
    remaining: Option.getOrUndefined(
      Option.map(remaining, (duration) => Math.max(1, Math.floor(Duration.toMillis(duration))))
    )
  })
)

/**
 * What a transport says of one request while nothing of it is written.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /**
   * Remembers why the request could not be sent so far: a dial that failed, no free connection. If the attempt is cut before
   * the request is written, the last one is the `cause` of its `AttemptTimeout`.
   */
  readonly failed: (error: unknown) => void
  /**
   * To be called right before the first byte of the request is written. `true`: write it. `false`: the attempt was cut in the
   * meantime, and reported as not sent, so it must not be written: fail, or wait to be interrupted.
   */
  readonly sending: () => boolean
}

/**
 * Runs one request of a transport, and lets `withRpcRetry` know that nothing of it is written: from the start of the effect
 * until {@link Progress.sending} is called or the effect ends. An attempt that its timeout or the deadline cuts in that time
 * fails with the delivery `NotSent`, so that it is retried also when it must not run twice.
 *
 * A transport that says nothing is taken to have sent the request: its attempts are cut with the delivery `Unknown`. So it is
 * with an attempt that has sent another request before, or beside this one.
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
 * const cut = new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" })
 *
 * const call = (body: string) =>
 *   Deadline.whileUnsent((progress) =>
 *     connect.pipe(
 *       Effect.tapError((error) => Effect.sync(() => progress.failed(error))),
 *       Effect.retry({ times: 2 }),
 *       Effect.flatMap((connection) => progress.sending() ? connection.send(body) : Effect.fail(cut))
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
 * Gives every call inside the effect a common deadline, counted from when the effect starts. A call that would outlast it
 * ends by it; a deadline that is already in force and earlier stays in force.
 *
 * Only calls made with `withRpcRetry` are ended. To end other work too, use `Effect.timeout`.
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
