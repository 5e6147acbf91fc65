/**
 * The state of one call from its start to its end, and the steps that change it.
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
import type { CallIdentity } from "../ambient/progress.js"
import type { Account } from "../budget/account.js"
import { destinationOf } from "../budget/destination.js"
import * as Causes from "../effect/cause.js"
import { type Gate, HeldGates, type Services } from "../gate/gate.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as RetrySchedule from "../policy/schedule.js"
import * as Attempt from "./attempt.js"
import * as AttemptContext from "./context.js"
import * as History from "./history.js"
import { AnnotateLogs, type Observer, type Telemetry } from "./observer.js"

/**
 * The settings that a call is started with.
 *
 * @internal
 */
export interface Settings {
  /** What the effect of the call knows of itself, where it does not tell its attempts so itself. */
  readonly identity?: CallIdentity | undefined
  /** The telemetry of the service that the call belongs to. */
  readonly telemetry: Telemetry
  /** `"Service.Method"`; `undefined` for a call without a name. */
  readonly method: string | undefined
  /** The idempotency key, `true` to generate one for the call, `false` for none. */
  readonly idempotencyKey: string | boolean
  /** Returns the policy of a method, with the options of the call merged over it. */
  readonly policyOf: (method: string | undefined) => RetryPolicy.Complete
  /** What each attempt must pass, the outermost first. Default: the gates of its policy. */
  readonly gates?: ReadonlyArray<Gate> | undefined
  /** The `idempotent` option of the call itself. It takes precedence over the failures of the call and over a layer. */
  readonly idempotent: boolean | undefined
}

/**
 * A call, from before its first attempt to its end. Instants are in milliseconds of the monotonic clock.
 *
 * @internal
 */
export interface Call {
  readonly settings: Settings
  /** The policy in force. It changes at most once, when {@link learnMethod} finds the method in the first failure. */
  policy: RetryPolicy.Complete
  /** The method given at the start; `undefined` for a call without a name. */
  readonly method: string | undefined
  /** Whether log lines written inside an attempt are annotated with it. */
  readonly annotateLogs: boolean
  /** The service part of the method; `""` for a call that is not observed. */
  readonly destination: string
  /** Receives the events of the call; `undefined` when nobody listens. */
  observer: Observer | undefined
  /** The number of the call in its events; 0 for a call that is not observed. */
  readonly id: number
  readonly services: Services
  readonly clock: Clock.Clock
  /** The context values that the attempts of the call are provided with. */
  attemptContext: AttemptContext.AttemptContext
  readonly startedAt: number
  /** The wall clock minus the monotonic one, in milliseconds: add it to an instant to show that instant. */
  readonly wallOffset: number
  /** The instant at which the call ends at the latest; `Infinity` without a deadline. */
  deadline: number
  /** What each attempt must pass, the outermost first. */
  gates: ReadonlyArray<Gate>
  /** The budget that retries are taken from; `undefined` without one. */
  budget: Account | undefined
  /** The budget at the start of the call, the one that events report. */
  readonly observedBudget: Account | undefined
  /** The cost of the last retry. */
  retryCost: number
  /** Whether the last retry is paid for and its attempt has not started yet. */
  isRetryPending: boolean
  /** The number of attempts started. */
  attempts: number
  /** The last attempt started. */
  attempt: Attempt.Attempt | undefined
  /** The time spent in delays, in milliseconds. */
  waited: number
  /** Made at the first failure, so that a call that succeeds at once does not pay for it. */
  schedule: RetrySchedule.Run<Retryable, never> | undefined
  /** Made at the first failure, as `schedule` is. */
  history: History.History | undefined
}

/**
 * Starts a call: reads its policy, its clock and the ambient deadline.
 *
 * @internal
 */
export const start = (settings: Settings, fiber: Fiber.RuntimeFiber<unknown, unknown>): Call => {
  const { method, telemetry } = settings
  const policy = settings.policyOf(method)
  const services = fiber.currentDefaultServices
  const clock = Context.get(services, Clock.Clock)
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
    services,
    clock,
    attemptContext: AttemptContext.make(
      ambient,
      deadline === ambientDeadline ? undefined : deadline,
      settings.idempotencyKey
    ),
    startedAt,
    wallOffset: observed ? clock.unsafeCurrentTimeMillis() - startedAt : 0,
    deadline,
    gates: notHeld(settings.gates ?? gatesOf(policy), ambient),
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

const noGates: ReadonlyArray<Gate> = []

/** What the attempts of a policy must pass, the outermost first. */
const gatesOf = ({ breaker = "off", bulkhead = "off" }: RetryPolicy.Complete): ReadonlyArray<Gate> =>
  breaker === "off" && bulkhead === "off"
    ? noGates
    : [...breaker === "off" ? [] : [breaker.gate], ...bulkhead === "off" ? [] : [bulkhead.gate]]

/** Leaves out what an attempt around this call holds a permit of. */
const notHeld = (gates: ReadonlyArray<Gate>, ambient: Context.Context<never>): ReadonlyArray<Gate> => {
  const held = gates.length === 0 ? noGates : read(ambient, HeldGates, noGates)
  return held.length === 0 ? gates : gates.filter((gate) => !held.includes(gate))
}

const deadlineOf = (policy: RetryPolicy.Complete, startedAt: number, ambient: number): number =>
  policy.deadline === undefined ? ambient : Math.min(ambient, startedAt + Duration.toMillis(policy.deadline))

/**
 * Gives a call without a name the policy of the method that its first failure carries. A call loses its name when an
 * `RpcCall` is piped through an operator before `withRpcRetry`. Telemetry keeps reporting the call as unnamed, so that
 * its counts of starts and ends agree.
 *
 * @internal
 */
export const learnMethod = (call: Call, error: Retryable, ambient: Context.Context<never>): void => {
  if (call.method !== undefined || error.method === undefined || call.attempts > 1) {
    return
  }
  const policy = call.settings.policyOf(error.method)
  call.policy = { ...policy, spans: call.policy.spans }
  call.gates = notHeld(call.settings.gates ?? gatesOf(policy), ambient)
  call.budget = policy.budget?.account
  call.deadline = deadlineOf(policy, call.startedAt, read(ambient, CurrentDeadline, Infinity))
  call.attemptContext = AttemptContext.withDeadline(call.attemptContext, call.deadline)
}

/**
 * Returns whether a request that may have run on the server may be sent again. The `idempotent` option of the call
 * decides first, then the one that the error carries, then the policies of the method of the call and of the method of
 * the error.
 *
 * @internal
 */
export const mayRepeat = ({ method, policy, settings }: Call, error: Retryable): boolean =>
  settings.idempotent ?? error.idempotent ??
    (policy.idempotent !== false &&
      (error.method === undefined || error.method === method || settings.policyOf(error.method).idempotent !== false))

/**
 * Tells the later attempts of a call at which endpoint this one has failed, so that they go elsewhere.
 *
 * @internal
 */
export const learnEndpoint = (call: Call, { endpoint }: Retryable, ambient: Context.Context<never>): void => {
  if (endpoint !== undefined) {
    call.attemptContext = AttemptContext.withTried(call.attemptContext, endpoint, ambient)
  }
}

/**
 * Returns the level of the budget for events. It is `undefined` when {@link learnMethod} changed the budget, because
 * the events of that call are unnamed and the budget belongs to a named destination.
 *
 * @internal
 */
export const budgetLevel = (call: Call, now: number): number | undefined =>
  call.budget === call.observedBudget ? call.budget?.level(now) : undefined

/**
 * Starts the next attempt, and adds the delay before it to `waited`.
 *
 * @internal
 */
export const nextAttempt = (call: Call): Attempt.Attempt => {
  const previous = call.attempt
  // a gate may have kept the first attempt waiting
  const startsWithCall = previous === undefined && call.gates.length === 0
  const startedAt = startsWithCall ? call.startedAt : Monotonic.now(call.clock)
  const attempt = Attempt.make(++call.attempts, startedAt, previous?.error)
  if (previous !== undefined) {
    call.waited += Monotonic.between(previous.endedAt, attempt.startedAt)
  }
  call.attempt = attempt
  call.isRetryPending = false
  return attempt
}

/**
 * Records the end of an attempt that did not succeed. An interrupted attempt stays `isRunning`: the interruption ends
 * the call while the attempt runs.
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
 * Adds a failed attempt to the history of the call.
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
 * Returns whether the deadline has passed. A delay can take longer than asked for when the machine sleeps or the
 * process is busy.
 *
 * @internal
 */
export const isPastDeadline = (call: Call): boolean => Monotonic.now(call.clock) >= call.deadline

/**
 * Returns the running schedule of the call, and starts it at the first failure.
 *
 * @internal
 */
export const schedule = (call: Call): RetrySchedule.Run<Retryable, never> =>
  call.schedule ??= RetrySchedule.start(call.policy.schedule, (error) => error.reason)

/**
 * Returns the cost of a retry that was paid for and not made to the budget. Repeated calls have no effect.
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
