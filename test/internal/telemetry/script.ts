/**
 * One call of each kind, one after the other.
 */
import { Deadline, Fatal, Retryable, RetryBudget, type RetryPolicy, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

class NoSuchUser extends Data.TaggedError("NoSuchUser")<{}> {}

const refused = Effect.fail(new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" }))
const lost = Effect.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown" }))
const throttled = Effect.fail(new Retryable({ reason: "Throttled", delivery: "NotSent", retryAfter: "Never" }))
const fatal = Effect.fail(new Fatal({ reason: "NotFound", message: "no such table" }))
const ok = Effect.succeed("ok")

/** A call of `Run.<name>` with attempts of 10 ms each that end as listed, the last one for ever after. */
const call = <E>(
  name: string,
  ends: ReadonlyArray<Effect.Effect<string, E>>,
  options: RetryPolicy.UnhedgedOptions = {}
) => {
  let n = 0
  const attempt = Effect.suspend(() => Effect.zipRight(Effect.sleep(10), ends[Math.min(n++, ends.length - 1)]!))
  return withRpcRetry(attempt, { ...options, method: `Run.${name}` })
}

const calls = (): ReadonlyArray<Effect.Effect<unknown, unknown>> => [
  call("Success", [ok]),
  call("Retry", [refused, ok]),
  call("InterruptedAttempt", [Effect.never]).pipe(Effect.timeoutOption(30)),
  call("InterruptedDelay", [refused]).pipe(Effect.timeoutOption(30)),
  call("AttemptsExhausted", [refused]),
  call("NotIdempotent", [lost], { idempotent: false }),
  call("ServerSaidNo", [throttled]),
  call("NotRetried", [refused], { retryIf: () => false }),
  call("DeadlineExceeded", [Effect.never], { deadline: 40 }),
  call("DeadlineTooClose", [refused], { deadline: 40 }),
  call("BudgetLow", [refused]),
  call("BudgetExhausted", [lost]),
  Effect.zipRight(Effect.sleep(5), call("Rejected", [ok])).pipe(Deadline.within(1)),
  call("Fatal", [fatal]),
  call("Domain", [Effect.fail(new NoSuchUser())]),
  call("Defect", [Effect.die("a bug")]),
  RpcRetry.update("Run.Other", "off"),
  RpcRetry.remove("Run.Other")
]

export const script = Effect.suspend(() => Effect.forEach(calls(), (call) => Effect.exit(call), { discard: true }))

/** One retry, and a budget of three that time does not refill. */
export const options: RpcRetry.LayerOptions = {
  default: { schedule: Schedule.spaced(100).pipe(Schedule.intersect(Schedule.recurs(1))), spans: true },
  budget: RetryBudget.make({ capacity: 3, ratio: 0.5, regainEvery: Duration.days(1e9) })
}
