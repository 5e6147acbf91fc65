/**
 * Scenarios: who calls how often, what the servers are like, and what goes wrong.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Result from "../../internal/result.js"
import { checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as Law from "./law.js"

/**
 * What is simulated, as a plain value: it can be written as JSON.
 *
 * @since 0.1.0
 * @category models
 */
export interface Scenario {
  /** The name, for reports. */
  readonly name: string
  /** What happens and what it shows, for people. Default none. */
  readonly about?: string | undefined
  /** How long it lasts, in virtual time. */
  readonly duration: Duration.DurationInput
  /**
   * The number of client processes, from 1 to 100 000: each has a budget, a breaker, a bulkhead and a throttle of its
   * own, and the calls are spread over them. Default 1.
   */
  readonly clients?: number | undefined
  /** When calls are made. */
  readonly arrivals: Arrivals
  /** The servers behind the one destination that is called. */
  readonly servers: Servers
  /** How long a message travels, each way. Default 0. */
  readonly network?: Law.Law | undefined
  /** The bound on an attempt whose policy has none. Default 1 second. */
  readonly attemptTimeout?: Duration.DurationInput | undefined
  /** How long a caller waits for a call before it leaves, by interrupting the call. Default: as long as it takes. */
  readonly patience?: Duration.DurationInput | undefined
  /** What goes wrong. Default: nothing. */
  readonly faults?: ReadonlyArray<Fault> | undefined
  /** Calls that start earlier are in the time series and not in the totals. Default 0. */
  readonly warmUp?: Duration.DurationInput | undefined
}

/**
 * When calls are made. Rates are calls per second of all clients together.
 *
 * - `poisson`: independently of each other, on average so many per second.
 * - `constant`: evenly spaced.
 * - `closed`: each of some workers calls, waits for the end of the call, pauses, and calls again.
 * - `trace`: at recorded instants.
 *
 * @since 0.1.0
 * @category models
 */
export type Arrivals =
  | {
    /** The mean rate, per second. */
    readonly poisson: number
  }
  | {
    /** The rate, per second. */
    readonly constant: number
  }
  | {
    /** A closed loop: who waits for an answer makes no other call. */
    readonly closed: {
      /** The number of workers of all clients together. */
      readonly workers: number
      /** The pause between the end of a call and the next one. At least 1 millisecond. */
      readonly pause: Law.Law
    }
  }
  | {
    /** The calls in the order of their time, as `Simulator.trace` reads them. */
    readonly trace: ReadonlyArray<Arrival>
  }

/**
 * A recorded call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Arrival {
  /** When it started, in milliseconds since the start. */
  readonly at: number
  /** The method, as `"Service.Method"`. Default `"Simulated.Call"`. */
  readonly method?: string | undefined
}

/**
 * The servers of a scenario. They are alike, and each attempt goes to one of them at random.
 *
 * @since 0.1.0
 * @category models
 */
export interface Servers {
  /** How many servers there are, from 1 to 1000. Default 1. */
  readonly nodes?: number | undefined
  /** How long a server works at a request. */
  readonly service: Law.Law
  /** How many requests a server works at side by side. Default 1. */
  readonly concurrency?: number | undefined
  /** How many requests wait at a server, first come, first served; it refuses others at once. Default: no limit. */
  readonly queue?: number | undefined
  /**
   * What a server stops when the client gives up an attempt: `"nothing"`, what is `"queued"`, or `"all"`, work that it
   * has begun included. Default `"nothing"`, which is what servers do that do not look at deadlines.
   */
  readonly cancel?: "nothing" | "queued" | "all" | undefined
}

/**
 * When something goes wrong, and where.
 *
 * @since 0.1.0
 * @category models
 */
export interface FaultTime {
  /** When it begins, from the start. */
  readonly at: Duration.DurationInput
  /** How long it lasts. */
  readonly for: Duration.DurationInput
  /** The server that it is about, counted from 0. Default: all of them. */
  readonly node?: number | undefined
}

/**
 * Something that goes wrong for a while.
 *
 * - `outage`: requests do not reach the server. They are `"refused"` at once, `"lost"` without an answer, or `"held"` by
 *   the network and delivered together at the end.
 * - `slow`: the server takes `factor` times as long. For all nodes it is a brownout.
 * - `restart`: the server cuts what is in flight, and then refuses connections.
 * - `errors`: this share of requests is answered with an error, at once.
 * - `load`: there are `factor` times as many calls. Not for closed loops.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault =
  & FaultTime
  & (
    | {
      /** Requests do not reach the server. */
      readonly kind: "outage"
      /** What becomes of them. */
      readonly requests: "refused" | "lost" | "held"
    }
    | {
      /** The server is slow. */
      readonly kind: "slow"
      /** How many times as long it takes: greater than 0. */
      readonly factor: number
    }
    | {
      /** The server stops and starts again. */
      readonly kind: "restart"
    }
    | {
      /** The server answers with errors, which are `Retryable`, reason `Unavailable`. */
      readonly kind: "errors"
      /** The share of requests, from 0 to 1. */
      readonly rate: number
    }
    | {
      /** More calls, or fewer. */
      readonly kind: "load"
      /** How many times as many: greater than 0. */
      readonly factor: number
    }
  )

/**
 * A fault with its times in milliseconds.
 *
 * @internal
 */
export type ValidFault = Fault & { readonly from: number; readonly to: number }

/**
 * A scenario that is valid, with its times in milliseconds and its defaults.
 *
 * @internal
 */
export interface Valid {
  readonly name: string
  readonly duration: number
  readonly clients: number
  readonly arrivals: ValidArrivals
  readonly servers: {
    readonly nodes: number
    readonly service: Law.Sampler
    readonly concurrency: number
    readonly queue: number
    readonly cancel: "nothing" | "queued" | "all"
  }
  readonly network: Law.Sampler
  readonly attemptTimeout: number
  readonly patience: number
  readonly faults: ReadonlyArray<ValidFault>
  readonly warmUp: number
  /** When the last fault ends; `undefined` without a fault. */
  readonly faultsEnd: number | undefined
}

/** @internal */
export type ValidArrivals =
  | { readonly _tag: "Poisson"; readonly perSecond: number }
  | { readonly _tag: "Constant"; readonly perSecond: number }
  | { readonly _tag: "Closed"; readonly workers: number; readonly pause: Law.Sampler }
  | { readonly _tag: "Trace"; readonly calls: ReadonlyArray<Arrival> }

const where = "Simulator"

/** The most calls per second: with more, the time between them is lost in rounding. */
const mostPerSecond = 1_000_000

const fields = [
  "name",
  "about",
  "duration",
  "clients",
  "arrivals",
  "servers",
  "network",
  "attemptTimeout",
  "patience",
  "faults",
  "warmUp"
]

type Checked<A> = Result.Result<A, InvalidOption>

const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

const millis = (field: string, input: Duration.DurationInput, zero = false): Checked<number> =>
  Law.millis(where, field, input, zero)

const count = (field: string, input: number, max: number): Checked<number> =>
  checkNumber(where, field, input, { min: 1, max, integer: true })

const rate = (field: string, input: number): Checked<number> =>
  checkNumber(where, field, input, { min: Number.MIN_VALUE, max: mostPerSecond })

const arrivalKinds = ["poisson", "constant", "closed", "trace"]

const validateTrace = (trace: ReadonlyArray<Arrival>): Checked<ReadonlyArray<Arrival>> =>
  Result.gen(function*() {
    if (!Array.isArray(trace)) {
      return yield* invalid("arrivals.trace", "must be a list of calls")
    }
    for (const [i, call] of (trace as ReadonlyArray<Arrival>).entries()) {
      const path = `arrivals.trace[${i}]`
      yield* checkKnown(where, call, ["at", "method"], `${path}.`)
      yield* checkNumber(where, `${path}.at`, call.at, { min: 0, max: Law.longest })
      if (call.at < (trace[i - 1]?.at ?? 0)) {
        return yield* invalid(`${path}.at`, "must not be before that of the call before it")
      }
      if (call.method !== undefined && !Predicate.isString(call.method)) {
        return yield* invalid(`${path}.method`, `must be text, got ${Law.shown(call.method)}`)
      }
    }
    return trace
  })

const validateArrivals = (arrivals: Arrivals): Checked<ValidArrivals> =>
  Result.gen(function*() {
    yield* checkKnown(where, arrivals, arrivalKinds, "arrivals.")
    if (Object.keys(arrivals).length !== 1) {
      return yield* invalid("arrivals", `must have one of ${arrivalKinds.join(", ")}`)
    }
    if ("poisson" in arrivals) {
      return { _tag: "Poisson", perSecond: yield* rate("arrivals.poisson", arrivals.poisson) }
    }
    if ("constant" in arrivals) {
      return { _tag: "Constant", perSecond: yield* rate("arrivals.constant", arrivals.constant) }
    }
    if ("trace" in arrivals) {
      return { _tag: "Trace", calls: yield* validateTrace(arrivals.trace) }
    }
    const { closed } = arrivals
    yield* checkKnown(where, closed, ["workers", "pause"], "arrivals.closed.")
    return {
      _tag: "Closed",
      workers: yield* count("arrivals.closed.workers", closed.workers, 1_000_000),
      pause: yield* Law.validate(where, "arrivals.closed.pause", closed.pause)
    }
  })

const faultFields = {
  outage: ["requests"],
  slow: ["factor"],
  restart: [],
  errors: ["rate"],
  load: ["factor"]
} as const

const validateFault = (fault: Fault, i: number, nodes: number): Checked<ValidFault> =>
  Result.gen(function*() {
    const path = `faults[${i}]`
    if (!Predicate.isRecord(fault)) {
      return yield* invalid(path, "must be an object")
    }
    yield* Law.oneOf(where, `${path}.kind`, fault.kind, Object.keys(faultFields) as Array<Fault["kind"]>)
    yield* checkKnown(where, fault, ["kind", "at", "for", "node", ...faultFields[fault.kind]], `${path}.`)
    if (fault.kind === "outage") {
      yield* Law.oneOf(where, `${path}.requests`, fault.requests, ["refused", "lost", "held"])
    } else if (fault.kind === "errors") {
      yield* checkNumber(where, `${path}.rate`, fault.rate, { min: 0, max: 1 })
    } else if (fault.kind !== "restart") {
      yield* rate(`${path}.factor`, fault.factor)
    }
    if (fault.node !== undefined) {
      yield* checkNumber(where, `${path}.node`, fault.node, { min: 0, max: nodes - 1, integer: true })
    }
    const from = yield* millis(`${path}.at`, fault.at, true)
    return { ...fault, from, to: from + (yield* millis(`${path}.for`, fault.for)) }
  })

/** The most faults: all are looked at for each request. */
const mostFaults = 1_000

/** The rate of the calls, with all load that is added to it, has a bound. */
const checkLoad = (arrivals: ValidArrivals, faults: ReadonlyArray<ValidFault>): Checked<void> => {
  if (arrivals._tag !== "Poisson" && arrivals._tag !== "Constant") {
    return Result.void
  }
  const most = faults.reduce(
    (rate, fault) => fault.kind === "load" ? rate * Math.max(1, fault.factor) : rate,
    arrivals.perSecond
  )
  return most > mostPerSecond
    ? invalid("faults", `must not add up to more than ${mostPerSecond} calls per second`)
    : Result.void
}

/**
 * Checks a scenario.
 *
 * @internal
 */
export const validate = (scenario: Scenario): Checked<Valid> =>
  Result.gen(function*() {
    yield* checkKnown(where, scenario, fields)
    if (!Predicate.isString(scenario.name) || scenario.name === "") {
      return yield* invalid("name", `must be a text that is not empty, got ${Law.shown(scenario.name)}`)
    }
    yield* checkKnown(where, scenario.servers, ["nodes", "service", "concurrency", "queue", "cancel"], "servers.")
    const { cancel = "nothing", concurrency = 1, nodes = 1, queue = Infinity, service } = scenario.servers
    yield* count("servers.nodes", nodes, 1_000)
    const said = scenario.faults ?? []
    if (!Array.isArray(said)) {
      return yield* invalid("faults", "must be a list")
    }
    if (said.length > mostFaults) {
      return yield* invalid("faults", `must be at most ${mostFaults}, got ${said.length}`)
    }
    const faults: Array<ValidFault> = []
    for (const [i, fault] of (said as ReadonlyArray<Fault>).entries()) {
      faults.push(yield* validateFault(fault, i, nodes))
    }
    const duration = yield* millis("duration", scenario.duration)
    if (duration > Law.longest) {
      return yield* invalid("duration", "must be at most 31 days")
    }
    const late = faults.findIndex(({ from }) => from >= duration)
    yield* late < 0 ? Result.void : invalid(`faults[${late}].at`, "must be before the end")
    const warmUp = yield* millis("warmUp", scenario.warmUp ?? 0, true)
    if (warmUp >= duration) {
      return yield* invalid("warmUp", "must be shorter than the duration")
    }
    const arrivals = yield* validateArrivals(scenario.arrivals)
    yield* checkLoad(arrivals, faults)
    return {
      name: scenario.name,
      duration,
      clients: yield* count("clients", scenario.clients ?? 1, 100_000),
      arrivals,
      servers: {
        nodes,
        service: yield* Law.validate(where, "servers.service", service),
        concurrency: yield* count("servers.concurrency", concurrency, 1_000_000),
        queue: queue === Infinity
          ? queue
          : yield* checkNumber(where, "servers.queue", queue, { min: 0, max: Number.MAX_SAFE_INTEGER, integer: true }),
        cancel: yield* Law.oneOf(where, "servers.cancel", cancel, ["nothing", "queued", "all"])
      },
      network: yield* Law.validate(where, "network", scenario.network ?? 0),
      attemptTimeout: yield* millis("attemptTimeout", scenario.attemptTimeout ?? "1 second"),
      patience: scenario.patience === undefined ? Infinity : yield* millis("patience", scenario.patience),
      faults,
      warmUp,
      faultsEnd: faults.length === 0 ? undefined : Math.max(...faults.map(({ to }) => to))
    }
  })
