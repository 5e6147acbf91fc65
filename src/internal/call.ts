/**
 * One call while it runs.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { CurrentDeadline } from "../Deadline.js"
import type * as RetryPolicy from "../RetryPolicy.js"
import { type ExhaustedReason, isRpcError, type Retryable, RetryExhausted } from "../RpcError.js"
import { read } from "./ambient.js"
import type { Account } from "./budget.js"
import { destinationOf } from "./destination.js"
import * as Facts from "./facts.js"
import type * as History from "./history.js"
import { AnnotateLogs } from "./logs.js"
import type * as RetrySchedule from "./schedule.js"
import type { Observer, Telemetry } from "./telemetry.js"

/**
 * What a call is made with. `idempotencyKey: true` makes a new key for each call.
 *
 * @internal
 */
export interface Settings {
  readonly policy: RetryPolicy.Complete
  readonly telemetry: Telemetry
  readonly method: string | undefined
  readonly idempotencyKey: string | boolean
}

/**
 * Instants are in milliseconds of the clock.
 *
 * @internal
 */
export interface Call {
  readonly policy: RetryPolicy.Complete
  readonly method: string | undefined
  readonly annotateLogs: boolean
  readonly destination: string
  /** Told of what happens; `undefined` when nobody wants to know, and then neither `id` nor `destination` is made. */
  observer: Observer | undefined
  readonly id: number
  readonly clock: Clock.Clock
  readonly facts: Facts.Facts
  readonly startedAt: number
  readonly deadline: number
  readonly budget: Account | undefined
  /** What the last retry cost, and whether it is still to be made. */
  paid: number
  owed: boolean
  attempts: number
  attemptStartedAt: number
  /** Whether an attempt is under way. */
  attempting: boolean
  /** When the last attempt failed, and how. */
  attemptEndedAt: number
  last: Retryable | undefined
  /** In delays, in milliseconds. */
  waited: number
  /** The deadline cut the last attempt. */
  deadlineExceeded: boolean
  /** Made at the first failure: a call that succeeds at once pays for neither. */
  schedule: RetrySchedule.Run<Retryable, never> | undefined
  history: History.History | undefined
}

/** @internal */
export const start = (settings: Settings, fiber: Fiber.RuntimeFiber<unknown, unknown>): Call => {
  const { method, policy, telemetry } = settings
  const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
  const startedAt = clock.unsafeCurrentTimeMillis()
  const ambient = fiber.currentContext
  const ambientDeadline = read(ambient, CurrentDeadline, Infinity)
  const deadline = policy.deadline === undefined
    ? ambientDeadline
    : Math.min(ambientDeadline, startedAt + Duration.toMillis(policy.deadline))
  const observer = telemetry.observer(method, policy, fiber)
  const observed = observer !== undefined || policy.spans === true
  return {
    policy,
    method,
    annotateLogs: read(ambient, AnnotateLogs, false),
    destination: observed ? destinationOf(method) : "",
    observer,
    id: observed ? telemetry.nextCall() : 0,
    clock,
    facts: Facts.make(ambient, deadline === ambientDeadline ? undefined : deadline, settings.idempotencyKey),
    startedAt,
    deadline,
    budget: policy.budget?.account,
    paid: 0,
    owed: false,
    attempts: 0,
    attemptStartedAt: startedAt,
    attempting: false,
    attemptEndedAt: startedAt,
    last: undefined,
    waited: 0,
    deadlineExceeded: false,
    schedule: undefined,
    history: undefined
  }
}

/** @internal */
export const nextAttempt = (call: Call): void => {
  call.attempts++
  call.attempting = true
  call.owed = false
  if (call.attempts > 1) {
    call.attemptStartedAt = call.clock.unsafeCurrentTimeMillis()
    call.waited += call.attemptStartedAt - call.attemptEndedAt
  }
}

/** @internal */
export const attemptFailed = (call: Call, error: Retryable | undefined): void => {
  call.attemptEndedAt = call.clock.unsafeCurrentTimeMillis()
  call.last = error
}

/**
 * Whether the deadline has passed: a delay can take longer than asked for, when the machine slept or the process was busy.
 *
 * @internal
 */
export const isOver = (call: Call): boolean => call.clock.unsafeCurrentTimeMillis() >= call.deadline

/**
 * An answer feeds the budget, and a domain error is one. None of our own errors is: not `Fatal`, and not what a call inside
 * this one gave up with.
 *
 * @internal
 */
export const counted = <A, E, R>(self: Effect.Effect<A, E, R>, call: Call): Effect.Effect<A, E, R> => {
  const { budget } = call
  if (budget === undefined) {
    return self
  }
  const answered = Effect.sync(() => budget.succeeded(call.clock.unsafeCurrentTimeMillis(), call.paid))
  return Effect.tapBoth(self, {
    onSuccess: () => answered,
    onFailure: (error) => isRpcError(error) ? Effect.void : answered
  })
}

/**
 * Pays back a retry that was paid for and not made.
 *
 * @internal
 */
export const refund = (call: Call): Effect.Effect<void> =>
  Effect.sync(() => {
    if (call.owed) {
      call.owed = false
      call.budget?.refund(call.clock.unsafeCurrentTimeMillis(), call.paid)
    }
  })

/** @internal */
export const exhausted = (call: Call, last: Retryable, reason: ExhaustedReason): RetryExhausted =>
  new RetryExhausted({
    method: call.method ?? last.method,
    reason,
    attempts: call.attempts,
    elapsed: Duration.millis(call.clock.unsafeCurrentTimeMillis() - call.startedAt),
    last,
    history: call.history?.attempts() ?? []
  })
