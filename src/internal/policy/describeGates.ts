/**
 * What admits the attempts of a policy, in numbers.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import type { CircuitBreaker } from "../../CircuitBreaker.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import { showDuration } from "../errors/message.js"
import type { Description, Range } from "./description.js"
import { hedgeOf, type RetryPolicy } from "./policy.js"

type Gates = Pick<Description, "breaker" | "bulkhead" | "throttle" | "hedge">

/** The openings of a schedule that are looked at. */
const openings = 20

/** Returns the shortest and the longest opening of a schedule, without the jitter of the breaker. */
const scheduled = (schedule: Schedule.Schedule<unknown>): Effect.Effect<Range> => {
  const dryRun = (draw: number) =>
    RetrySchedule.delays(schedule, openings).pipe(Effect.withRandom(Random.fixed([draw])))
  return Effect.zipWith(dryRun(0), dryRun(1), (least, most) => ({
    shortest: least.reduce(Duration.min, least[0] ?? unscheduled),
    longest: most.reduce(Duration.max, most[0] ?? unscheduled)
  }))
}

/** How long an opening is that a schedule has no delay for. */
const unscheduled = Duration.seconds(5)

const describeBreaker = ({ settings }: CircuitBreaker): Effect.Effect<Description["breaker"]> => {
  const { jitter, openFor, rule } = settings
  const fixed = (millis: number) => ({ shortest: Duration.millis(millis), longest: Duration.millis(millis) })
  const range = typeof openFor === "number" ? Effect.succeed(fixed(openFor)) : scheduled(openFor)
  return Effect.map(range, ({ longest, shortest }) => ({
    consecutive: rule._tag === "Consecutive" ? rule.failures : undefined,
    rate: rule._tag === "Consecutive" ? undefined : {
      threshold: rule.threshold,
      slow: rule.slow && { threshold: rule.slow.threshold, longerThan: Duration.millis(rule.slow.longerThan) },
      minimumCalls: rule.minimumCalls,
      window: rule.window._tag === "Calls" ? rule.window.size : Duration.millis(rule.window.millis)
    },
    openFor: { shortest, longest: Duration.times(longest, 1 + jitter) }
  }))
}

const describeHedge = (policy: RetryPolicy): Description["hedge"] => {
  const hedge = hedgeOf(policy)
  if (hedge === undefined) {
    return undefined
  }
  const { after, load, max } = hedge.core.settings
  return { after: typeof after === "number" ? Duration.millis(after) : after, max, load: Math.min(load, max - 1) }
}

/**
 * Returns what the breaker, the bulkhead, the throttle and the hedge of a policy come to. Each is `undefined` where there is none.
 *
 * @internal
 */
export const describeGates = (policy: RetryPolicy): Effect.Effect<Gates> => {
  const { breaker, bulkhead, throttle } = policy
  return Effect.map(
    breaker === undefined || breaker === "off" ? Effect.succeed(undefined) : describeBreaker(breaker),
    (breaker) => ({
      breaker,
      bulkhead: bulkhead === undefined || bulkhead === "off"
        ? undefined
        : { floor: bulkhead.floor, ceiling: bulkhead.ceiling, queue: bulkhead.gate.snapshot().queue },
      throttle: throttle === undefined || throttle === "off"
        ? undefined
        : { k: throttle.settings.k, window: Duration.millis(throttle.settings.window) },
      hedge: describeHedge(policy)
    })
  )
}

/**
 * Shows a range of durations, or the one duration that it is.
 *
 * @internal
 */
export const showRange = ({ longest, shortest }: Range): string =>
  Duration.equals(shortest, longest) ? showDuration(shortest) : `${showDuration(shortest)} to ${showDuration(longest)}`

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`

const showRate = (
  { minimumCalls, slow, threshold, window }: NonNullable<NonNullable<Description["breaker"]>["rate"]>
): string => {
  const late = slow === undefined
    ? ""
    : `, or ${percent(slow.threshold)} slower than ${showDuration(slow.longerThan)},`
  const counted = Duration.isDuration(window) ? `in ${showDuration(window)}` : `of the last ${window}`
  return `at ${percent(threshold)} failed${late} of at least ${minimumCalls} ${counted}`
}

/**
 * Shows after what time without an answer a hedge starts another leg.
 *
 * @internal
 */
export const showAfter = ({ after }: NonNullable<Gates["hedge"]>): string =>
  Duration.isDuration(after) ? showDuration(after) : `quantile ${after.quantile}`

/**
 * Shows the breaker, the bulkhead, the throttle and the hedge that there are, as rows.
 *
 * @internal
 */
export const showGates = ({ breaker, bulkhead, hedge, throttle }: Gates): ReadonlyArray<readonly [string, string]> => {
  const rows: Array<readonly [string, string]> = []
  if (breaker !== undefined) {
    const { consecutive, openFor, rate } = breaker
    const opens = rate === undefined ? `after ${consecutive} failed in a row` : showRate(rate)
    rows.push(["breaker", `opens ${opens}, for ${showRange(openFor)}`])
  }
  if (bulkhead !== undefined) {
    const { ceiling, floor, queue } = bulkhead
    rows.push(["bulkhead", `${floor === ceiling ? ceiling : `${floor} to ${ceiling}`} in flight, ${queue} wait`])
  }
  if (throttle !== undefined) {
    rows.push(["throttle", `sends ${throttle.k} for each accepted, over ${showDuration(throttle.window)}`])
  }
  if (hedge !== undefined) {
    rows.push([
      "hedge",
      `another attempt after ${showAfter(hedge)}, ${hedge.max} in flight, adds ${percent(hedge.load)} at most`
    ])
  }
  return rows
}
