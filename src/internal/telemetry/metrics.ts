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
import type { CircuitEvent, Observer } from "../call/observer.js"
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

/** Records one value of one series. */
type Record = (value: number) => void

/**
 * Makes what records the values of a key with fixed labels. The series is looked up once, at its first value: the look-up
 * costs more than all that a call records, and a series without a value is not shown.
 */
const series = (key: Key, ...labels: ReadonlyArray<Labels>): Record => {
  let hook: { readonly update: Record } | undefined
  return (value) => {
    hook ??= Metric.globalMetricRegistry.get(labels.reduce<Key>(MetricKey.taggedWithLabels, key))
    hook.update(value)
  }
}

/** Caches the series of one key by outcome and reason. Both are from short lists, so that the cache stays small. */
const byEnd = (key: Key, common: Labels, own: Labels) => {
  const made = new Map<string, Record>()
  return (outcome: Outcome | undefined, reason?: Reason): Record => {
    const name = reason === undefined ? outcome ?? "" : outcome === undefined ? reason : `${outcome} ${reason}`
    const known = made.get(name)
    if (known !== undefined) {
      return known
    }
    const ends = [
      ...(outcome === undefined ? [] : [label("rpc.outcome", outcome)]),
      ...(reason === undefined ? [] : [label("error.type", reason)])
    ]
    const one = series(key, [...common, ...ends], own)
    made.set(name, one)
    return one
  }
}

const toSeconds = (duration: Duration.Duration) => Duration.toMillis(duration) / 1000

/**
 * Records the events of the calls of one method. What nearly every call does it also takes as numbers, in milliseconds,
 * so that no event is made for it where nobody else reads events.
 *
 * @internal
 */
export interface Recorder extends Observer {
  /** Records the start of the first attempt of a call that is not hedged. */
  readonly firstAttempt: () => void
  /** Records the success of a call and of its last attempt, as the two events of it do. */
  readonly succeeded: (
    took: number,
    elapsed: number,
    attempts: number,
    waited: number,
    budget: number | undefined
  ) => void
}

/**
 * Makes the recorder for the calls of one method.
 *
 * - `own`: the labels that the application set with `Effect.tagMetrics`.
 * - `gauged`: whether the budget of the call is that of its destination, so that the gauge shows it.
 */
const recorder = (method: string, destination: string, own: Labels, gauged: boolean): Recorder => {
  const ofDestination = [label("rpc.destination", destination)]
  const common = [label("rpc.method", method), ...ofDestination]
  const started = series(attemptStarted, common, own)
  const attempt = byEnd(attemptDuration, common, own)
  const retried = byEnd(retryStarted, common, own)
  const refused = byEnd(retryRefused, common, own)
  const legs = series(hedgeStarted, common, own)
  const won = series(hedgeWon, common, own)
  const refusedBy = (reason: HedgeRefused["reason"]) =>
    series(hedgeRefused, [...common, label("rpc.hedge.reason", reason)], own)
  const refusedLegs = {
    LoadExhausted: refusedBy("LoadExhausted"),
    BudgetExhausted: refusedBy("BudgetExhausted")
  }
  const duration = byEnd(callDuration, common, own)
  const attempts = byEnd(callAttempts, common, own)
  const retryDelay = byEnd(callRetryDelay, common, own)
  const exhausted = byEnd(callExhausted, common, own)
  const rejected = byEnd(callRejected, common, own)
  const level = series(budgetLevel, ofDestination, own)

  const told = (budget: number | undefined) => {
    if (gauged && budget !== undefined && Number.isFinite(budget)) {
      level(budget)
    }
  }
  const ended = (event: EndOfCall, outcome: Outcome, reason?: Reason) => {
    duration(outcome, reason)(toSeconds(event.elapsed))
    if (event.attempts > 0) {
      attempts(outcome)(event.attempts)
    }
    if (Duration.greaterThan(event.waited, Duration.zero)) {
      retryDelay(outcome)(toSeconds(event.waited))
    }
    told(event.budget)
  }

  const record = (event: RetryEvent): void => {
    switch (event._tag) {
      case "AttemptStarted":
        if (event.leg !== undefined && event.leg > 1) {
          legs(1)
        } else if (event.after !== undefined) {
          retried(undefined, event.after.reason)(1)
        }
        return started(1)
      case "AttemptSucceeded":
        return attempt("success")(toSeconds(event.took))
      case "AttemptFailed":
        return attempt(event.outcome, event.reason)(toSeconds(event.took))
      case "AttemptCancelled":
        return attempt("interrupted")(toSeconds(event.took))
      case "HedgeWon":
        return won(1)
      case "HedgeRefused":
        return refusedLegs[event.reason](1)
      case "RetryRefused":
        return refused(undefined, event.reason)(1)
      case "CallSucceeded":
        return ended(event, "success")
      case "CallFailed":
        if (event.outcome === "exhausted") {
          exhausted(undefined, event.reason)(1)
        } else if (event.outcome === "rejected") {
          rejected(undefined, event.reason)(1)
        }
        return ended(event, event.outcome, event.reason)
      case "CallInterrupted":
        if (event.during === "attempt") {
          attempt("interrupted")(toSeconds(event.took))
        }
        return ended(event, "interrupted")
    }
  }

  const attemptTook = attempt("success")
  const callTook = duration("success")
  const callMade = attempts("success")
  return Object.assign(record, {
    firstAttempt: () => started(1),
    succeeded: (took: number, elapsed: number, made: number, waited: number, budget: number | undefined) => {
      attemptTook(took / 1000)
      callTook(elapsed / 1000)
      callMade(made)
      if (waited > 0) {
        retryDelay("success")(waited / 1000)
      }
      told(budget)
    }
  })
}

/** Returns the recorder of the calls that have these labels of the application, and a budget to show or none. */
type Recorders = (own: Labels, gauged: boolean) => Recorder

/** Keeps the recorders of a method: those of calls without labels of the application, and those of arrays of labels. */
const forMethod = (method: string, destination: string): Recorders => {
  const made = [new WeakMap<Labels, Recorder>(), new WeakMap<Labels, Recorder>()] as const
  return (own, gauged) => {
    const byLabels = made[gauged ? 1 : 0]
    const known = byLabels.get(own)
    if (known !== undefined) {
      return known
    }
    const one = recorder(method, destination, own, gauged)
    byLabels.set(own, one)
    return one
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
  const known = new Map<string, { readonly state: Record; readonly opened: Record }>()
  return (event: CircuitEvent): void => {
    const labels = [label("rpc.destination", event.destination || "unnamed")]
    const metrics = known.get(event.destination) ??
      { state: series(circuitState, labels), opened: series(circuitOpened, labels) }
    known.set(event.destination, metrics)
    metrics.state(circuitValue(event))
    if (event._tag === "CircuitOpened") {
      metrics.opened(1)
    }
  }
}

/**
 * Makes a function that returns the recorders of a method. Methods beyond the first `maxMethods` share one recorder with
 * the name `other`, because each name costs about thirty series here and in the metrics store, which are never removed.
 */
const forMethods = (maxMethods: number) => {
  const known = new Map<string | undefined, Recorders>()
  let other: Recorders | undefined
  return (method: string | undefined): Recorders => {
    const recorders = known.get(method)
    if (recorders !== undefined) {
      return recorders
    }
    if (known.size < maxMethods) {
      const made = forMethod(method ?? "unnamed", destinationOf(method) || "unnamed")
      known.set(method, made)
      return made
    }
    if (other === undefined) {
      const recorders = forMethod("other", "other")
      // no gauge: these methods belong to several destinations, with a budget each
      other = (own) => recorders(own, false)
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
  /** Returns the recorders of a method: each has labels of its own, and records the level of the budget or does not. */
  readonly recorderOf: (method: string | undefined) => Recorders
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
