/**
 * The state of one call from its start to its end, and the steps that change it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Fiber from "effect/Fiber"
import { CurrentAttempt, CurrentDeadline, InheritedAttempt } from "../../Deadline.js"
import type { Retryable } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { AttemptProgress, CallIdentity } from "../ambient/progress.js"
import type { Account } from "../budget/account.js"
import { destinationOf } from "../budget/destination.js"
import * as Causes from "../effect/cause.js"
import type * as Timer from "../effect/timer.js"
import { type Gate, HeldGates, type Services } from "../gate/gate.js"
import type { Core as Hedge } from "../hedge/core.js"
import { hedgeOf } from "../policy/policy.js"
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
  /** The fiber that runs it: the attempts of a call may have fibers of their own. */
  readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
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
  /** What each attempt must pass, the outermost first; of a call with a hedge, what the legs of a race pass as one. */
  gates: ReadonlyArray<Gate>
  /** What each leg must pass for itself, the outermost first. */
  legGates: ReadonlyArray<Gate>
  /** What starts the legs; `undefined` for a call that is not hedged. */
  hedge: Hedge | undefined
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
  /** The number of rounds that have failed: a round is one attempt, or the legs of one race. */
  failedRounds: number
  /** The last attempt started. */
  attempt: Attempt.Attempt | undefined
  /** The time spent in delays, in milliseconds. */
  waited: number
  /** Made at the first failure, so that a call that succeeds at once does not pay for it. */
  schedule: RetrySchedule.Run<Retryable, never> | undefined
  /** Made at the first failure, as `schedule` is. */
  history: History.History | undefined
  /** Stops what the delay waits for, where that does not stop by itself. */
  stopDelay: Timer.Stop | undefined
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
  const hedge = hedgeIn(policy, ambient)
  return {
    settings,
    fiber,
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
    gates: notHeld(gatesOf(settings, policy, hedge), ambient),
    legGates: notHeld(legGatesOf(settings, policy, hedge), ambient),
    hedge,
    budget: policy.budget?.account,
    observedBudget: policy.budget?.account,
    retryCost: 0,
    isRetryPending: false,
    attempts: 0,
    failedRounds: 0,
    attempt: undefined,
    waited: 0,
    schedule: undefined,
    history: undefined,
    stopDelay: undefined
  }
}

const noGates: ReadonlyArray<Gate> = []

const gate = (one: { readonly gate: Gate } | "off" | undefined): ReadonlyArray<Gate> =>
  one === undefined || one === "off" ? noGates : [one.gate]

/** What an attempt, or a race of several, must pass, the outermost first. */
const gatesOf = (
  { gates }: Settings,
  { breaker, bulkhead }: RetryPolicy.Complete,
  hedge: Hedge | undefined
): ReadonlyArray<Gate> =>
  gates ??
    (breaker === undefined && bulkhead === undefined
      ? noGates
      : hedge === undefined
      ? [...gate(breaker), ...gate(bulkhead)]
      : gate(breaker))

/** What each leg of a race must pass, the outermost first. */
const legGatesOf = (
  { gates }: Settings,
  { bulkhead }: RetryPolicy.Complete,
  hedge: Hedge | undefined
): ReadonlyArray<Gate> => hedge === undefined || gates !== undefined ? noGates : gate(bulkhead)

/** What starts the legs of a call, unless it must not run twice, or is a retry itself. */
const hedgeIn = (policy: RetryPolicy.Complete, ambient: Context.Context<never>): Hedge | undefined =>
  policy.hedge === undefined || isAgain(ambient) ? undefined : hedgeOf(policy)?.core

/** Whether the call is part of an attempt that is no first one: hedges of retries would multiply. */
const isAgain = (ambient: Context.Context<never>): boolean =>
  read(ambient, CurrentAttempt, 1) > 1 || read(ambient, InheritedAttempt, 1) !== 1

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
  if (call.method !== undefined || error.method === undefined || call.failedRounds > 1) {
    return
  }
  const policy = call.settings.policyOf(error.method)
  call.policy = { ...policy, spans: call.policy.spans }
  call.hedge = hedgeIn(policy, ambient)
  call.gates = notHeld(gatesOf(call.settings, policy, call.hedge), ambient)
  call.legGates = notHeld(legGatesOf(call.settings, policy, call.hedge), ambient)
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
 * A leg of a race: an attempt beside others, from before it starts.
 *
 * @internal
 */
export interface Leg {
  /** Its number among the legs of the race, from 1. */
  readonly number: number
  /** The error of the leg that it follows; `undefined` for the first one, and where others are late. */
  readonly after: Retryable | undefined
  /** What it has cost of the retry budget. */
  readonly cost: number
  /** The attempt, once it has started; `undefined` while the leg waits behind a gate. */
  attempt: Attempt.Attempt | undefined
  /** What is known of the requests of the attempt, once it has started. */
  progress: AttemptProgress | undefined
  /** What the legs of the race share. */
  readonly race: Race
}

/**
 * What the legs of one race share.
 *
 * @internal
 */
export interface Race {
  /** Whether one of them was answered: those that have not started are not to. */
  isAnswered: boolean
}

/**
 * Makes a leg that has not started.
 *
 * @internal
 */
export const leg = (race: Race, number: number, after: Retryable | undefined, cost: number): Leg => ({
  number,
  after,
  cost,
  attempt: undefined,
  progress: undefined,
  race
})

/**
 * Starts the next attempt, and adds the delay before it to `waited`. The first leg of a race starts as an attempt
 * without legs does, the others at once.
 *
 * @internal
 */
export const nextAttempt = (call: Call, leg?: Leg): Attempt.Attempt => {
  const previous = leg === undefined || leg.number === 1 ? call.attempt : undefined
  // a gate may have kept the first attempt waiting
  const startsWithCall = call.attempts === 0 && call.gates.length === 0 && call.legGates.length === 0
  const startedAt = startsWithCall ? call.startedAt : Monotonic.now(call.clock)
  const attempt = Attempt.make(
    ++call.attempts,
    startedAt,
    previous?.error ?? leg?.after,
    leg?.number,
    call.isRetryPending ? call.retryCost : leg?.cost ?? 0
  )
  if (previous !== undefined) {
    call.waited += Monotonic.between(previous.endedAt, attempt.startedAt)
  }
  if (leg !== undefined) {
    leg.attempt = attempt
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
  attempt.hint = error?.retryAfter
}

/**
 * Adds a failed attempt to the history of the call.
 *
 * @internal
 */
export const record = (call: Call, attempt: Attempt.Attempt): void => {
  call.history = History.add(call.history, attempt)
}

/**
 * Returns whether the deadline has passed. A delay can take longer than asked for when the machine sleeps or the
 * process is busy.
 *
 * @internal
 */
export const isPastDeadline = ({ clock, deadline }: Call): boolean =>
  deadline !== Infinity && Monotonic.now(clock) >= deadline

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
export const refund = (call: Call): void => {
  if (call.isRetryPending) {
    call.isRetryPending = false
    call.budget!.refund(Monotonic.now(call.clock), call.retryCost)
  }
}
