/**
 * Records events as metrics.
 *
 * Names are those of gRPC's proposals A66 and A96, with `rpc.client` for `grpc.client`, and of OpenTelemetry's
 * conventions for RPC, where these have one.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import type * as MetricKeyType from "effect/MetricKeyType"
import * as MetricLabel from "effect/MetricLabel"
import { destinationOf } from "../budget/destination.js"
import type { CircuitEvent } from "../call/observer.js"
import type { EndOfCall, HedgeRefused, Outcome, Reason, RetryEvent } from "../event/event.js"

/** Histogram boundaries in seconds, as OpenTelemetry advises for `rpc.client.call.duration`. */
const seconds = MetricBoundaries.fromIterable([
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10
])

type Key = MetricKey.MetricKey<
  | MetricKeyType.MetricKeyType.Counter<number>
  | MetricKeyType.MetricKeyType.Gauge<number>
  | MetricKeyType.MetricKeyType.Histogram
>

/** Adds the label from which the exporters of `@effect/opentelemetry` read the unit of a metric. */
const withUnit = (key: Key, unit: string): Key => MetricKey.taggedWithLabels(key, [MetricLabel.make("unit", unit)])

const counter = (name: string, unit: string, description: string) =>
  withUnit(MetricKey.counter(name, { description, incremental: true }), unit)

const attemptStarted = counter("rpc.client.attempt.started", "{attempt}", "Attempts started")
const attemptDuration = withUnit(
  MetricKey.histogram("rpc.client.attempt.duration", seconds, "How long an attempt took"),
  "s"
)
const retryStarted = counter("rpc.client.retry.started", "{retry}", "Retries started: attempts after the first")
const retryRefused = counter("rpc.client.retry.refused", "{retry}", "Failed attempts that no retry followed")
const hedgeStarted = counter("rpc.client.hedge.started", "{attempt}", "Extra legs started beside other attempts")
const hedgeWon = counter("rpc.client.hedge.won", "{call}", "Calls that an extra leg has ended")
const hedgeRefused = counter("rpc.client.hedge.refused", "{attempt}", "Extra legs that were due and not allowed")
const budgetLevel = withUnit(
  MetricKey.gauge("rpc.client.retry.budget", { description: "What the retry budget held when a call last ended" }),
  "{retry}"
)
const circuitState = withUnit(
  MetricKey.gauge("rpc.client.circuit.state", {
    description: "The state of a circuit breaker: 0 closed, 1 half-open or closing, 2 open"
  }),
  "{state}"
)
const circuitOpened = counter("rpc.client.circuit.opened", "{opening}", "How often a circuit breaker has opened")
const callDuration = withUnit(
  MetricKey.histogram("rpc.client.call.duration", seconds, "How long a call took, all attempts and delays included"),
  "s"
)
const callAttempts = withUnit(
  MetricKey.histogram(
    "rpc.client.call.attempts",
    MetricBoundaries.fromIterable([1, 2, 3, 4, 5, 10]),
    "How many attempts a call made"
  ),
  "{attempt}"
)
const callRetryDelay = withUnit(
  MetricKey.histogram("rpc.client.call.retry_delay", seconds, "How long a retried call waited in all its delays"),
  "s"
)
const callExhausted = counter("rpc.client.call.exhausted", "{call}", "Calls that gave up after at least one attempt")
const callRejected = counter("rpc.client.call.rejected", "{call}", "Calls turned away before anything was sent")

type Labels = ReadonlyArray<MetricLabel.MetricLabel>

const label = MetricLabel.make

/**
 * Makes the series of a key with fixed labels. `Metric.taggedWithLabels` would join the labels again at each update.
 */
const series = (key: Key, labels: Labels) => Metric.fromMetricKey(MetricKey.taggedWithLabels(key, labels))

type Series = ReturnType<typeof series>

/** Caches the series of one key by outcome and reason. Both are from short lists, so that the cache stays small. */
const byEnd = (key: Key, common: Labels) => {
  const made = new Map<string, ReturnType<typeof series>>()
  return (outcome: Outcome | undefined, reason?: Reason) => {
    const name = reason === undefined ? outcome ?? "" : outcome === undefined ? reason : `${outcome} ${reason}`
    const known = made.get(name)
    if (known !== undefined) {
      return known
    }
    const one = series(key, [
      ...common,
      ...(outcome === undefined ? [] : [label("rpc.outcome", outcome)]),
      ...(reason === undefined ? [] : [label("error.type", reason)])
    ])
    made.set(name, one)
    return one
  }
}

const toSeconds = (duration: Duration.Duration) => Duration.toMillis(duration) / 1000

/**
 * Records one event.
 *
 * - `labels`: the labels that the application set with `Effect.tagMetrics`.
 * - `gauged`: whether the budget of the call is that of its destination, so that the gauge shows it.
 */
type Recorder = (event: RetryEvent, labels: Labels, gauged: boolean) => void

/** Makes the recorder for the calls of one method. */
const forMethod = (method: string, destination: string): Recorder => {
  const ofDestination = [label("rpc.destination", destination)]
  const common = [label("rpc.method", method), ...ofDestination]
  const started = series(attemptStarted, common)
  const attempt = byEnd(attemptDuration, common)
  const retried = byEnd(retryStarted, common)
  const refused = byEnd(retryRefused, common)
  const legs = series(hedgeStarted, common)
  const won = series(hedgeWon, common)
  const refusedBy = (reason: HedgeRefused["reason"]) =>
    series(hedgeRefused, [...common, label("rpc.hedge.reason", reason)])
  const refusedLegs = {
    LoadExhausted: refusedBy("LoadExhausted"),
    BudgetExhausted: refusedBy("BudgetExhausted")
  }
  const duration = byEnd(callDuration, common)
  const attempts = byEnd(callAttempts, common)
  const retryDelay = byEnd(callRetryDelay, common)
  const exhausted = byEnd(callExhausted, common)
  const rejected = byEnd(callRejected, common)
  const level = series(budgetLevel, ofDestination)

  const ended = (
    event: EndOfCall,
    outcome: Outcome,
    reason: Reason | undefined,
    labels: Labels,
    gauged: boolean
  ) => {
    duration(outcome, reason).unsafeUpdate(toSeconds(event.elapsed), labels)
    if (event.attempts > 0) {
      attempts(outcome).unsafeUpdate(event.attempts, labels)
    }
    if (Duration.greaterThan(event.waited, Duration.zero)) {
      retryDelay(outcome).unsafeUpdate(toSeconds(event.waited), labels)
    }
    if (gauged && event.budget !== undefined && Number.isFinite(event.budget)) {
      level.unsafeUpdate(event.budget, labels)
    }
  }

  return (event, labels, gauged) => {
    switch (event._tag) {
      case "AttemptStarted":
        if (event.leg !== undefined && event.leg > 1) {
          legs.unsafeUpdate(1, labels)
        } else if (event.after !== undefined) {
          retried(undefined, event.after.reason).unsafeUpdate(1, labels)
        }
        return started.unsafeUpdate(1, labels)
      case "AttemptSucceeded":
        return attempt("success").unsafeUpdate(toSeconds(event.took), labels)
      case "AttemptFailed":
        return attempt(event.outcome, event.reason).unsafeUpdate(toSeconds(event.took), labels)
      case "AttemptCancelled":
        return attempt("interrupted").unsafeUpdate(toSeconds(event.took), labels)
      case "HedgeWon":
        return won.unsafeUpdate(1, labels)
      case "HedgeRefused":
        return refusedLegs[event.reason].unsafeUpdate(1, labels)
      case "RetryRefused":
        return refused(undefined, event.reason).unsafeUpdate(1, labels)
      case "CallSucceeded":
        return ended(event, "success", undefined, labels, gauged)
      case "CallFailed":
        if (event.outcome === "exhausted") {
          exhausted(undefined, event.reason).unsafeUpdate(1, labels)
        } else if (event.outcome === "rejected") {
          rejected(undefined, event.reason).unsafeUpdate(1, labels)
        }
        return ended(event, event.outcome, event.reason, labels, gauged)
      case "CallInterrupted":
        if (event.during === "attempt") {
          attempt("interrupted").unsafeUpdate(toSeconds(event.took), labels)
        }
        return ended(event, "interrupted", undefined, labels, gauged)
    }
  }
}

/** The value of the gauge of a circuit breaker's state. */
const circuitValue = (event: CircuitEvent): number =>
  event._tag === "CircuitOpened" ? 2 : event._tag === "CircuitHalfOpen" || event.isRamping ? 1 : 0

/**
 * Returns what records the circuit breakers of a service: the state of each, and how often it has opened. A service has
 * a bounded number of destinations.
 */
const forCircuits = () => {
  const known = new Map<string, { readonly state: Series; readonly opened: Series }>()
  return (event: CircuitEvent): void => {
    const labels = [label("rpc.destination", event.destination || "unnamed")]
    const metrics = known.get(event.destination) ??
      { state: series(circuitState, labels), opened: series(circuitOpened, labels) }
    known.set(event.destination, metrics)
    metrics.state.unsafeUpdate(circuitValue(event), [])
    if (event._tag === "CircuitOpened") {
      metrics.opened.unsafeUpdate(1, [])
    }
  }
}

/**
 * Makes a function that returns the recorder of a method. Methods beyond the first `maxMethods` share one recorder with
 * the name `other`, because each name costs about thirty series here and in the metrics store, which are never removed.
 */
const forMethods = (maxMethods: number) => {
  const known = new Map<string | undefined, Recorder>()
  let other: Recorder | undefined
  return (method: string | undefined): Recorder => {
    const recorder = known.get(method)
    if (recorder !== undefined) {
      return recorder
    }
    if (known.size < maxMethods) {
      const made = forMethod(method ?? "unnamed", destinationOf(method) || "unnamed")
      known.set(method, made)
      return made
    }
    if (other === undefined) {
      const record = forMethod("other", "other")
      // no gauge: these methods belong to several destinations, with a budget each
      other = (event, labels) => record(event, labels, false)
    }
    return other
  }
}

/**
 * What records the events of one service as metrics.
 *
 * @internal
 */
export interface Metrics {
  /** Returns the recorder of a method. */
  readonly recorderOf: (method: string | undefined) => Recorder
  /** Records a change of a circuit breaker. */
  readonly recordCircuit: (event: CircuitEvent) => void
}

/**
 * Makes the metrics of a service, for at most `maxMethods` methods.
 *
 * @internal
 */
export const make = (maxMethods: number): Metrics => ({
  recorderOf: forMethods(maxMethods),
  recordCircuit: forCircuits()
})
