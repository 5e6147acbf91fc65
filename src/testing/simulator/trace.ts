/**
 * Reads the calls of a program from the events that it has recorded.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import { parsed } from "../../internal/config/decode.js"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"
import { longest } from "./law.js"
import type { Arrival } from "./scenario.js"

const where = "Simulator.trace"

/** The latest instant that a `Date` can be, in milliseconds since 1970. */
const latest = 8.64e15

/** The most calls that a trace is repeated to. */
const mostCalls = 10_000_000

/** The milliseconds of a `Duration` in JSON. */
const millisOf = (duration: unknown): number =>
  Predicate.hasProperty(duration, "millis") && Predicate.isNumber(duration.millis) ? duration.millis : 0

/** The start of a call, in milliseconds since 1970; `undefined` for an event that says nothing of it. */
const startOf = (event: Record<string, unknown>): number | undefined => {
  const { _tag, at, attempt, attempts, elapsed } = event
  return !Predicate.isNumber(at)
    ? undefined
    : _tag === "AttemptStarted" && attempt === 1
    ? at
    // ended before its first attempt
    : (_tag === "CallFailed" || _tag === "CallInterrupted") && attempts === 0
    ? at - millisOf(elapsed)
    : undefined
}

/**
 * Reads recorded events, one JSON object per line.
 *
 * @internal
 */
export const parse = (text: string): Result.Result<ReadonlyArray<Arrival>, InvalidOption> =>
  Result.gen(function*() {
    const calls: Array<{ readonly at: number; readonly method: string | undefined }> = []
    let first = Infinity
    let last = -Infinity
    for (const [i, line] of text.split(/\r\n|\r|\n/).entries()) {
      if (line.trim() === "") {
        continue
      }
      const field = `line ${i + 1}`
      const event = yield* Result.mapError(
        parsed(where, line),
        () => new InvalidOption({ where, field, problem: "is not JSON" })
      )
      if (!Predicate.isRecord(event)) {
        return yield* Result.fail(new InvalidOption({ where, field, problem: "must be an event: an object" }))
      }
      const at = startOf(event as Record<string, unknown>)
      if (at !== undefined) {
        if (!(Math.abs(at) <= latest)) {
          return yield* Result.fail(
            new InvalidOption({ where, field, problem: "must have an `at` in milliseconds since 1970" })
          )
        }
        first = Math.min(first, at)
        last = Math.max(last, at)
        if (last - first > longest) {
          return yield* Result.fail(
            new InvalidOption({ where, field, problem: "must be within 31 days of the events before it" })
          )
        }
        const { method } = event as Record<string, unknown>
        calls.push({ at, method: Predicate.isString(method) ? method : undefined })
      }
    }
    return first === Infinity
      ? yield* Result.fail(
        new InvalidOption({ where, field: "the trace", problem: "must hold the start of a call, an AttemptStarted" })
      )
      : calls.toSorted((a, b) => a.at - b.at).map(({ at, method }) =>
        method === undefined ? { at: at - first } : { at: at - first, method }
      )
  })

/**
 * Repeats a trace until it is as long as `duration`, in milliseconds. One whose calls all start at the same instant does
 * not say how long it is, and is an error.
 *
 * @internal
 */
export const repeated = (
  calls: ReadonlyArray<Arrival>,
  duration: number
): Result.Result<ReadonlyArray<Arrival>, InvalidOption> => {
  const invalid = (problem: string) => Result.fail(new InvalidOption({ where, field: "the trace", problem }))
  const last = calls.at(-1)!.at
  if (last === 0) {
    return invalid("must hold calls that start at two instants at least, to be repeated")
  }
  // the gap after the last call is like those before it
  const length = last + Math.max(1, last / calls.length)
  const times = Math.ceil(duration / length)
  return times > 1 && times * calls.length > mostCalls
    ? invalid(`must not come to more than ${mostCalls} calls in the time of the scenario`)
    : Result.succeed(
      Array.from({ length: times }, (_, i) => calls.map((call) => ({ ...call, at: call.at + i * length })))
        .flat().filter(({ at }) => at < duration)
    )
}
