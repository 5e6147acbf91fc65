/**
 * What a retry policy does to a fleet, before it happens. The library itself (not a model of it) runs on virtual time:
 * `withRpcRetry`, layers, budgets, breakers, bulkheads and throttles, against servers that queue, slow down and fail.
 *
 * ```ts
 * import { RpcRetry } from "effect-rpc-retry"
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const options: RpcRetry.LayerOptions = { default: { deadline: "3 seconds" } }
 *   const result = yield* Simulator.run(Simulator.layer(options), Simulator.scenarios.outage)
 *   yield* Effect.log(Simulator.show(result))
 * })
 * ```
 *
 * A run depends on the policy, the scenario and the seed alone: the same ones give the same result, to the last digit.
 * It takes real time only for the work: some ten thousand calls per second. It can be interrupted, and other fibers
 * have their turn meanwhile. It needs nothing but `effect`, so it also runs in a browser.
 *
 * `docs/simulator.md` defines what is measured, and compares results to published ones.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Settings } from "../Endpoints.js"
import * as Result from "../internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "../InvalidOption.js"
import type { LayerOptions } from "../RpcRetry.js"
import * as bounds from "./simulator/bounds.js"
import * as internalHeadroom from "./simulator/headroom.js"
import type { Report } from "./simulator/recorder.js"
import { checkCanRecover } from "./simulator/recovery.js"
import * as internalRun from "./simulator/run.js"
import type { Arrival, Scenario } from "./simulator/scenario.js"
import * as internalScenario from "./simulator/scenario.js"
import * as named from "./simulator/scenarios.js"
import * as printing from "./simulator/show.js"
import * as strategy from "./simulator/strategy.js"
import * as internalTrace from "./simulator/trace.js"

export type { Headroom } from "./simulator/headroom.js"
export type { Law } from "./simulator/law.js"
export type { Point, Report } from "./simulator/recorder.js"
export type { Progress } from "./simulator/run.js"
export type { Arrival, Arrivals, Fault, FaultTime, Scenario, Servers } from "./simulator/scenario.js"
export { type Client, type Policy, type SimulatedCall, type Strategy, TypeId, type Wire } from "./simulator/strategy.js"

/**
 * The options of {@link layer}.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions {
  /**
   * Each client chooses the server of an attempt by an `Endpoints` with these settings, `{}` for the defaults. Default:
   * each attempt goes to one at random.
   */
  readonly endpoints?: Settings | undefined
}

/**
 * Clients whose calls have the policy, the budget and the gates of a layer with these options. Each client has a layer
 * of its own, as each process has. Throws `InvalidOption` for a bad option.
 *
 * @example
 * ```ts
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 *
 * const careful = Simulator.layer({ default: { attemptTimeout: "500 millis" }, throttle: {} })
 *
 * const choosing = Simulator.layer({}, { endpoints: { pick: "powerOfTwo" } })
 * ```
 *
 * @since 0.1.0
 * @category strategies
 */
export const layer = (options: LayerOptions, clientOptions: ClientOptions = {}): strategy.Strategy => {
  orThrow(checkKnown("Simulator.layer", clientOptions, ["endpoints"]))
  return strategy.fromLayer(options, clientOptions.endpoints)
}

/**
 * Clients that do anything about failures: for comparisons, and for what stands around `withRpcRetry`.
 *
 * - `make`: makes one client; it is run once for each and must not wait. Its scope closes at the end of the run. Where
 *   it is a function it is given the number of servers.
 *
 * @example
 * ```ts
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 * import * as Effect from "effect/Effect"
 *
 * const plain = Simulator.client(Effect.succeed({
 *   retrying: ({ attemptTimeout, call }) =>
 *     call.pipe(Effect.timeout(attemptTimeout), Effect.retry({ times: 3 }))
 * }))
 * ```
 *
 * @since 0.1.0
 * @category strategies
 */
export const client = (
  make:
    | Effect.Effect<strategy.Client, never, Scope.Scope>
    | ((nodes: number) => Effect.Effect<strategy.Client, never, Scope.Scope>)
): strategy.Strategy => strategy.fromClient(Effect.isEffect(make) ? () => make : make)

/**
 * Scenarios with names. The command `effect-rpc-retry-simulate` knows them by these.
 *
 * - `outage`: the network holds all requests for 10 seconds, then delivers them together. The server is half busy.
 * - `brownout`: all servers take three times as long for 20 seconds.
 * - `slowNode`: one of three servers takes ten times as long for 30 seconds.
 * - `restart`: three servers restart one after the other.
 * - `retryStorm`: the `outage` of the paper on metastable failures (HotOS 2021), with the server 93 % busy.
 * - `closedLoop`: ten workers that wait for their answers; all is refused for 10 seconds.
 * - `tinyClients`: a thousand clients that call every ten seconds; all is refused for a minute.
 *
 * @example
 * ```ts
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 *
 * const ours: Simulator.Scenario = { ...Simulator.scenarios.outage, clients: 50, arrivals: { poisson: 40 } }
 * ```
 *
 * @since 0.1.0
 * @category scenarios
 */
export const scenarios = named.scenarios

/**
 * Returns what is wrong with a scenario that was read from a file, or the scenario.
 *
 * @since 0.1.0
 * @category scenarios
 */
export const validate = (scenario: Scenario): Result.Result<Scenario, InvalidOption> =>
  Result.map(internalScenario.validate(scenario), () => scenario)

/**
 * Reads the calls of a program from the events it has recorded, for `arrivals` of a scenario: text with an event of
 * `RetryEvent.stream` as JSON on each line, as `JSON.stringify` writes it. Instants are counted from the first call.
 * Events that do not start a call say nothing here. The error names the line.
 *
 * @example
 * ```ts
 * import { RetryEvent } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * declare const write: (line: string) => Effect.Effect<void>
 *
 * // what a program records
 * const record = RetryEvent.stream().pipe(
 *   Stream.filter(({ _tag }) => _tag === "AttemptStarted" || _tag === "CallFailed"),
 *   Stream.runForEach((event) => write(JSON.stringify(event)))
 * )
 * ```
 *
 * @since 0.1.0
 * @category scenarios
 */
export const trace: (text: string) => Result.Result<ReadonlyArray<Arrival>, InvalidOption> = internalTrace.parse

/**
 * The options of {@link run}.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  /** The seed of all that is random, an integer from 0 to 2^32 - 1. Default 1. */
  readonly seed?: number | undefined
  /** Runs now and then, to show how far it is. Default: nothing. */
  readonly onProgress?: ((progress: internalRun.Progress) => Effect.Effect<void>) | undefined
}

const validRun = (where: string, { onProgress = () => Effect.void, seed = 1 }: RunOptions): internalRun.RunOptions => ({
  seed: orThrow(checkNumber(where, "seed", seed, { min: 0, max: 2 ** 32 - 1, integer: true })),
  onProgress
})

/**
 * Runs a scenario to its end. Throws `InvalidOption` for a bad policy, scenario or option.
 *
 * Of a policy that is a plain value, its `budget`, `breaker`, `bulkhead` and `throttle` are shared by all clients. Give
 * an effect, or a {@link layer}, for clients with their own.
 *
 * @example
 * ```ts
 * import { RetryPolicy } from "effect-rpc-retry"
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const { amplification, recovery } = yield* Simulator.run(RetryPolicy.grpcA6, {
 *     name: "errors",
 *     duration: "1 minute",
 *     clients: 20,
 *     arrivals: { poisson: 100 },
 *     servers: { service: { exponential: "20 millis" }, concurrency: 8 },
 *     faults: [{ kind: "errors", rate: 0.2, at: "10 seconds", for: "20 seconds" }]
 *   })
 *   yield* Effect.log(`${amplification} attempts for each call, recovery: ${recovery}`)
 * })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const run = (policy: strategy.Policy, scenario: Scenario, options: RunOptions = {}): Effect.Effect<Report> => {
  orThrow(checkKnown("Simulator.run", options, ["seed", "onProgress"]))
  return internalRun.run(
    strategy.fromPolicy(policy),
    orThrow(internalScenario.validate(scenario)),
    validRun("Simulator.run", options)
  )
}

/**
 * The options of {@link headroom}.
 *
 * @since 0.1.0
 * @category models
 */
export interface HeadroomOptions extends RunOptions {
  /** The longest recovery that counts. Default: any within the scenario. */
  readonly within?: Duration.DurationInput | undefined
}

/**
 * Searches for the highest load at which the system still recovers from the faults of a scenario, by up to eight runs.
 * It looks at loads up to what the servers can do; where that has no limit, and for a closed loop, up to four times
 * that of the scenario. Throws `InvalidOption` for a scenario without a fault, or one that ends less than 25 seconds
 * after its last fault: a recovery takes as long to tell.
 *
 * @example
 * ```ts
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const { capacity, load } = yield* Simulator.headroom(Simulator.layer({}), Simulator.scenarios.outage)
 *   yield* Effect.log(`recovers up to ${load} calls per second of ${capacity}`)
 * })
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const headroom = (
  policy: strategy.Policy,
  scenario: Scenario,
  options: HeadroomOptions = {}
): Effect.Effect<internalHeadroom.Headroom> => {
  const where = "Simulator.headroom"
  orThrow(checkKnown(where, options, ["seed", "onProgress", "within"]))
  const { within } = options
  return internalHeadroom.headroom(strategy.fromPolicy(policy), withFault(where, scenario), {
    ...validRun(where, options),
    within: within === undefined ? Infinity : Duration.toMillis(orThrow(checkDuration(where, "within", within)))
  })
}

const withFault = (where: string, scenario: Scenario): internalScenario.Valid =>
  orThrow(
    Result.flatMap(internalScenario.validate(scenario), (valid) => checkCanRecover(where, valid))
  )

/**
 * The options of {@link assertRecovers}.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssertOptions extends HeadroomOptions {
  /**
   * Other bounds, each a text such as `"amplification > 1.5"`, `"p99 > 2s"` or `"success < 95%"`, that must not hold.
   * What can be compared: `recovery`, `amplification`, `goodput`, `success`, `p50`, `p95`, `p99`, `wasted`, `explained`.
   * Default none.
   */
  readonly failIf?: ReadonlyArray<string> | undefined
}

/**
 * A system that did not recover, or broke another bound. Its message says which, with the table and the chart of the
 * run.
 *
 * @since 0.1.0
 * @category errors
 */
export class NotRecovered extends Data.TaggedError("NotRecovered")<{
  /** What is wrong, one text for each bound. */
  readonly broken: ReadonlyArray<string>
  /** The run. */
  readonly result: Report
}> {
  override get message(): string {
    return `${this.result.scenario}: ${this.broken.join("; ")}\n\n${show(this.result)}\n`
  }
}

/**
 * Runs a scenario, and fails when the system does not recover from its faults, or breaks another bound: for the tests
 * of an application, where it keeps a policy from losing its recovery.
 *
 * Throws `InvalidOption` for a bad policy, scenario, bound or option, and for a scenario that ends too soon after its
 * faults to show a recovery: it takes 25 seconds to tell one.
 *
 * @example
 * ```ts
 * import { it } from "@effect/vitest"
 * import * as Simulator from "effect-rpc-retry/testing/Simulator"
 *
 * it.effect("survives an outage", () =>
 *   Simulator.assertRecovers(Simulator.layer({ default: { deadline: "3 seconds" } }), Simulator.scenarios.outage, {
 *     within: "30 seconds",
 *     failIf: ["amplification > 1.5"]
 *   }))
 * ```
 *
 * @since 0.1.0
 * @category running
 */
export const assertRecovers = (
  policy: strategy.Policy,
  scenario: Scenario,
  options: AssertOptions = {}
): Effect.Effect<Report, NotRecovered> => {
  const where = "Simulator.assertRecovers"
  orThrow(checkKnown(where, options, ["seed", "onProgress", "within", "failIf"]))
  const { failIf = [], within } = options
  const millis = within === undefined ? Infinity : Duration.toMillis(orThrow(checkDuration(where, "within", within)))
  const all = failIf.map((text) => orThrow(bounds.parse(where, text)))
  if (all.some(({ name }) => name === "headroom")) {
    throw new InvalidOption({ where, field: "failIf", problem: "must not name headroom: see Simulator.headroom" })
  }
  return Effect.flatMap(
    internalRun.run(strategy.fromPolicy(policy), withFault(where, scenario), validRun(where, options)),
    (result) => {
      const { recovery } = result
      const late = recovery === "never"
        ? ["the system never recovers"]
        : recovery !== null && recovery > millis
        ? [`the system recovers after ${Duration.format(Duration.millis(recovery))}`]
        : []
      const broken = [...late, ...all.flatMap((bound) => bound.broken(result) ?? [])]
      return broken.length === 0 ? Effect.succeed(result) : Effect.fail(new NotRecovered({ broken, result }))
    }
  )
}

/**
 * A result to read, of at most 80 columns: a table, and a chart of calls, attempts and successes over time.
 *
 * - `headroom`: what {@link headroom} has found. Default: it is left out.
 *
 * @since 0.1.0
 * @category inspection
 */
export const show: (result: Report, headroom?: internalHeadroom.Headroom) => string = printing.show
