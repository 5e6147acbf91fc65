/**
 * One call while it runs.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { CurrentDeadline } from "../../Deadline.js"
import type { Retryable } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { Account } from "../budget/account.js"
import { destinationOf } from "../budget/destination.js"
import * as Causes from "../effect/cause.js"
import type { Gate } from "../gate/gate.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as RetrySchedule from "../policy/schedule.js"
import * as Attempt from "./attempt.js"
import * as AttemptContext from "./context.js"
import * as History from "./history.js"
import { AnnotateLogs, type Observer, type Telemetry } from "./observer.js"

/**
 * What a call is made with.
 *
 * @internal
 */
export interface Settings {
  readonly telemetry: Telemetry
  readonly method: string | undefined
  /** `true` makes a new key for each call. */
  readonly idempotencyKey: string | boolean
  /** The policy of a method, with the options of the call merged over it. */
  readonly policyOf: (method: string | undefined) => RetryPolicy.Complete
  /** What each attempt must pass; none by default. */
  readonly gate?: Gate | undefined
  /** What the options of the call themselves say: it outweighs what its failures and a layer say. */
  readonly idempotent: boolean | undefined
}

/**
 * A call, from before its first attempt to its end. Instants are in milliseconds of the monotonic clock.
 *
 * @internal
 */
export interface Call {
  readonly settings: Settings
  /** Changes once, when a call without a name learns its method from its first failure. */
  policy: RetryPolicy.Complete
  readonly method: string | undefined
  readonly annotateLogs: boolean
  readonly destination: string
  /** Told of what happens; `undefined` when nobody wants to know, and then neither `id` nor `destination` is made. */
  observer: Observer | undefined
  readonly id: number
  readonly clock: Clock.Clock
  attemptContext: AttemptContext.AttemptContext
  readonly startedAt: number
  /** What to add to an instant to show it: the wall clock less the monotonic one. */
  readonly wallOffset: number
  deadline: number
  budget: Account | undefined
  /** The budget of the call at its start. */
  readonly observedBudget: Account | undefined
  /** What the last retry cost, and whether it is still to be made. */
  retryCost: number
  isRetryPending: boolean
  /** How many attempts were started, and the last of them. */
  attempts: number
  attempt: Attempt.Attempt | undefined
  /** In delays, in milliseconds. */
  waited: number
  /** Made at the first failure: a call that succeeds at once pays for neither. */
  schedule: RetrySchedule.Run<Retryable, never> | undefined
  history: History.History | undefined
}

/** @internal */
export const start = (settings: Settings, fiber: Fiber.RuntimeFiber<unknown, unknown>): Call => {
  const { method, telemetry } = settings
  const policy = settings.policyOf(method)
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const startedAt = Monotonic.now(clock)
  const ambient = fiber.currentContext
  const ambientDeadline = read(ambient, CurrentDeadline, Infinity)
  const deadline = deadlineOf(policy, startedAt, ambientDeadline)
  const observer = telemetry.observer(method, policy, fiber)
  const observed = observer !== undefined || policy.spans === true
  return {
    settings,
    policy,
    method,
    annotateLogs: read(ambient, AnnotateLogs, false),
    destination: observed ? destinationOf(method) : "",
    observer,
    id: observed ? telemetry.nextCall() : 0,
    clock,
    attemptContext: AttemptContext.make(
      ambient,
      deadline === ambientDeadline ? undefined : deadline,
      settings.idempotencyKey
    ),
    startedAt,
    wallOffset: observed ? clock.unsafeCurrentTimeMillis() - startedAt : 0,
    deadline,
    budget: policy.budget?.account,
    observedBudget: policy.budget?.account,
    retryCost: 0,
    isRetryPending: false,
    attempts: 0,
    attempt: undefined,
    waited: 0,
    schedule: undefined,
    history: undefined
  }
}

const deadlineOf = (policy: RetryPolicy.Complete, startedAt: number, ambient: number): number =>
  policy.deadline === undefined ? ambient : Math.min(ambient, startedAt + Duration.toMillis(policy.deadline))

/**
 * Gives a call without a name the policy of the method that its first failure names: the name was lost when the call was
 * piped through an operator. Telemetry goes on calling it unnamed, so that its counts of starts and ends agree.
 *
 * @internal
 */
export const learnMethod = (call: Call, error: Retryable, ambient: Context.Context<never>): void => {
  if (call.method !== undefined || error.method === undefined || call.attempts > 1) {
    return
  }
  const policy = call.settings.policyOf(error.method)
  call.policy = { ...policy, spans: call.policy.spans }
  call.budget = policy.budget?.account
  call.deadline = deadlineOf(policy, call.startedAt, read(ambient, CurrentDeadline, Infinity))
  call.attemptContext = AttemptContext.withDeadline(call.attemptContext, call.deadline)
}

/**
 * Whether a failed attempt may be made again although it may have run. What the call's own options say comes first, then
 * what the failed call said of itself, then the policies of the two names it may have.
 *
 * @internal
 */
export const mayRepeat = ({ method, policy, settings }: Call, error: Retryable): boolean =>
  settings.idempotent ?? error.idempotent ??
    (policy.idempotent !== false &&
      (error.method === undefined || error.method === method || settings.policyOf(error.method).idempotent !== false))

/**
 * What the budget holds, for events. Of a budget that was learned of later nothing is said: the events are those of a call
 * without a name, and the budget is not.
 *
 * @internal
 */
export const budgetLevel = (call: Call, now: number): number | undefined =>
  call.budget === call.observedBudget ? call.budget?.level(now) : undefined

/**
 * Starts the next attempt.
 *
 * @internal
 */
export const nextAttempt = (call: Call): Attempt.Attempt => {
  const previous = call.attempt
  const startedAt = previous === undefined ? call.startedAt : Monotonic.now(call.clock)
  const attempt = Attempt.make(++call.attempts, startedAt, previous?.error)
  if (previous !== undefined) {
    call.waited += Monotonic.between(previous.endedAt, attempt.startedAt)
  }
  call.attempt = attempt
  call.isRetryPending = false
  return attempt
}

/**
 * Ends an attempt that did not succeed. An interruption is not its failure: it ends the call, in the middle of the attempt.
 *
 * @internal
 */
export const attemptFailed = (
  call: Call,
  attempt: Attempt.Attempt,
  cause: Cause.Cause<unknown>,
  error: Retryable | undefined
): void => {
  attempt.endedAt = Monotonic.now(call.clock)
  attempt.isRunning = Causes.isInterruption(cause)
  attempt.error = error
}

/**
 * Remembers how an attempt failed.
 *
 * @internal
 */
export const record = (call: Call, attempt: Attempt.Attempt, error: Retryable): void => {
  call.history ??= History.make()
  call.history.failed({
    attempt: attempt.number,
    startedAt: Duration.millis(Monotonic.between(call.startedAt, attempt.startedAt)),
    took: Duration.millis(Attempt.took(attempt)),
    error
  })
}

/**
 * Whether the deadline has passed: a delay can take longer than asked for, when the machine slept or the process was busy.
 *
 * @internal
 */
export const isPastDeadline = (call: Call): boolean => Monotonic.now(call.clock) >= call.deadline

/**
 * The schedule of the call, started at its first failure.
 *
 * @internal
 */
export const schedule = (call: Call): RetrySchedule.Run<Retryable, never> =>
  call.schedule ??= RetrySchedule.start(call.policy.schedule, (error) => error.reason)

/**
 * Pays back a retry that was paid for and not made. Asked again it does nothing.
 *
 * @internal
 */
export const refund = (call: Call): Effect.Effect<void> =>
  Effect.sync(() => {
    if (call.isRetryPending) {
      call.isRetryPending = false
      call.budget!.refund(Monotonic.now(call.clock), call.retryCost)
    }
  })
