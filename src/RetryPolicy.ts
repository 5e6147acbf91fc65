/**
 * What to retry, when, and within which limits, as a value.
 *
 * | field            | means                                                                | default                  |
 * | ---------------- | -------------------------------------------------------------------- | ------------------------ |
 * | `schedule`       | how many retries, and the delay before each                          | `RetrySchedule.standard` |
 * | `attemptTimeout` | bound on one attempt                                                 | none                     |
 * | `deadline`       | bound on the whole call: all attempts and delays                     | none                     |
 * | `idempotent`     | `false`: retry only what was not sent. See below                     | not said                 |
 * | `retryIf`        | a `Retryable` for which this is `false` is not retried               | all are                  |
 * | `minServerDelay` | the shortest delay after a server hint; a shorter one is lengthened  | the schedule's first one |
 * | `maxServerDelay` | the longest delay a server may ask for; above it the call ends       | 30 seconds               |
 * | `budget`         | the shared allowance that retries are paid from                      | the layer's, if any      |
 * | `breaker`        | the circuit breaker that each attempt passes, or `"off"`             | the layer's, if any      |
 * | `bulkhead`       | the bulkhead that each attempt takes a permit of, or `"off"`         | the layer's, if any      |
 * | `throttle`       | the throttle that the call passes before its first attempt, or `"off"` | the layer's, if any    |
 * | `hedge`          | an attempt beside a slow one, or `"off"`; needs `idempotent: true`   | none                     |
 * | `onEvent`        | told of what happens to the call                                     | none                     |
 * | `spans`          | whether the call and each attempt have a span                        | no                       |
 * | `logs`           | whether retries and giving up are logged                             | yes                      |
 *
 * Of a call that is said to be idempotent, or of which nothing is said, every `Retryable` is retried, also when the
 * request may have run. Mark the calls for which running twice is harmful with `idempotent: false`.
 *
 * A policy holds the fields it was given and no others, so that policies merge field by field.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import type * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as CircuitBreaker from "./CircuitBreaker.js"
import * as documents from "./internal/config/decode.js"
import * as kitex from "./internal/config/kitex.js"
import * as policyDocument from "./internal/config/policyDocument.js"
import * as description from "./internal/policy/describe.js"
import type { Description } from "./internal/policy/description.js"
import { default_, make, type RetryPolicy, validate } from "./internal/policy/policy.js"
import * as Result from "./internal/result.js"
import type { InvalidOption } from "./InvalidOption.js"
import * as RetrySchedule from "./RetrySchedule.js"

export type { Description, Range } from "./internal/policy/description.js"

export {
  type CommonOptions,
  type Complete,
  type Field,
  fields,
  type HedgedOptions,
  isRetryPolicy,
  make,
  merge,
  none,
  type Options,
  type RetryPolicy,
  TypeId,
  type UnhedgedOptions,
  validate
} from "./internal/policy/policy.js"

export {
  /**
   * The library default: 4 attempts at most, delays of 100, 150 and 225 milliseconds, no timeouts.
   *
   * @since 0.1.0
   * @category policies
   */
  default_ as default
}

/**
 * What a policy comes to, by a dry run of its schedule: effects inside the schedule run.
 *
 * @since 0.1.0
 * @category inspection
 */
export const describe: (policy: RetryPolicy) => Effect.Effect<Description> = description.describe

/**
 * A description to read, of at most 80 columns.
 *
 * @example
 * ```ts
 * import { RetryPolicy } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * const print = Effect.flatMap(RetryPolicy.describe(RetryPolicy.default), (description) =>
 *   Effect.log(RetryPolicy.show(description)))
 * ```
 *
 * @since 0.1.0
 * @category inspection
 */
export const show: (description: Description) => string = description.show

/**
 * What a document says of a policy:
 *
 * ```json
 * {
 *   "schedule": { "base": "100ms", "factor": 1.5, "cap": "1s", "retries": 3, "jitter": "full" },
 *   "attemptTimeout": "1s",
 *   "deadline": "5 seconds",
 *   "idempotent": true,
 *   "minServerDelay": "100ms",
 *   "maxServerDelay": "30s",
 *   "retryOn": ["ConnectionRefused", "ConnectionLost", "Unavailable"],
 *   "breaker": "off",
 *   "bulkhead": "off",
 *   "throttle": "off",
 *   "hedge": { "after": { "quantile": 0.95 }, "max": 2, "load": 0.05 },
 *   "spans": true,
 *   "logs": false
 * }
 * ```
 *
 * Everything may be left out; within a `schedule`, `base` is then 100 ms, `factor` 1.5, `cap` 1 s, `retries` 3 and
 * `jitter` `"none"`. Durations are text with a unit, or milliseconds. `schedule` may be `"none"`; its `jitter` is
 * `"none"`, `"full"`, `"equal"` or `{ "proportional": 0.2 }`. `breaker`, `bulkhead` and `throttle` can only be `"off"`:
 * a layer makes them for each destination, and its document has their options (see `RpcRetry.decode`). `hedge` is
 * `"off"` or the options of `Hedge.make`, its `after` a duration or `{ "quantile": 0.95 }`; it is an error without
 * `"idempotent": true` in the same policy.
 *
 * @since 0.1.0
 * @category decoding
 */
export const Document = policyDocument.Document

/**
 * A policy from a document, as JSON text or parsed. The error names the path to what is wrong; keys that do not exist
 * are wrong.
 *
 * @example
 * ```ts
 * import { RetryPolicy } from "effect-rpc-retry"
 *
 * const policy = RetryPolicy.decode({ schedule: { base: "50ms", retries: 5 }, deadline: "2s" })
 * ```
 *
 * @since 0.1.0
 * @category decoding
 */
export const decode = (document: unknown): Result.Result<RetryPolicy, InvalidOption> => {
  const where = "RetryPolicy.decode"
  return documents.parsed(where, document).pipe(
    Result.flatMap((input) => documents.decode(where, Document, input)),
    Result.flatMap((valid) => policyDocument.toOptions(where, valid)),
    Result.flatMap(validate)
  )
}

/**
 * A policy from the keys `BASE`, `FACTOR`, `CAP`, `RETRIES`, `JITTER`, `ATTEMPT_TIMEOUT`, `DEADLINE`, `IDEMPOTENT`,
 * `MIN_SERVER_DELAY`, `MAX_SERVER_DELAY`, `RETRY_ON` (reasons, with commas between them), `HEDGE`, `SPANS` and `LOGS`.
 * Durations are text with a unit, as in a `Document`; `JITTER` is `none`, `full`, `equal`, or a number for a
 * proportional one; `HEDGE` is `off` or what a document has under that name, as JSON, and then needs `IDEMPOTENT`;
 * `IDEMPOTENT`, `SPANS` and `LOGS` are `true` or `false`. All of them are optional, with the defaults of a `Document`,
 * and an empty one counts as absent. Put them under a name of yours with `Config.nested`.
 *
 * @since 0.1.0
 * @category decoding
 */
export const config: Config.Config<RetryPolicy> = Config.mapOrFail(
  policyDocument.config,
  (document) => Result.mapError(decode(document), policyDocument.configError)
)

/**
 * A policy from a retry policy of Kitex, and the options of a circuit breaker from the document of one, each as JSON
 * text or parsed.
 *
 * - `policy`: what a failure policy (type 0) says: `max_retry_times`, the backoff, and timeouts as the only failures
 *   that are retried; `max_duration_ms` becomes the deadline, and so bounds the last delay and attempt too. A backup
 *   policy (type 1) is a hedge after `retry_delay_ms`, and nothing is retried; a mixed policy (type 2) is both, and
 *   `max_retry_times` bounds hedges and retries together. Both are `idempotent: true`: whoever writes them says that
 *   the method may run twice. The `load` of the hedge is `error_rate`. `enable: false` is `none`.
 * - `retryRatio`: its `error_rate`, 0.1 where it has none, for a budget: `RetryBudget.make({ ratio: retryRatio })`.
 * - `breaker`: what the breaker's document says, for `RpcRetry.layer({ breaker })`: `err_rate` (default 0.5) of at
 *   least `min_sample` (default 200) attempts; with the window of 10 seconds, the openings of 5 seconds and the two
 *   probes that Kitex has. `"off"` for `enable: false` and where no document is given. As other breakers here, and not
 *   as in Kitex, its openings have a jitter, its probes are judged by `err_rate` and made without a pause between them,
 *   and it closes by a ramp.
 *
 * Not as in Kitex, a leg that fails does not end the call while another one is in flight, losers are interrupted, and
 * no answer waits for a backoff. Errors, where Kitex accepts them: an `error_rate`
 * outside (0, 0.3] (Kitex takes 0.1 instead), an empty policy, a backoff that is unknown or lacks its numbers,
 * a negative or empty range of delays, or one that starts at 0; an `err_rate` outside (0, 1], a `min_sample` below 1.
 * `disable_chain_stop`, `ddl_stop`, `retry_same_node` and `extra` are not part of a policy here.
 *
 * @example
 * ```ts
 * import { RetryBudget, RetryPolicy, RpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const retry = { enable: true, type: 0, failure_policy: { stop_policy: { max_retry_times: 2 } } }
 * const circuitBreak = { enable: true, err_rate: 0.3, min_sample: 100 }
 *
 * const RetryLive = Layer.unwrapEffect(
 *   Effect.map(
 *     RetryPolicy.fromKitex(retry, circuitBreak),
 *     ({ breaker, policy, retryRatio }) =>
 *       RpcRetry.layer({ default: policy, budget: RetryBudget.make({ ratio: retryRatio }), breaker })
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category decoding
 */
export const fromKitex = (
  document: unknown,
  breaker: unknown = { enable: false }
): Result.Result<{
  readonly policy: RetryPolicy
  readonly retryRatio: number
  readonly breaker: CircuitBreaker.Options | "off"
}, InvalidOption> =>
  Result.gen(function*() {
    const { options, retryRatio } = yield* kitex.fromDocument(document)
    return {
      policy: yield* validate(options),
      retryRatio,
      breaker: yield* kitex.fromBreakerDocument(breaker)
    }
  })

/**
 * The example of gRPC's proposal A6: 4 attempts, 0.1 s times 2 up to 1 s, `UNAVAILABLE` only. Here: refused and lost
 * connections, and `Unavailable`. Pushback is waited exactly.
 *
 * @since 0.1.0
 * @category policies
 */
export const grpcA6: RetryPolicy = make({
  schedule: RetrySchedule.grpcA6({
    maxAttempts: 4,
    initialBackoff: "100 millis",
    maxBackoff: "1 second",
    backoffMultiplier: 2
  }),
  minServerDelay: 0,
  retryIf: (error) =>
    error.reason === "Unavailable" || error.reason === "ConnectionRefused" || error.reason === "ConnectionLost"
})

/**
 * The standard mode of the AWS SDKs, as it is since November 2026: 3 attempts, full jitter below 50 ms (1 s when
 * throttled) times 2. Its quota is `RetryBudget.aws2026()`.
 *
 * @since 0.1.0
 * @category policies
 */
export const aws2026: RetryPolicy = make({ schedule: RetrySchedule.aws2026 })

/**
 * The default failure policy of Kitex: 2 retries at once, after timeouts only.
 *
 * @since 0.1.0
 * @category policies
 */
export const kitexFailure: RetryPolicy = make({
  schedule: Schedule.recurs(2),
  retryIf: (error) => error.reason === "AttemptTimeout"
})

/**
 * The retries of Google's book on site reliability engineering: 3 attempts, randomised exponential backoff. The other
 * half, at most 10 % of retries, is the budget that a layer makes by default.
 *
 * @since 0.1.0
 * @category policies
 */
export const sreTenPercent: RetryPolicy = make({
  schedule: RetrySchedule.exponential({ factor: 2 }).pipe(RetrySchedule.fullJitter, RetrySchedule.retries(2))
})
