/**
 * The state of one call from its start to its end, and the steps that change it.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Fiber from "effect/Fiber"
import { CurrentDeadline } from "../../Deadline.js"
import type { Retryable } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Monotonic from "../ambient/monotonic.js"
import type { AttemptProgress, CallIdentity } from "../ambient/progress.js"
import type { Account } from "../budget/account.js"
import * as Causes from "../effect/cause.js"
import type * as Timer from "../effect/timer.js"
import type { Gate, Services } from "../gate/gate.js"
import type { Core as Hedge } from "../hedge/core.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as RetrySchedule from "../policy/schedule.js"
import * as Attempt from "./attempt.js"
import * as AttemptContext from "./context.js"
import * as Gates from "./gates.js"
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

/** The tag of the clock, as a reference: every fiber has a clock. */
const clockOf = Clock.Clock as { readonly key: string; readonly Service: Clock.Clock | undefined }

/**
 * What a call is started with: its policy, its clock and who observes it, read once.
 *
 * @internal
 */
export class Start {
  declare readonly settings: Settings
  declare readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  declare readonly policy: RetryPolicy.Complete
  declare readonly observer: Observer | undefined
  declare readonly clock: Clock.Clock
  /** The instant at which the call starts, in milliseconds of the monotonic clock. */
  declare readonly startedAt: number

  constructor(settings: Settings, fiber: Fiber.RuntimeFiber<unknown, unknown>) {
    this.settings = settings
    this.fiber = fiber
    this.policy = settings.policyOf(settings.method)
    this.observer = settings.telemetry.observer(settings.method, this.policy, fiber)
    this.clock = read(fiber.currentDefaultServices, clockOf, undefined)!
    this.startedAt = Monotonic.now(this.clock)
  }
}

/**
 * Returns whether nobody watches the call, nothing bounds it, and its first attempt sees the context of the caller: then
 * it needs no state before its first failure.
 *
 * @internal
 */
export const isPlain = ({ fiber, observer, policy, settings }: Start): boolean =>
  observer === undefined && policy.spans !== true && policy.deadline === undefined &&
  policy.attemptTimeout === undefined && policy.budget === undefined && policy.breaker === undefined &&
  policy.bulkhead === undefined && policy.throttle === undefined && policy.hedge === undefined &&
  settings.gates === undefined && settings.idempotencyKey === false && isPlainIn(fiber.currentContext, settings)

const isPlainIn = (ambient: Context.Context<never>, { identity }: Settings): boolean =>
  read(ambient, CurrentDeadline, Infinity) === Infinity && !read(ambient, AnnotateLogs, false) &&
  AttemptContext.isPlainIn(ambient, identity !== undefined)

/**
 * A call, from before its first attempt to its end. Instants are in milliseconds of the monotonic clock.
 *
 * What is made for each call is made by constructors: the engine of JavaScript may come to allocate the objects of a
 * literal in its old generation, where each keeps alive what it refers to, and a call then takes twice as long.
 *
 * @internal
 */
export class Call {
  declare readonly settings: Settings
  /** The fiber that runs it: the attempts of a call may have fibers of their own. */
  declare readonly fiber: Fiber.RuntimeFiber<unknown, unknown>
  /** The policy in force. It changes at most once, when {@link learnMethod} finds the method in the first failure. */
  declare policy: RetryPolicy.Complete
  /** The method given at the start; `undefined` for a call without a name. */
  declare readonly method: string | undefined
  /** Whether log lines written inside an attempt are annotated with it. */
  declare readonly annotateLogs: boolean
  /** Receives the events of the call; `undefined` when nobody listens. */
  declare observer: Observer | undefined
  /** Whether its end is reported by what is around its attempts. */
  declare isReported: boolean
  /** The number of the call in its events; 0 for a call that is not observed. */
  declare readonly id: number
  declare readonly services: Services
  declare readonly clock: Clock.Clock
  /** The context values that the attempts of the call are provided with. */
  declare attemptContext: AttemptContext.AttemptContext
  declare readonly startedAt: number
  /**
   * The wall clock minus the monotonic one, in milliseconds: add it to an instant to show that instant. 0 for a call whose
   * events nobody reads but the metrics, which have no time of day.
   */
  declare wallOffset: number
  /** The instant at which the call ends at the latest; `Infinity` without a deadline. */
  declare deadline: number
  /** What each attempt must pass, the outermost first; of a call with a hedge, what the legs of a race pass as one. */
  declare gates: ReadonlyArray<Gate>
  /** What each leg must pass for itself, the outermost first. */
  declare legGates: ReadonlyArray<Gate>
  /** What starts the legs; `undefined` for a call that is not hedged. */
  declare hedge: Hedge | undefined
  /** The budget that retries are taken from; `undefined` without one. */
  declare budget: Account | undefined
  /** The budget at the start of the call, the one that events report. */
  declare readonly observedBudget: Account | undefined
  /** The cost of the last retry. */
  declare retryCost: number
  /** Whether the last retry is paid for and its attempt has not started yet. */
  declare isRetryPending: boolean
  /** The number of attempts started. */
  declare attempts: number
  /** The number of rounds that have failed: a round is one attempt, or the legs of one race. */
  declare failedRounds: number
  /** The last attempt started. */
  declare attempt: Attempt.Attempt | undefined
  /** When the attempt was answered that ends the call, where its budget had to know; `undefined` elsewhere. */
  declare answeredAt: number | undefined
  /** The time spent in delays, in milliseconds. */
  declare waited: number
  /** Made at the first failure, so that a call that succeeds at once does not pay for it. */
  declare schedule: RetrySchedule.Run<Retryable, never> | undefined
  /** Made at the first failure, as `schedule` is. */
  declare history: History.History | undefined
  /** Stops what the delay waits for, where that does not stop by itself. */
  declare stopDelay: Timer.Stop | undefined

  constructor({ clock, fiber, observer, policy, settings, startedAt }: Start) {
    const ambient = fiber.currentContext
    const ambientDeadline = read(ambient, CurrentDeadline, Infinity)
    const deadline = deadlineOf(policy, startedAt, ambientDeadline)
    const hedge = Gates.hedgeOf(policy, ambient)
    const ownDeadline = deadline === ambientDeadline ? undefined : deadline
    const account = policy.budget?.account
    this.settings = settings
    this.fiber = fiber
    this.policy = policy
    this.method = settings.method
    this.annotateLogs = read(ambient, AnnotateLogs, false)
    this.observer = observer
    this.isReported = false
    this.id = observer !== undefined || policy.spans === true ? settings.telemetry.nextCall() : 0
    this.services = fiber.currentDefaultServices
    this.clock = clock
    this.attemptContext = AttemptContext.make(ambient, ownDeadline, settings.idempotencyKey)
    this.startedAt = startedAt
    this.wallOffset = 0
    this.deadline = deadline
    this.gates = Gates.ofRound(settings.gates, policy, hedge, ambient)
    this.legGates = Gates.ofLeg(settings.gates, policy, hedge, ambient)
    this.hedge = hedge
    this.budget = account
    this.observedBudget = account
    this.retryCost = 0
    this.isRetryPending = false
    this.attempts = 0
    this.failedRounds = 0
    this.attempt = undefined
    this.answeredAt = undefined
    this.waited = 0
    this.schedule = undefined
    this.history = undefined
    this.stopDelay = undefined
  }
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
  call.hedge = Gates.hedgeOf(policy, ambient)
  call.gates = Gates.ofRound(call.settings.gates, policy, call.hedge, ambient)
  call.legGates = Gates.ofLeg(call.settings.gates, policy, call.hedge, ambient)
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
  /** Whether one of them has ended the race: those that have not started are not to. */
  isOver: boolean
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
