/**
 * Decodes the retry part of gRPC service configs (proposal A6), with its validation rules.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Hedge from "../../Hedge.js"
import { checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import type { Retryable, RetryableReason } from "../../RpcError.js"
import { names } from "../errors/grpcCodes.js"
import * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"
import { isName } from "../service/policies.js"
import * as documents from "./decode.js"

const nameOf = (code: string | number): string | undefined =>
  typeof code === "number" ? names[code] : names.find((name) => name === code.toUpperCase())

/** The gRPC code that a failure without one is treated as. */
const codeOfReason: Record<RetryableReason, string> = {
  ConnectionRefused: "UNAVAILABLE",
  ConnectionLost: "UNAVAILABLE",
  Unavailable: "UNAVAILABLE",
  AttemptTimeout: "DEADLINE_EXCEEDED",
  Throttled: "RESOURCE_EXHAUSTED",
  Custom: "UNKNOWN"
}

const codeOf = (error: Retryable): string =>
  (error.code === undefined ? undefined : nameOf(error.code)) ?? codeOfReason[error.reason]

const StatusCode = Schema.Union(Schema.String, Schema.Number).pipe(
  Schema.filter((code) => nameOf(code) !== undefined, { message: (issue) => `no status code: ${String(issue.actual)}` })
)

/** Decodes a proto3 JSON duration, such as `"0.1s"`, to milliseconds. */
const protoDuration = (kind: string, accepts: (seconds: number) => boolean) =>
  Schema.transform(
    Schema.String.pipe(
      Schema.filter((text) => /^\d{1,12}(\.\d{1,9})?s$/.test(text) && accepts(Number(text.slice(0, -1))), {
        message: (issue) => `must be ${kind}, such as "0.1s", got ${JSON.stringify(issue.actual)}`
      })
    ),
    Schema.Number,
    { strict: true, decode: (text) => Number(text.slice(0, -1)) * 1000, encode: (millis) => `${millis / 1000}s` }
  )

const ProtoDuration = protoDuration("a duration greater than zero", (seconds) => seconds > 0)

/** An integer of at least `min` that fits in 32 bits, as the protobuf field does. */
const atLeast = (min: number) =>
  Schema.Number.pipe(
    Schema.filter((n) => Number.isInteger(n) && n >= min && n < 2 ** 31, {
      message: (issue) => `must be an integer of at least ${min}, got ${String(issue.actual)}`
    })
  )

const RetryPolicyConfig = Schema.Struct({
  maxAttempts: atLeast(2),
  initialBackoff: ProtoDuration,
  maxBackoff: ProtoDuration,
  backoffMultiplier: Schema.Number.pipe(
    Schema.filter((n) => Number.isFinite(n) && n > 0, {
      message: (issue) => `must be greater than zero, got ${String(issue.actual)}`
    })
  ),
  retryableStatusCodes: Schema.NonEmptyArray(StatusCode)
})

const HedgingPolicyConfig = Schema.Struct({
  maxAttempts: atLeast(2),
  hedgingDelay: Schema.optional(protoDuration("a duration", () => true)),
  nonFatalStatusCodes: Schema.optional(Schema.Array(StatusCode))
})

const Name = Schema.Struct({ service: Schema.optional(Schema.String), method: Schema.optional(Schema.String) })

const MethodConfig = Schema.Struct({
  // none is no mistake in gRPC: nothing has the policy then
  name: Schema.Array(Name),
  timeout: Schema.optional(ProtoDuration),
  retryPolicy: Schema.optional(RetryPolicyConfig),
  hedgingPolicy: Schema.optional(HedgingPolicyConfig)
})

const ServiceConfig = Schema.Struct({
  methodConfig: Schema.optional(Schema.Array(MethodConfig)),
  retryThrottling: Schema.optional(Schema.Struct({ maxTokens: Schema.Number, tokenRatio: Schema.Number }))
})

const where = "RpcRetry.layerServiceConfig"

const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

/** Converts a name to a pattern: `Service.Method`, `Service.*` or `*`. */
const patternOf = (name: typeof Name.Type, path: string): Result.Result<string, InvalidOption> => {
  const { method = "", service = "" } = name
  if (service === "") {
    return method === "" ? Result.succeed("*") : invalid(path, "has a method and no service")
  }
  const pattern = `${service}.${method === "" ? "*" : method}`
  return isName(pattern) ? Result.succeed(pattern) : invalid(path, `names no method: ${JSON.stringify(pattern)}`)
}

const toPolicy = (config: typeof MethodConfig.Type, maxAttempts: number): RetryPolicy.Options => {
  const { hedgingPolicy, retryPolicy, timeout } = config
  if (hedgingPolicy !== undefined) {
    return { deadline: timeout, ...toHedged(hedgingPolicy, Math.min(maxAttempts, maxLegs)) }
  }
  if (retryPolicy === undefined) {
    return { deadline: timeout, schedule: Schedule.stop }
  }
  const { retryableStatusCodes, ...backoff } = retryPolicy
  return {
    deadline: timeout,
    schedule: RetrySchedule.retries(RetrySchedule.grpcA6(backoff), maxAttempts - 1),
    minServerDelay: 0,
    retryIf: isOneOf(retryableStatusCodes)
  }
}

/** The most attempts of a hedging policy, whatever it says, as in gRPC. */
const maxLegs = 5

const isOneOf = (codes: ReadonlyArray<string | number>): (error: Retryable) => boolean => {
  const names = new Set(codes.map(nameOf))
  return (error) => names.has(codeOf(error))
}

/** Attempts side by side. Whoever writes a hedging policy says that the method may run twice. */
const toHedged = (
  { hedgingDelay = 0, maxAttempts, nonFatalStatusCodes = [] }: typeof HedgingPolicyConfig.Type,
  limit: number
): RetryPolicy.Options => {
  const max = Math.min(maxAttempts, limit)
  const policy = {
    // a failure with no other attempt beside it is followed by the next one at once
    schedule: RetrySchedule.retries(Schedule.forever, max - 1),
    minServerDelay: 0,
    retryIf: isOneOf(nonFatalStatusCodes),
    idempotent: true
  } as const
  // gRPC bounds the extra load by `maxAttempts` and `retryThrottling` only
  return max === 1 ? policy : { ...policy, hedge: Hedge.ofOptions({ after: hedgingDelay, max, load: Infinity }) }
}

/**
 * Decodes a service config into the policies and the budget of a layer. As in gRPC, a method without a retry policy is
 * not retried, and all methods share one budget.
 *
 * - `maxAttempts`: the most attempts of a call, whatever the config says. Default: no limit.
 *
 * @internal
 */
export const fromServiceConfig = (
  json: unknown,
  maxAttempts: number = Number.MAX_SAFE_INTEGER
): Result.Result<{
  readonly default: RetryPolicy.RetryPolicy
  readonly methods: Readonly<Record<string, RetryPolicy.Options>>
  readonly budget: Effect.Effect<RetryBudget.RetryBudget> | "off"
}, InvalidOption> =>
  Result.gen(function*() {
    const range = { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true }
    const limit = yield* checkNumber(where, "maxAttempts", maxAttempts, range)
    const document = yield* documents.parsed(where, json)
    const config = yield* documents.decode(where, ServiceConfig, document, { extra: true })
    const methods = new Map<string, RetryPolicy.Options>()
    for (const [i, methodConfig] of (config.methodConfig ?? []).entries()) {
      const path = `methodConfig[${i}]`
      if (methodConfig.hedgingPolicy !== undefined && methodConfig.retryPolicy !== undefined) {
        return yield* invalid(`${path}.hedgingPolicy`, "must not stand beside a retryPolicy")
      }
      for (const [j, name] of methodConfig.name.entries()) {
        const pattern = yield* patternOf(name, `${path}.name[${j}]`)
        if (methods.has(pattern)) {
          return yield* invalid(`${path}.name[${j}]`, `says ${pattern} for the second time`)
        }
        methods.set(pattern, toPolicy(methodConfig, limit))
      }
    }
    const throttling = config.retryThrottling
    if (throttling !== undefined) {
      yield* Result.mapError(
        RetryBudget.validateGrpc(throttling),
        (error) => documents.at(where, "retryThrottling", error)
      )
    }
    return {
      default: RetryPolicy.none,
      methods: Object.fromEntries(methods),
      budget: throttling === undefined ? "off" : RetryBudget.grpc(throttling)
    }
  })
