/**
 * A policy in numbers, by a dry run of its schedule.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Description, RetryPolicy } from "../RetryPolicy.js"
import * as RetrySchedule from "../RetrySchedule.js"
import { Retryable, RetryableReason } from "../RpcError.js"
import { showDuration } from "./report.js"

/** A schedule that goes on after so many retries is taken to go on for ever. */
const many = 1_000

const dryRun = (policy: RetryPolicy, draw: number) =>
  RetrySchedule.delays(policy.schedule ?? RetrySchedule.standard, many).pipe(
    Effect.withRandom(Random.fixed([draw]))
  )

const isRetried = (policy: RetryPolicy, reason: RetryableReason): boolean =>
  policy.retryIf?.(new Retryable({ reason, delivery: "NotSent" })) ?? true

const sum = (durations: ReadonlyArray<Duration.Duration>): Duration.Duration =>
  durations.reduce(Duration.sum, Duration.zero)

/** @internal */
export const describe = (policy: RetryPolicy): Effect.Effect<Description> =>
  Effect.gen(function*() {
    // a jitter draws from a range, so its least and its greatest draw give the range of the delays
    const least = yield* dryRun(policy, 0)
    const most = yield* dryRun(policy, 1)
    const retries = least.length < many ? least.length : Infinity
    const totalWait = retries === Infinity ? Duration.infinity : sum(most)
    const { attemptTimeout, budget, deadline } = policy
    const undisturbed = attemptTimeout === undefined
      ? Duration.infinity
      : Duration.sum(Duration.times(attemptTimeout, retries + 1), totalWait)
    return {
      attempts: retries + 1,
      retries,
      delays: least.map((shortest, i) => ({ shortest, longest: most[i]! })),
      totalWait: { shortest: retries === Infinity ? Duration.infinity : sum(least), longest: totalWait },
      attemptTimeout,
      deadline,
      longestCall: deadline === undefined ? undisturbed : Duration.min(deadline, undisturbed),
      amplification: {
        withoutBudget: retries + 1,
        withBudget: budget === undefined ? undefined : Math.min(retries + 1, 1 + budget.sustained)
      },
      retried: RetryableReason.literals.filter((reason) => isRetried(policy, reason)),
      notRetried: RetryableReason.literals.filter((reason) => !isRetried(policy, reason)),
      onlyNotSent: policy.idempotent === false
    }
  })

const shown = 6

const showRange = (
  { longest, shortest }: { readonly shortest: Duration.Duration; readonly longest: Duration.Duration }
) =>
  Duration.equals(shortest, longest) ? showDuration(shortest) : `${showDuration(shortest)} to ${showDuration(longest)}`

const showDelays = (description: Description): string => {
  if (description.delays.length === 0) {
    return "none"
  }
  const first = description.delays.slice(0, shown).map(showRange).join(", ")
  return description.delays.length > shown ? `${first}, ...` : first
}

const showFactor = (factor: number): string =>
  factor === Infinity ? "without bound" : `x${Math.round(factor * 100) / 100}`

/** @internal */
export const show = (description: Description): string => {
  const { amplification, attemptTimeout, deadline } = description
  const load = amplification.withBudget === undefined
    ? showFactor(amplification.withoutBudget)
    : `${showFactor(amplification.withBudget)} lasting; ${showFactor(amplification.withoutBudget)} without the budget`
  const rows: ReadonlyArray<readonly [string, string]> = [
    [
      "attempts",
      description.retries === Infinity ? "no limit" : `${description.attempts} (${description.retries} retries)`
    ],
    ["delays", showDelays(description)],
    ["total wait", showRange(description.totalWait)],
    ["attempt timeout", attemptTimeout === undefined ? "none" : showDuration(attemptTimeout)],
    ["deadline", deadline === undefined ? "none" : showDuration(deadline)],
    ["longest call", showDuration(description.longestCall)],
    ["load at worst", load],
    ["retried", description.retried.join(" ") + (description.onlyNotSent ? ", if not sent" : "")],
    ["not retried", ["Fatal", "domain errors", "defects", ...description.notRetried].join(", ")]
  ]
  return rows.map(([name, value]) => `${name.padEnd(16)}${value}`).join("\n")
}
