/**
 * A policy in numbers, by a dry run of its schedule.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as RetrySchedule from "../../RetrySchedule.js"
import { Retryable, RetryableReason } from "../../RpcError.js"
import { showDuration } from "../errors/message.js"
import { describeGates, showGates, showRange } from "./describeGates.js"
import type { Description, Range } from "./description.js"
import type { RetryPolicy } from "./policy.js"

/** A schedule that goes on after so many retries is taken to go on for ever. */
const many = 1_000

/** A jitter draws from a range, so its least and its greatest draw give the range of the delays. */
const delaysAfter = (policy: RetryPolicy, reason: RetryableReason): Effect.Effect<ReadonlyArray<Range>> => {
  const error = new Retryable({ reason, delivery: "NotSent" })
  const dryRun = (draw: number) =>
    RetrySchedule.delays(policy.schedule ?? RetrySchedule.standard, many + 1, error).pipe(
      Effect.withRandom(Random.fixed([draw]))
    )
  return policy.retryIf?.(error) === false
    ? Effect.succeed([])
    : Effect.zipWith(
      dryRun(0),
      dryRun(1),
      (least, most) => least.map((shortest, i) => ({ shortest, longest: most[i] ?? shortest }))
    )
}

/** As many as fit before the deadline, when attempts take no time. */
const before = (deadline: Duration.Duration | undefined, delays: ReadonlyArray<Range>): ReadonlyArray<Range> => {
  let waited = 0
  return delays.filter(({ shortest }) => {
    waited += Duration.toMillis(shortest)
    return deadline === undefined || waited < Duration.toMillis(deadline)
  })
}

const sum = (durations: ReadonlyArray<Duration.Duration>): Duration.Duration =>
  durations.reduce(Duration.sum, Duration.zero)

const longestOf = (delays: ReadonlyArray<Range>) => sum(delays.map(({ longest }) => longest))

/** @internal */
export const describe = (policy: RetryPolicy): Effect.Effect<Description> =>
  Effect.gen(function*() {
    const { attemptTimeout, budget, deadline } = policy
    const byReason = yield* Effect.forEach(RetryableReason.literals, (reason) =>
      Effect.map(delaysAfter(policy, reason), (delays) => ({ reason, delays: before(deadline, delays) })))
    // the worst of the reasons: the most retries, then the longest wait
    const { delays } = byReason.reduce((worst, each) =>
      each.delays.length > worst.delays.length ||
        (each.delays.length === worst.delays.length &&
          Duration.greaterThan(longestOf(each.delays), longestOf(worst.delays)))
        ? each
        : worst
    )
    const endless = delays.length > many
    const retries = endless ? Infinity : delays.length
    const total = (wait: Duration.Duration) =>
      Duration.min(deadline ?? Duration.infinity, endless ? Duration.infinity : wait)
    const undisturbed = attemptTimeout === undefined
      ? Duration.infinity
      : Duration.sum(Duration.times(attemptTimeout, retries + 1), total(longestOf(delays)))
    return {
      attempts: retries + 1,
      retries,
      delays: delays.slice(0, many),
      totalWait: {
        shortest: total(sum(delays.map(({ shortest }) =>
          shortest
        ))),
        longest: total(longestOf(delays))
      },
      attemptTimeout,
      deadline,
      longestCall: Duration.min(deadline ?? Duration.infinity, undisturbed),
      amplification: {
        withoutBudget: retries + 1,
        withBudget: budget === undefined ? undefined : Math.min(retries + 1, 1 + budget.sustained)
      },
      retried: byReason.filter(({ delays }) => delays.length > 0).map(({ reason }) => reason),
      notRetried: byReason.filter(({ delays }) => delays.length === 0).map(({ reason }) => reason),
      onlyNotSent: policy.idempotent === false,
      ...(yield* describeGates(policy))
    }
  })

const shown = 6

const width = 80

const indent = 16

const showDelays = (description: Description): string => {
  if (description.delays.length === 0) {
    return "none"
  }
  const first = description.delays.slice(0, shown).map(showRange).join(", ")
  return description.delays.length > shown ? `${first}, ...` : first
}

const showFactor = (factor: number): string =>
  factor === Infinity ? "without bound" : `x${Math.round(factor * 100) / 100}`

/** The words in lines that fit the terminal. */
const wrapped = (text: string): string => {
  const lines: Array<string> = []
  for (const word of text.split(" ")) {
    const line = lines.at(-1)
    if (line !== undefined && indent + line.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${line} ${word}`
    } else {
      lines.push(word)
    }
  }
  return lines.join(`\n${" ".repeat(indent)}`)
}

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
    ["retried", (description.retried.join(", ") || "nothing") + (description.onlyNotSent ? ", if not sent" : "")],
    ["not retried", ["Fatal", "domain errors", "defects", ...description.notRetried].join(", ")],
    ...showGates(description)
  ]
  return rows.map(([name, value]) => `${name.padEnd(indent)}${wrapped(value)}`).join("\n")
}
