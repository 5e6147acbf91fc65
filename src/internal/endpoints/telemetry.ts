/**
 * What is told of the endpoints of a destination: events and metrics.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import * as MetricLabel from "effect/MetricLabel"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Outcome } from "../gate/outcome.js"
import type { OutReason } from "./ejection.js"

/**
 * The fields of every event.
 *
 * @since 0.1.0
 * @category models
 */
export interface OfDestination {
  /** The `name` of the endpoints. */
  readonly destination: string
  /** When it was seen, in milliseconds since 1970. */
  readonly at: number
}

/**
 * An endpoint is in the set, from now on.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointAdded extends OfDestination {
  readonly _tag: "EndpointAdded"
  /** The address, without credentials. */
  readonly address: string
}

/**
 * An endpoint has left the set. Calls in flight at it go on.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointRemoved extends OfDestination {
  readonly _tag: "EndpointRemoved"
  /** The address, without credentials. */
  readonly address: string
}

/**
 * No attempts are made at an endpoint, unless there is a panic.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointOut extends OfDestination {
  readonly _tag: "EndpointOut"
  /** The address, without credentials. */
  readonly address: string
  /** What took it out: the ejection of outliers, or its circuit breaker. */
  readonly reason: OutReason
  /** For how long. */
  readonly outFor: Duration.Duration
}

/**
 * Attempts are made at an endpoint again, that was out.
 *
 * @since 0.1.0
 * @category models
 */
export interface EndpointBack extends OfDestination {
  readonly _tag: "EndpointBack"
  /** The address, without credentials. */
  readonly address: string
}

/**
 * More than half of the endpoints are out, so that all are used.
 *
 * @since 0.1.0
 * @category models
 */
export interface PanicStarted extends OfDestination {
  readonly _tag: "PanicStarted"
  /** How many are out. */
  readonly out: number
  /** How many there are. */
  readonly endpoints: number
}

/**
 * At least half of the endpoints are well again, or have taken the place of others: those that are out are not used.
 *
 * @since 0.1.0
 * @category models
 */
export interface PanicEnded extends OfDestination {
  readonly _tag: "PanicEnded"
}

/**
 * The source has failed. The last list stays in use.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListFailed extends OfDestination {
  readonly _tag: "ListFailed"
  /** Why. */
  readonly error: unknown
}

/**
 * The source has given an empty list. The last one stays in use, for a time.
 *
 * @since 0.1.0
 * @category models
 */
export interface ListEmptied extends OfDestination {
  readonly _tag: "ListEmptied"
}

/**
 * Something that has happened to the endpoints of a destination.
 *
 * @since 0.1.0
 * @category models
 */
export type Event =
  | EndpointAdded
  | EndpointRemoved
  | EndpointOut
  | EndpointBack
  | PanicStarted
  | PanicEnded
  | ListFailed
  | ListEmptied

const endpoints = Metric.gauge("rpc.client.endpoints", {
  description: "Endpoints of a destination: available, or out by ejection or an open circuit breaker"
})
const panic = Metric.gauge("rpc.client.endpoints.panic", {
  description: "1 while so many endpoints are out that all are used, else 0; the sum for destinations of one name"
})
const out = Metric.counter("rpc.client.endpoints.out", {
  description: "How often an endpoint was ejected, or its circuit breaker has opened",
  incremental: true
})
const discoveryFailed = Metric.counter("rpc.client.endpoints.discovery_failed", {
  description: "How often the source of the endpoints has failed",
  incremental: true
})
const attempts = Metric.counter("rpc.client.endpoints.attempts", {
  description: "Attempts that have ended, by endpoint",
  incremental: true
})

const outcomes: Readonly<Record<Outcome, string>> = {
  Success: "success",
  Failure: "failure",
  Ignored: "ignored"
}

/** @internal */
export interface Telemetry {
  /** Tells the readers of events, and counts. */
  readonly emit: (event: Event) => void
  /** Records how many endpoints there are now. Those of all destinations of one name add up. */
  readonly counted: (available: number, out: number, isPanicking: boolean) => void
  /** Takes back what was recorded of endpoints, and records no more: calls in flight may still end. */
  readonly close: () => void
  /** Counts an attempt that has ended; `undefined` when attempts are not counted by endpoint. */
  readonly attemptEnded: ((address: string, outcome: Outcome) => void) | undefined
  /** Calls `listener` for each event. Returns what ends that. */
  readonly listen: (listener: (event: Event) => void) => () => void
}

/**
 * - `labels`: how many addresses have a series of their own; those beyond share one, with the address `other`.
 *
 * @internal
 */
export const make = (destination: string, metrics: { readonly labels: number } | undefined): Telemetry => {
  const listeners = new Set<(event: Event) => void>()
  const labels = (unit: string, more: Readonly<Record<string, string>> = {}) =>
    Object.entries({ unit, "rpc.destination": destination, ...more }).map(([key, value]) =>
      MetricLabel.make(key, value)
    )
  const ofState = (state: string) => labels("{endpoint}", { "rpc.endpoint.state": state })
  const [available, unavailable, panicking] = [ofState("available"), ofState("out"), labels("{panic}")]
  let shown = { available: 0, out: 0, panics: 0 }
  let isClosed = false
  const show = (next: typeof shown): void => {
    endpoints.unsafeModify(next.available - shown.available, available)
    endpoints.unsafeModify(next.out - shown.out, unavailable)
    panic.unsafeModify(next.panics - shown.panics, panicking)
    shown = next
  }
  const record = (event: Event): void => {
    if (event._tag === "EndpointOut") {
      out.unsafeUpdate(1, labels("{endpoint}", { "error.type": event.reason }))
    } else if (event._tag === "ListFailed") {
      discoveryFailed.unsafeUpdate(1, labels("{failure}"))
    }
  }
  return {
    emit: (event) => {
      if (metrics !== undefined) {
        record(event)
      }
      listeners.forEach((listener) => listener(event))
    },
    counted: (available, out, isPanicking) => {
      if (metrics !== undefined && !isClosed) {
        show({ available, out, panics: isPanicking ? 1 : 0 })
      }
    },
    close: () => {
      isClosed = true
      if (metrics !== undefined) {
        show({ available: 0, out: 0, panics: 0 })
      }
    },
    attemptEnded: metrics === undefined || metrics.labels === 0 ? undefined : counter(metrics.labels, labels),
    listen: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    }
  }
}

const counter = (
  max: number,
  labels: (unit: string, more: Readonly<Record<string, string>>) => ReadonlyArray<MetricLabel.MetricLabel>
): NonNullable<Telemetry["attemptEnded"]> => {
  const known = new Set<string>()
  return (address, outcome) => {
    if (known.size < max) {
      known.add(address)
    }
    const shown = known.has(address) ? address : "other"
    attempts.unsafeUpdate(1, labels("{attempt}", { "server.address": shown, "rpc.outcome": outcomes[outcome] }))
  }
}

/** The attribute that only the span of an attempt has. */
const ofAttempts = "previous-rpc-attempts"

/** A call may be wrapped in spans of its own within the attempt, but not in that many. */
const depth = 16

/**
 * Names the endpoint on the span of the attempt, which is the current span or one around it. Without such a span it does
 * nothing.
 *
 * - `address`: without credentials.
 *
 * @internal
 */
export const nameOnSpan = (current: Tracer.AnySpan | undefined, address: string): void => {
  let span = current
  for (let i = 0; i < depth && span?._tag === "Span"; i++) {
    if (span.attributes.has(ofAttempts)) {
      const [, host, port] = /^(\[[^\]]+\]|[^:/]+):(\d+)$/.exec(address) ?? []
      span.attribute("server.address", host === undefined ? address : host.replace(/^\[|\]$/g, ""))
      if (port !== undefined) {
        span.attribute("server.port", Number(port))
      }
      return
    }
    span = Option.getOrUndefined(span.parent)
  }
}
