/**
 * Schedules for retries, and operators on them.
 *
 * They are ordinary Effect `Schedule`s: compose them with `Schedule.intersect`, `Schedule.whileInput`,
 * `Schedule.tapOutput` and the others. Their output is the delay, and zero when they end.
 *
 * | schedule or operator        | delays, in order                                                 | ends            |
 * | --------------------------- | ---------------------------------------------------------------- | --------------- |
 * | `standard`                  | 100, 150, 225 ms                                                 | after 3 retries |
 * | `exponential`               | `base`, each next one times `factor`, at most `cap`              | never           |
 * | `decorrelated`              | random from `base` to 3 times the previous delay, at most `cap`  | never           |
 * | `fullJitter(schedule)`      | random from 0 to the schedule's delay                            | with `schedule` |
 * | `equalJitter(schedule)`     | random from half of the schedule's delay to all of it            | with `schedule` |
 * | `proportional(schedule, p)` | random from `1 - p` of the schedule's delay to all of it         | with `schedule` |
 * | `retries(schedule, n)`      | the schedule's                                                   | after n retries |
 * | `byReason`                  | those of the schedule for the reason of the failure              | with that one   |
 * | `grpcA6`                    | exponential, times a random factor from 0.8 to 1.2 after the cap | by `maxAttempts` |
 * | `aws2026`                   | random from 0 to 50 ms (throttled: 1 s), doubling, at most 20 s  | after 2 retries |
 *
 * The jitters of this module only shorten delays. So a delay never exceeds the cap of its schedule, and callers that
 * have reached the cap still wait for different times. (Effect's `Schedule.jittered`, applied after a cap, exceeds it
 * by up to 20 %.)
 *
 * Jitters use Effect's `Random`, so that `Effect.withRandom` makes them repeatable.
 *
 * @example
 * ```ts
 * import { RetrySchedule } from "effect-rpc-retry"
 *
 * const schedule = RetrySchedule.exponential({ base: "200 millis", factor: 2, cap: "5 seconds" }).pipe(
 *   RetrySchedule.fullJitter,
 *   RetrySchedule.retries(5)
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Step from "./internal/effect/step.js"
import * as internal from "./internal/policy/schedule.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"
import { Retryable, RetryableReason } from "./RpcError.js"

const baseAndCap = (where: string, options: {
  readonly base: Duration.DurationInput
  readonly cap: Duration.DurationInput
}) =>
  Result.gen(function*() {
    const base = yield* checkDuration(where, "base", options.base)
    const cap = yield* checkDuration(where, "cap", options.cap)
    if (Duration.greaterThan(base, cap)) {
      const problem = `must not exceed the cap of ${Duration.format(cap)}, got ${Duration.format(base)}`
      return yield* Result.fail(new InvalidOption({ where, field: "base", problem }))
    }
    return { base: Duration.toMillis(base), cap: Duration.toMillis(cap) }
  })

/**
 * Makes an exponential backoff: the first delay is `base`, and each next one is `factor` times as long, but at most
 * `cap`. It does not end by itself; bound it with {@link retries} or a deadline.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { RetrySchedule } from "effect-rpc-retry"
 *
 * // 600, 900, 1000, 1000, ... ms
 * const schedule = RetrySchedule.exponential({ base: "600 millis" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const exponential = (options?: {
  /** The first delay. Default 100 milliseconds. */
  readonly base?: Duration.DurationInput | undefined
  /** The factor between one delay and the next, at least 1. Default 1.5. */
  readonly factor?: number | undefined
  /** The longest delay, at least `base`. Default 1 second. */
  readonly cap?: Duration.DurationInput | undefined
}): Schedule.Schedule<Duration.Duration> => {
  const where = "RetrySchedule.exponential"
  orThrow(checkKnown(where, options ?? {}, ["base", "factor", "cap"]))
  const { base, cap } = orThrow(baseAndCap(where, { base: options?.base ?? 100, cap: options?.cap ?? 1000 }))
  const factor = orThrow(checkNumber(where, "factor", options?.factor ?? 1.5, { min: 1, max: Number.MAX_VALUE }))
  return internal.exponential(base, factor, cap)
}

/**
 * Makes a backoff with decorrelated jitter: each delay is random between `base` and three times the previous delay, but
 * at most `cap`. The range is limited to the cap before drawing, so that callers at the cap wait for different times.
 * It does not end by itself.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const decorrelated = (options?: {
  /** The shortest delay; the first delay is at most three times as long. Default 100 milliseconds. */
  readonly base?: Duration.DurationInput | undefined
  /** The longest delay, at least `base`. Default 1 second. */
  readonly cap?: Duration.DurationInput | undefined
}): Schedule.Schedule<Duration.Duration> => {
  const where = "RetrySchedule.decorrelated"
  orThrow(checkKnown(where, options ?? {}, ["base", "cap"]))
  const { base, cap } = orThrow(baseAndCap(where, { base: options?.base ?? 100, cap: options?.cap ?? 1000 }))
  return internal.unfoldDelays(base, (previous) =>
    Effect.map(
      Random.nextRange(base, Math.min(cap, previous * 3)),
      (delay) => [Duration.millis(delay), delay] as const
    ))
}

const shorten = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>,
  least: number
): Schedule.Schedule<Duration.Duration, In, R> =>
  Schedule.delays(
    Schedule.modifyDelayEffect(
      self,
      (_, delay) => Effect.map(Random.nextRange(least, 1), (share) => Duration.times(delay, share))
    )
  )

/**
 * Draws each delay between zero and the schedule's delay. It spreads callers most, and is the usual choice when many
 * callers share a server.
 *
 * @since 0.1.0
 * @category jitter
 */
export const fullJitter = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>
): Schedule.Schedule<Duration.Duration, In, R> => shorten(self, 0)

/**
 * Draws each delay between half of the schedule's delay and all of it, so that there is always some wait.
 *
 * @since 0.1.0
 * @category jitter
 */
export const equalJitter = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>
): Schedule.Schedule<Duration.Duration, In, R> => shorten(self, 0.5)

/**
 * Draws each delay between `1 - p` of the schedule's delay and all of it: `proportional(0.2)` waits 80 to 100 % of each
 * delay. Throws `InvalidOption` unless `p` is from 0 to 1.
 *
 * @since 0.1.0
 * @category jitter
 */
export const proportional: {
  (p: number): <Out, In, R>(self: Schedule.Schedule<Out, In, R>) => Schedule.Schedule<Duration.Duration, In, R>
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, p: number): Schedule.Schedule<Duration.Duration, In, R>
} = dual(
  2,
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, p: number): Schedule.Schedule<Duration.Duration, In, R> =>
    shorten(self, 1 - orThrow(checkNumber("RetrySchedule.proportional", "p", p, { min: 0, max: 1 })))
)

/**
 * Ends a schedule after `n` retries, which is `n + 1` attempts. It keeps the output of the schedule, whereas
 * `Schedule.intersect(Schedule.recurs(n))` turns it into a tuple. Throws `InvalidOption` unless `n` is an integer of at
 * least 0.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retries: {
  (n: number): <Out, In, R>(self: Schedule.Schedule<Out, In, R>) => Schedule.Schedule<Out, In, R>
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, n: number): Schedule.Schedule<Out, In, R>
} = dual(
  2,
  <Out, In, R>(self: Schedule.Schedule<Out, In, R>, n: number): Schedule.Schedule<Out, In, R> => {
    const range = { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }
    return internal.retries(self, orThrow(checkNumber("RetrySchedule.retries", "n", n, range)))
  }
)

/**
 * Chooses the schedule by the reason of the failure. Each schedule has a state of its own, and counts only its own
 * retries; to bound them together, apply {@link retries} to the result. Throws `InvalidOption` for an unknown reason.
 *
 * - `schedules`: a schedule for each reason.
 * - `otherwise`: the schedule of all other reasons. Default: they are not retried.
 *
 * @example
 * ```ts
 * import { RetrySchedule } from "effect-rpc-retry"
 *
 * // wait longer after `Throttled`
 * const schedule = RetrySchedule.byReason(
 *   { Throttled: RetrySchedule.exponential({ base: "1 second", cap: "20 seconds" }).pipe(RetrySchedule.fullJitter) },
 *   RetrySchedule.exponential()
 * ).pipe(RetrySchedule.retries(3))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const byReason = <R = never>(
  schedules: { readonly [K in RetryableReason]?: Schedule.Schedule<unknown, Retryable, R> | undefined },
  otherwise?: Schedule.Schedule<unknown, Retryable, R>
): Schedule.Schedule<Duration.Duration, Retryable, R> => {
  orThrow(checkKnown("RetrySchedule.byReason", schedules, RetryableReason.literals))
  const byKey = new Map<string, Schedule.Schedule<unknown, Retryable, R>>()
  for (const reason of RetryableReason.literals) {
    const schedule = schedules[reason] ?? otherwise
    if (schedule !== undefined) {
      byKey.set(schedules[reason] === undefined ? "otherwise" : reason, schedule)
    }
  }
  return internal.choose(byKey, (error) => schedules[error.reason] === undefined ? "otherwise" : error.reason)
}

/**
 * Makes the backoff of gRPC (proposal A6): the delay before retry n is
 * `min(initialBackoff x backoffMultiplier^(n-1), maxBackoff)`, times a random factor from 0.8 to 1.2. As in gRPC the
 * factor is applied after the cap, so a delay may exceed `maxBackoff` by up to 20 %.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const grpcA6 = (options: {
  /** The most attempts, including the first one: at least 2. Unlike in gRPC, values above 5 are not reduced to 5. */
  readonly maxAttempts: number
  /** The delay before the first retry. */
  readonly initialBackoff: Duration.DurationInput
  /** The longest delay, before the random factor. */
  readonly maxBackoff: Duration.DurationInput
  /** The factor between one delay and the next, greater than 0. Below 1 the delays get shorter. */
  readonly backoffMultiplier: number
}): Schedule.Schedule<Duration.Duration> => {
  const where = "RetrySchedule.grpcA6"
  const { initial, max, maxAttempts, multiplier } = orThrow(Result.gen(function*() {
    yield* checkKnown(where, options, ["maxAttempts", "initialBackoff", "maxBackoff", "backoffMultiplier"])
    return {
      maxAttempts: yield* checkNumber(where, "maxAttempts", options.maxAttempts, {
        min: 2,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      }),
      initial: Duration.toMillis(yield* checkDuration(where, "initialBackoff", options.initialBackoff)),
      max: Duration.toMillis(yield* checkDuration(where, "maxBackoff", options.maxBackoff)),
      multiplier: yield* checkNumber(where, "backoffMultiplier", options.backoffMultiplier, {
        min: Number.MIN_VALUE,
        max: Number.MAX_VALUE
      })
    }
  }))
  return internal.unfoldDelays(
    initial,
    (backoff) =>
      Effect.succeed(
        [Duration.millis(Math.min(backoff, max)), Math.min(backoff * multiplier, Number.MAX_VALUE)] as const
      )
  ).pipe(
    Schedule.jittered,
    Schedule.delays,
    retries(maxAttempts - 1)
  )
}

/**
 * The backoff of the AWS SDKs' standard mode as of November 2026: after failure i, counted from 0, a random delay of up
 * to `50 ms x 2^i`, or `1 s x 2^i` after `Throttled`, at most 20 seconds. It makes 2 retries.
 *
 * @since 0.1.0
 * @category schedules
 */
export const aws2026: Schedule.Schedule<Duration.Duration, Retryable> = retries(
  internal.unfoldDelays(0, (failures: number, error: Retryable) =>
    Effect.map(Random.next, (share) => {
      const base = error.reason === "Throttled" ? 1000 : 50
      return [Duration.millis(share * Math.min(20_000, base * 2 ** failures)), failures + 1] as const
    })),
  2
)

/**
 * The default schedule: exponential backoff from 100 milliseconds with factor 1.5, capped at 1 second, 3 retries. A
 * call makes at most 4 attempts, with delays of 100, 150 and 225 milliseconds: 475 milliseconds in total.
 *
 * With these numbers no delay reaches the cap. It takes effect with a base above 444 milliseconds, or from the seventh
 * retry on.
 *
 * @since 0.1.0
 * @category schedules
 */
export const standard: Schedule.Schedule<Duration.Duration> = retries(exponential(), 3)

/**
 * Returns the first `n` delays of a schedule, or fewer if it ends before, without waiting.
 *
 * - `error`: the failure that each step of the schedule is given. Default: a `Retryable` with the reason `Unavailable`.
 *
 * @example
 * ```ts
 * import { RetrySchedule } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * // [100ms, 150ms, 225ms]
 * const delays = Effect.runSync(RetrySchedule.delays(RetrySchedule.standard, 10))
 * ```
 *
 * @since 0.1.0
 * @category inspection
 */
export const delays = <Out, R>(
  schedule: Schedule.Schedule<Out, Retryable, R>,
  n: number,
  error: Retryable = new Retryable({ reason: "Unavailable", delivery: "NotSent" })
): Effect.Effect<Array<Duration.Duration>, never, R> =>
  Effect.gen(function*() {
    const run = internal.start(schedule, (error) => error.reason)
    const list: Array<Duration.Duration> = []
    let now = yield* Clock.currentTimeMillis
    while (list.length < n) {
      const delay = yield* Step.toEffect(run.next(now, error))
      if (delay === undefined) {
        break
      }
      list.push(Duration.millis(delay))
      now += delay
    }
    return list
  })
