/**
 * Named `Schedule`s for retries.
 *
 * They are ordinary Effect `Schedule`s: compose them with `Schedule.intersect`, `Schedule.whileInput`,
 * `Schedule.tapOutput` and all the others. Their output is the delay, zero on the decision to stop.
 *
 * | schedule or operator        | delays, in order                                                        | ends            |
 * | --------------------------- | ----------------------------------------------------------------------- | --------------- |
 * | `standard`                  | 100, 150, 225 ms                                                        | after 3 retries |
 * | `exponential`               | `base`, then times `factor` each, at most `cap`                         | never           |
 * | `decorrelated`              | random from `base` to 3 times the delay before, at most `cap`           | never           |
 * | `fullJitter(schedule)`      | random from 0 to the schedule's delay                                   | with `schedule` |
 * | `equalJitter(schedule)`     | random from half the schedule's delay to all of it                      | with `schedule` |
 * | `proportional(schedule, p)` | random from the schedule's delay less a share of `p` to all of it       | with `schedule` |
 * | `retries(schedule, n)`      | the schedule's                                                          | after n retries |
 * | `byReason`                  | those of the schedule for the reason of the failure                     | with that one   |
 * | `grpcA6`                    | exponential, times a random factor from 0.8 to 1.2 after the cap        | as it says      |
 * | `aws2026`                   | random from 0 to 50 ms (throttled: 1 s) times 2 each, at most 20 s      | after 2 retries |
 *
 * A jitter only ever shortens a delay. So it keeps the cap of the schedule it is applied to, and callers that wait at the
 * cap stay spread out. (Effect's own `Schedule.jittered`, placed after a cap, goes 20 % over it.)
 *
 * Jitters draw from Effect's `Random`: `Effect.withRandom` makes them repeatable.
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
 * Exponential backoff, for ever: the first delay is `base`, each next one is `factor` times as long, none is longer than
 * `cap`.
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
  /** What each delay is multiplied by to give the next: at least 1. Default 1.5. */
  readonly factor?: number | undefined
  /** The longest delay, at least `base`. Default 1 second. */
  readonly cap?: Duration.DurationInput | undefined
}): Schedule.Schedule<Duration.Duration> => {
  const where = "RetrySchedule.exponential"
  orThrow(checkKnown(where, options ?? {}, ["base", "factor", "cap"]))
  const { base, cap } = orThrow(baseAndCap(where, { base: options?.base ?? 100, cap: options?.cap ?? 1000 }))
  const factor = orThrow(checkNumber(where, "factor", options?.factor ?? 1.5, { min: 1, max: Number.MAX_VALUE }))
  return internal.unfoldDelays(
    base,
    (delay) => Effect.succeed([Duration.millis(delay), Math.min(cap, delay * factor)] as const)
  )
}

/**
 * Decorrelated jitter, for ever: each delay is drawn between `base` and three times the delay before it, none is longer
 * than `cap`. The range is cut at the cap before drawing, so that callers at the cap stay spread out.
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
 * Draws each delay between zero and the schedule's: the widest spread, and the usual choice for many callers of one
 * server.
 *
 * @since 0.1.0
 * @category jitter
 */
export const fullJitter = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>
): Schedule.Schedule<Duration.Duration, In, R> => shorten(self, 0)

/**
 * Draws each delay between half of the schedule's and all of it: spread, with a least wait.
 *
 * @since 0.1.0
 * @category jitter
 */
export const equalJitter = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>
): Schedule.Schedule<Duration.Duration, In, R> => shorten(self, 0.5)

/**
 * Draws each delay between the schedule's less a share of `p` and all of it: `proportional(0.2)` waits 80 to 100 % of
 * each delay. `p` is from 0 to 1; anything else throws `InvalidOption`.
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
 * Ends a schedule after `n` retries: `n + 1` attempts. It keeps the schedule's output, where
 * `Schedule.intersect(Schedule.recurs(n))` makes a tuple of it.
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
    const limit = Schedule.recurs(orThrow(checkNumber("RetrySchedule.retries", "n", n, range)))
    return Schedule.map(Schedule.intersect(self, limit), ([out]) => out)
  }
)

/**
 * Chooses by the reason of the failure: each reason has a schedule with a state of its own. `otherwise` is for the reasons
 * that are not named; left out, those are not retried.
 *
 * Each schedule counts its own retries. To bound them together, put `retries` around the whole. Throws `InvalidOption` for a
 * reason that does not exist.
 *
 * @example
 * ```ts
 * import { RetrySchedule } from "effect-rpc-retry"
 *
 * // who is throttled waits longer
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
 * The backoff of gRPC (proposal A6), to the letter: before retry n it waits
 * `min(initialBackoff x backoffMultiplier^(n-1), maxBackoff)`, times a random factor from 0.8 to 1.2. As in gRPC the factor
 * comes after the cap, so a delay may be 20 % above `maxBackoff`.
 *
 * Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category constructors
 */
export const grpcA6 = (options: {
  /** The most attempts, the first one included: at least 2. There is no hidden limit of 5. */
  readonly maxAttempts: number
  /** The delay before the first retry. */
  readonly initialBackoff: Duration.DurationInput
  /** The longest delay, before the random factor. */
  readonly maxBackoff: Duration.DurationInput
  /** What each delay is multiplied by to give the next: greater than 0; below 1 the delays get shorter. */
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
 * The backoff of the AWS SDKs' standard mode, as it is since November 2026: full jitter below `50 ms x 2^i`, below
 * `1 s x 2^i` after `Throttled`, at most 20 seconds, 2 retries. The exponent counts all failures of the call.
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
 * The default of this library: exponential, factor 1.5, from 100 milliseconds, capped at 1 second, 3 retries. That is 4
 * attempts at most, with delays of 100, 150 and 225 milliseconds: 475 in all.
 *
 * With these numbers the cap never bites. It does for a base above 444 milliseconds, or from the seventh retry on.
 *
 * @since 0.1.0
 * @category schedules
 */
export const standard: Schedule.Schedule<Duration.Duration> = retries(exponential(), 3)

/**
 * A dry run: the first `n` delays of a schedule, fewer if it ends before. No time passes.
 *
 * The schedule is asked about the same failure each time: `error`, by default a `Retryable` with reason `Unavailable`.
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
      const delay = yield* run.next(now, error)
      if (delay === undefined) {
        break
      }
      list.push(Duration.millis(delay))
      now += delay
    }
    return list
  })
