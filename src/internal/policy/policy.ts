/**
 * Policies as values: how they are checked and merged. `RetryPolicy` gives them to users.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import { dual } from "effect/Function"
import { pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Bulkhead from "../../Bulkhead.js"
import * as CircuitBreaker from "../../CircuitBreaker.js"
import * as Hedge from "../../Hedge.js"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import * as Throttle from "../../Throttle.js"
import * as Result from "../result.js"
import { type Complete, type Field, fields, type Options, type RetryPolicy, TypeId } from "./model.js"

export {
  type CommonOptions,
  type Complete,
  type Field,
  fields,
  type HedgedOptions,
  type Options,
  type RetryPolicy,
  TypeId,
  type UnhedgedOptions
} from "./model.js"

/**
 * @since 0.1.0
 * @category guards
 */
export const isRetryPolicy = (u: unknown): u is RetryPolicy => Predicate.hasProperty(u, TypeId)

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

type Fields = Pick<RetryPolicy, Field>

const fromFields = <P extends RetryPolicy = RetryPolicy>(fields: Fields): P =>
  Object.assign(Object.create(Proto), fields)

const where = "RetryPolicy.make"

const optionalDuration = (
  field: string,
  input: Duration.DurationInput | undefined,
  options?: { readonly zero: boolean }
): Result.Result<Duration.Duration | undefined, InvalidOption> =>
  input === undefined ? Result.succeed(undefined) : checkDuration(where, field, input, options)

const optionalOf = <A>(
  field: string,
  input: A | undefined,
  is: Predicate.Predicate<A>,
  kind: string
): Result.Result<A | undefined, InvalidOption> =>
  input === undefined || is(input)
    ? Result.succeed(input)
    : Result.fail(new InvalidOption({ where, field, problem: `must be ${kind}, got ${String(input)}` }))

/** The hedge of a policy that is said to be idempotent. */
const validateHedge = (
  { hedge, idempotent }: { readonly hedge?: unknown; readonly idempotent?: unknown }
): Result.Result<Hedge.Hedge | "off" | undefined, InvalidOption> => {
  if (hedge === undefined || hedge === "off") {
    return Result.succeed(hedge)
  }
  const invalid = (problem: string) => Result.fail(new InvalidOption({ where, field: "hedge", problem }))
  if (!Predicate.isRecord(hedge)) {
    return invalid(`must be a Hedge, its options or "off", got ${String(hedge)}`)
  }
  return idempotent !== true
    ? invalid(`needs idempotent: true beside it, got ${String(idempotent)}`)
    : Hedge.isHedge(hedge)
    ? Result.succeed(hedge)
    : Hedge.validate(where, hedge as unknown as Hedge.Options).pipe(
      Result.mapError(({ field, problem }) => new InvalidOption({ where, field: `hedge.${field}`, problem })),
      Result.map(Hedge.ofOptions)
    )
}

/**
 * Returns the hedge of a policy, unless it is not in force: of a policy that was merged `idempotent` may be said to be
 * something else than beside the hedge.
 *
 * @internal
 */
export const hedgeOf = ({ hedge, idempotent }: RetryPolicy): Hedge.Hedge | undefined =>
  hedge === undefined || hedge === "off" || idempotent !== true ? undefined : hedge

/**
 * Returns the policy with another hedge.
 *
 * @internal
 */
export const withHedge = (policy: Complete, hedge: Hedge.Hedge | "off"): Complete => fromFields({ ...policy, hedge })

/**
 * The policy, or what is wrong with the first bad field.
 *
 * @since 0.1.0
 * @category constructors
 */
export const validate = (options: Options): Result.Result<RetryPolicy, InvalidOption> =>
  isRetryPolicy(options) ? Result.succeed(options) : Result.gen(function*() {
    yield* checkKnown(where, options, fields)
    const schedule = yield* optionalOf("schedule", options.schedule, Schedule.isSchedule, "a Schedule")
    const attemptTimeout = yield* optionalDuration("attemptTimeout", options.attemptTimeout)
    const deadline = yield* optionalDuration("deadline", options.deadline)
    if (attemptTimeout !== undefined && deadline !== undefined && Duration.greaterThan(attemptTimeout, deadline)) {
      const problem = `must not exceed the deadline of ${Duration.format(deadline)}, got ${
        Duration.format(attemptTimeout)
      }`
      return yield* Result.fail(new InvalidOption({ where, field: "attemptTimeout", problem }))
    }
    const idempotent = yield* optionalOf("idempotent", options.idempotent, Predicate.isBoolean, "a boolean")
    const retryIf = yield* optionalOf("retryIf", options.retryIf, Predicate.isFunction, "a function")
    const minServerDelay = yield* optionalDuration("minServerDelay", options.minServerDelay, { zero: true })
    const maxServerDelay = yield* optionalDuration("maxServerDelay", options.maxServerDelay, { zero: true })
    const budget = yield* optionalOf("budget", options.budget, RetryBudget.isRetryBudget, "a RetryBudget")
    const breaker = yield* optionalOf(
      "breaker",
      options.breaker,
      (u) => u === "off" || CircuitBreaker.isCircuitBreaker(u),
      `a CircuitBreaker or "off"`
    )
    const bulkhead = yield* optionalOf(
      "bulkhead",
      options.bulkhead,
      (u) => u === "off" || Bulkhead.isBulkhead(u),
      `a Bulkhead or "off"`
    )
    const throttle = yield* optionalOf(
      "throttle",
      options.throttle,
      (u) => u === "off" || Throttle.isThrottle(u),
      `a Throttle or "off"`
    )
    const hedge = yield* validateHedge(options)
    const onEvent = yield* optionalOf("onEvent", options.onEvent, Predicate.isFunction, "a function")
    const spans = yield* optionalOf("spans", options.spans, Predicate.isBoolean, "a boolean")
    const logs = yield* optionalOf("logs", options.logs, Predicate.isBoolean, "a boolean")
    return fromFields({
      schedule,
      attemptTimeout,
      deadline,
      idempotent,
      retryIf,
      minServerDelay,
      maxServerDelay,
      budget,
      breaker,
      bulkhead,
      throttle,
      hedge,
      onEvent,
      spans,
      logs
    })
  })

/**
 * Makes a policy. Throws `InvalidOption`, which names the field and the value, for one that is out of range.
 *
 * @example
 * ```ts
 * import { RetryPolicy, RetrySchedule } from "effect-rpc-retry"
 *
 * const policy = RetryPolicy.make({
 *   schedule: RetrySchedule.exponential({ base: "50 millis" }).pipe(
 *     RetrySchedule.fullJitter,
 *     RetrySchedule.retries(5)
 *   ),
 *   attemptTimeout: "500 millis",
 *   deadline: "3 seconds"
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): RetryPolicy => orThrow(validate(options))

/**
 * Merges two policies: returns the fields of the second, and those of the first where the second says nothing.
 *
 * @example
 * ```ts
 * import { RetryPolicy } from "effect-rpc-retry"
 *
 * const read = RetryPolicy.make({ attemptTimeout: "200 millis", deadline: "1 second" })
 *
 * // the same, with more time in all
 * const report = RetryPolicy.merge(read, RetryPolicy.make({ deadline: "30 seconds" }))
 * const piped = read.pipe(RetryPolicy.merge(RetryPolicy.make({ deadline: "30 seconds" })))
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge: {
  (that: RetryPolicy): <P extends RetryPolicy>(self: P) => P
  <P extends RetryPolicy>(self: P, that: RetryPolicy): P
} = dual(2, <P extends RetryPolicy>(self: P, that: RetryPolicy): P =>
  fromFields<P>({
    schedule: that.schedule ?? self.schedule,
    attemptTimeout: that.attemptTimeout ?? self.attemptTimeout,
    deadline: that.deadline ?? self.deadline,
    idempotent: that.idempotent ?? self.idempotent,
    retryIf: that.retryIf ?? self.retryIf,
    minServerDelay: that.minServerDelay ?? self.minServerDelay,
    maxServerDelay: that.maxServerDelay ?? self.maxServerDelay,
    budget: that.budget ?? self.budget,
    breaker: that.breaker ?? self.breaker,
    bulkhead: that.bulkhead ?? self.bulkhead,
    throttle: that.throttle ?? self.throttle,
    hedge: that.hedge ?? self.hedge,
    onEvent: that.onEvent ?? self.onEvent,
    spans: that.spans ?? self.spans,
    logs: that.logs ?? self.logs
  }))

/**
 * The library default: 4 attempts at most, delays of 100, 150 and 225 milliseconds, no timeouts.
 *
 * @since 0.1.0
 * @category policies
 */
export const default_: Complete = fromFields({
  schedule: RetrySchedule.standard,
  attemptTimeout: undefined,
  deadline: undefined,
  idempotent: undefined,
  retryIf: undefined,
  minServerDelay: undefined,
  maxServerDelay: Duration.seconds(30),
  budget: undefined,
  breaker: undefined,
  bulkhead: undefined,
  throttle: undefined,
  hedge: undefined,
  onEvent: undefined,
  spans: undefined,
  logs: undefined
})

/**
 * One attempt, no retries. Use it to switch retries off for a call, a method or a layer.
 *
 * @since 0.1.0
 * @category policies
 */
export const none: RetryPolicy = make({ schedule: Schedule.stop })
