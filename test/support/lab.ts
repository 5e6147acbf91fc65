/**
 * Runs calls on virtual time and writes down all that telemetry says of them.
 */
import { RetryEvent, RpcRetry } from "effect-rpc-retry"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HashMap from "effect/HashMap"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Metric from "effect/Metric"
import type * as MetricPair from "effect/MetricPair"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import * as Tracer from "effect/Tracer"

/** One line for each event, span, and log line, in order; instants and durations in milliseconds since the start. */
export interface Seen {
  readonly events: ReadonlyArray<string>
  readonly spans: ReadonlyArray<string>
  readonly logs: ReadonlyArray<string>
}

const shown = (value: unknown): string =>
  Duration.isDuration(value)
    ? String(Duration.toMillis(value))
    : Cause.isCause(value)
    ? String(Option.getOrElse(Option.map(Cause.failureOption(value), String), () => Cause.pretty(value).split("\n")[0]))
    : value instanceof Error
    ? value.message
    : String(value)

const listed = (entries: Iterable<readonly [string, unknown]>) =>
  Array.from(entries).map(([key, value]) => `${key}=${shown(value)}`).join(" ")

const common = new Set(["_tag", "call", "method", "destination", "at"])

/** Calls are numbered as they come, so that a line does not depend on what ran before. */
const eventLine = (start: number) => {
  const calls = new Map<number, number>()
  return (event: RetryEvent.RetryEvent): string => {
    const fields = listed(Object.entries(event).filter(([key, value]) => value !== undefined && !common.has(key)))
    if (event._tag === "EventsDropped") {
      return `${event._tag} ${fields}`
    }
    const when = `${event.at - start} ${event._tag}`
    if (!("call" in event)) {
      return `${when} ${fields}`
    }
    calls.set(event.call, calls.get(event.call) ?? calls.size + 1)
    return `${when} ${event.method}#${calls.get(event.call)} ${fields}`
  }
}

interface Recorded extends Tracer.Span {
  readonly events: Array<string>
}

/** Keeps spans in the order they started. */
export const recorder = (start: number) => {
  const spans: Array<Recorded> = []
  const millis = (nanos: bigint) => Math.round(Number(nanos) / 1e6) - start
  const tracer = Tracer.make({
    context: (f) => f(),
    span(name, parent, context: Context.Context<never>, links, startTime, kind) {
      const attributes = new Map<string, unknown>()
      const events: Array<string> = []
      const span: Recorded & { status: Tracer.SpanStatus } = {
        _tag: "Span",
        name,
        spanId: String(spans.length + 1),
        traceId: "trace",
        parent,
        context,
        links,
        kind,
        sampled: true,
        attributes,
        events,
        status: { _tag: "Started", startTime },
        attribute: (key, value) => attributes.set(key, value),
        addLinks: () => {},
        event: (name, at, attributes = {}) =>
          events.push(`${millis(at)} ${name} ${listed(Object.entries(attributes))}`),
        end: (endTime, exit) => {
          span.status = { _tag: "Ended", startTime, endTime, exit }
        }
      }
      spans.push(span)
      return span
    }
  })
  const line = (span: Recorded): ReadonlyArray<string> => {
    const parent = Option.map(span.parent, ({ spanId }) => ` < ${spanId}`)
    const { status } = span
    const end = status._tag === "Ended"
      ? `${millis(status.endTime)} ${
        Exit.isSuccess(status.exit) ? "ok" : Cause.isInterruptedOnly(status.exit.cause) ? "interrupted" : "error"
      }`
      : "open"
    return [
      `${span.spanId}${Option.getOrElse(parent, () => "")} ${span.name} (${span.kind}) ${
        millis(status.startTime)
      }-${end}: ${listed(span.attributes)}`,
      // what the tracer's logger writes of log lines is seen among these already
      ...span.events.filter((event) => !event.includes("effect.logLevel")).map((event) => `  ${event}`)
    ]
  }
  return { tracer, lines: () => spans.flatMap(line) }
}

/** All that is said while the program runs, and how it ended. */
export const watching = <A, E>(
  program: Effect.Effect<A, E>,
  options: RpcRetry.LayerOptions = {}
): Effect.Effect<Seen & { readonly exit: Exit.Exit<A, E> }> =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const events: Array<RetryEvent.RetryEvent> = []
    const logs: Array<string> = []
    const { lines, tracer } = recorder(start)
    const logger = Logger.make(({ annotations, logLevel, message }) => {
      logs.push(`${logLevel.label} ${String(message)} {${listed(HashMap.entries(annotations))}}`)
    })
    const exit = yield* Effect.gen(function*() {
      const listener = yield* Effect.fork(
        Stream.runForEach(RetryEvent.stream(), (event) => Effect.sync(() => events.push(event)))
      )
      yield* TestClock.adjust(0)
      const fiber = yield* Effect.fork(Effect.exit(program))
      yield* TestClock.adjust("10 minutes")
      const exit = yield* Fiber.join(fiber)
      yield* Fiber.interrupt(listener)
      return exit
    }).pipe(
      Effect.provideService(RpcRetry.RpcRetry, RpcRetry.make(options)),
      Effect.withTracer(tracer),
      Logger.withMinimumLogLevel(LogLevel.Debug),
      Effect.provide(Logger.replace(Logger.defaultLogger, logger))
    )
    return { exit, events: events.map(eventLine(start)), spans: lines(), logs }
  })

const stateOf = ({ metricState }: MetricPair.MetricPair.Untyped): string =>
  MetricState.isCounterState(metricState)
    ? String(metricState.count)
    : MetricState.isHistogramState(metricState)
    ? `${metricState.count} in all ${Math.round(metricState.sum * 1e6) / 1e6}`
    : MetricState.isGaugeState(metricState)
    ? String(metricState.value)
    : "?"

/** The series of a destination, or of all, one per line, in alphabetic order. */
export const metrics = (destination: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.map(Metric.snapshot, (pairs) =>
    pairs
      .map((pair) => ({ pair, labels: new Map(pair.metricKey.tags.map(({ key, value }) => [key, value])) }))
      .filter(({ labels }) => labels.get("rpc.destination") === destination)
      .map(({ labels, pair }) => {
        const rest = Array.from(labels).filter(([key]) => key !== "rpc.destination" && key !== "unit")
        return `${pair.metricKey.name} {${listed(rest.toSorted(([a], [b]) => a < b ? -1 : 1))}} ${stateOf(pair)}`
      })
      .toSorted())
