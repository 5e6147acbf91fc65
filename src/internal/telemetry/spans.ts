/**
 * Spans: one for each call, with a child for each attempt. Spans that a transport opens become children of the attempt.
 *
 * Attributes have the names of OpenTelemetry's conventions (`rpc.method`, `error.type`) and of gRPC's proposal A72
 * (`previous-rpc-attempts`) where these have one.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import { destinationOf } from "../budget/destination.js"
import type { Attempt } from "../call/attempt.js"
import type { Call } from "../call/call.js"
import type { Observer } from "../call/observer.js"
import type { RetryEvent } from "../event/event.js"
import { type End, endOf } from "../event/outcome.js"
import * as Result from "../result.js"

const named = ({ method }: Call): Record<string, unknown> => {
  const destination = destinationOf(method)
  return {
    ...(method === undefined ? {} : { "rpc.method": method }),
    ...(destination === "" ? {} : { "rpc.destination": destination })
  }
}

const ended = (span: Tracer.Span, { outcome, reason }: End) => {
  span.attribute("rpc.outcome", outcome)
  if (reason !== undefined) {
    span.attribute("error.type", reason)
  }
}

/** The most events kept on the span of a call. The number of those beyond is set as an attribute when the call ends. */
const maxEvents = 100

/** Makes an observer that adds the events of a call to its span. */
const annotating = (span: Tracer.Span, nanos: () => bigint): Observer => {
  let eventCount = 0
  const tell = (name: string, attributes: Record<string, unknown>) => {
    if (++eventCount <= maxEvents) {
      span.event(name, nanos(), attributes)
    }
  }
  return (event: RetryEvent) => {
    switch (event._tag) {
      case "RetryScheduled":
        return tell("retry scheduled", {
          "rpc.attempt": event.attempt,
          "rpc.delay_ms": Duration.toMillis(event.delay),
          "error.type": event.error.reason
        })
      case "RetryRefused":
        // not counted: there is at most one, and it says why the call ended
        return span.event("retry refused", nanos(), { "rpc.attempt": event.attempt, "error.type": event.reason })
      case "HedgeWon":
        return tell("hedge won", { "rpc.attempt": event.attempt, "rpc.leg": event.leg })
      case "HedgeRefused":
        return tell("hedge refused", { "rpc.hedge.reason": event.reason })
      case "BudgetLow":
        return tell("retry budget low", { "rpc.budget": event.level })
      case "CallSucceeded":
      case "CallFailed":
      case "CallInterrupted":
        if (eventCount > maxEvents) {
          span.attribute("otel.dropped_events_count", eventCount - maxEvents)
        }
        return span.attribute("rpc.attempts", event.attempts)
    }
  }
}

/** Ignores what a tracer throws, so that it cannot fail the call. */
const harmless = (observer: Observer): Observer => (event) => void Result.try(() => observer(event))

/**
 * Runs a call in a span.
 *
 * - `evaluate`: makes the call, given the observer that adds events to the span.
 *
 * @internal
 */
export const ofCall = <A, E, R>(
  call: Call,
  evaluate: (observer: Observer) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const options = { kind: "internal", attributes: named(call), captureStackTrace: false } as const
  return Effect.useSpan(
    call.method ?? "rpc call",
    options,
    (span) =>
      evaluate(harmless(annotating(span, () => call.clock.unsafeCurrentTimeNanos()))).pipe(
        Effect.withParentSpan(span),
        endedWith(span)
      )
  )
}

/**
 * Runs an attempt in a span, a child of the span of its call.
 *
 * @internal
 */
export const ofAttempt = <A, E, R>(
  call: Call,
  attempt: Attempt,
  self: Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => {
  const leg = attempt.leg === undefined ? {} : { "rpc.leg": attempt.leg }
  const attributes = { ...named(call), "previous-rpc-attempts": attempt.number - 1, ...leg }
  return Effect.useSpan(
    `${call.method ?? "rpc call"} attempt`,
    { kind: "client", attributes, captureStackTrace: false },
    (span) => self.pipe(Effect.withParentSpan(span), endedWith(span))
  )
}

const endedWith = (span: Tracer.Span) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onExit(self, (exit) =>
    Effect.sync(() => {
      const end: End = Exit.isSuccess(exit) ? { outcome: "success", reason: undefined } : endOf(exit.cause)
      void Result.try(() => ended(span, end))
    }))
