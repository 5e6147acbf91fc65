/**
 * The command `simulate`, apart from the process it runs in.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { parseArgs } from "node:util"
import type { Settings } from "../../Endpoints.js"
import { parsed } from "../../internal/config/decode.js"
import { nearest } from "../../internal/options/suggest.js"
import * as Result from "../../internal/result.js"
import { checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as RetryPolicy from "../../RetryPolicy.js"
import * as RpcRetry from "../../RpcRetry.js"
import * as Bounds from "./bounds.js"
import * as Headroom from "./headroom.js"
import { checkCanRecover } from "./recovery.js"
import { run, type RunOptions } from "./run.js"
import { type Scenario, type Valid, validate } from "./scenario.js"
import { scenarios } from "./scenarios.js"
import { show } from "./show.js"
import * as Strategy from "./strategy.js"
import * as Trace from "./trace.js"

/** What the command needs of the process. @internal */
export interface Io {
  /** Writes a line of the result. */
  readonly out: (text: string) => void
  /** Writes a line about the run, such as an error. */
  readonly err: (text: string) => void
  /** Shows how far the run is, in place of what was shown before; `undefined` where nobody watches. */
  readonly progress: ((text: string) => void) | undefined
  /** Reads a file, or says what is wrong. */
  readonly read: (path: string) => Result.Result<string, string>
}

/** A policy, of clients that choose servers or do not. */
type Choosing = (endpoints: Settings | undefined) => Strategy.Strategy

const ofLayer = (options: RpcRetry.LayerOptions): Choosing => (endpoints) => Strategy.fromLayer(options, endpoints)

const withoutLayer = (policy: RetryPolicy.RetryPolicy): Choosing => ofLayer({ default: policy, budget: "off" })

const presets: Readonly<Record<string, Choosing>> = {
  none: withoutLayer(RetryPolicy.none),
  default: withoutLayer(RetryPolicy.default),
  layer: ofLayer({}),
  grpcA6: withoutLayer(RetryPolicy.grpcA6),
  aws2026: withoutLayer(RetryPolicy.aws2026),
  kitexFailure: withoutLayer(RetryPolicy.kitexFailure),
  sreTenPercent: withoutLayer(RetryPolicy.sreTenPercent)
}

const listed = (all: Readonly<Record<string, unknown>>): string => Object.keys(all).join(", ")

const help = `Usage: effect-rpc-retry-simulate [options]

Runs a retry policy of effect-rpc-retry against a scenario, in virtual time.

  --policy POLICY    a file with the document of a policy (RetryPolicy.decode)
                     or of a layer (RpcRetry.decode), or the name of a policy:
                     none, default, layer, grpcA6, aws2026, kitexFailure or
                     sreTenPercent. Default: layer, that is RpcRetry.layer().
  --scenario NAME    outage, brownout, slowNode, restart, retryStorm, closedLoop
                     or tinyClients, or a file with a scenario as JSON.
                     Default: outage.
  --trace FILE       makes the calls of a program that recorded its RetryEvents,
                     one as JSON on each line, again and again.
  --load N           so many calls per second (workers, in a closed loop).
  --clients N        so many client processes.
  --endpoints        clients choose servers by Endpoints. Default: each attempt
                     goes to one at random.
  --seed N           the seed of all that is random. Default: 1.
  --headroom         searches for the highest load that it recovers at.
  --fail-if BOUND    exits with 1 when it holds: "recovery > 60s",
                     "success < 95%", "amplification > 1.2", "p99 > 2s", ...
                     It can be given several times.
  --json             prints the result as JSON.
  --help             prints this.

Exits with 0, with 1 when a bound is broken, with 2 when an option is wrong.`

const where = "simulate"

const invalid = (field: string, problem: string) => Result.fail(new InvalidOption({ where, field, problem }))

type Checked<A> = Result.Result<A, InvalidOption>

/** A name is found however its words are joined: `slow-node`, `slowNode`. */
const joined = (name: string) => name.toLowerCase().replaceAll(/[-_ ]/g, "")

/** What a name stands for, or what the file of that name holds. */
const namedOrRead = <A>(
  io: Io,
  option: string,
  name: string,
  all: Readonly<Record<string, A>>,
  decode: (document: unknown) => Checked<A>
): Checked<A> => {
  const key = Object.keys(all).find((key) => joined(key) === joined(name))
  if (key !== undefined) {
    return Result.succeed(all[key]!)
  }
  if (!/[./\\]/.test(name)) {
    const meant = nearest(name, Object.keys(all))
    return invalid(
      option,
      `must be a file or one of ${listed(all)}, got ${name}${meant === undefined ? "" : `, did you mean ${meant}?`}`
    )
  }
  return Result.flatMap(
    Result.mapError(io.read(name), (problem) => new InvalidOption({ where, field: option, problem })),
    (text) => Result.flatMap(parsed(`${where}: ${name}`, text), decode)
  )
}

/** A layer's document names what only layers have, or has options for a gate where a policy can only say `"off"`. */
const isOfLayer = (document: unknown): boolean =>
  Predicate.isRecord(document) &&
  (["default", "methods", "budget"].some((key) => key in document) ||
    ["breaker", "bulkhead", "throttle"].some((key) => Predicate.isRecord(document[key])))

const decodePolicy = (document: unknown): Checked<Choosing> =>
  isOfLayer(document)
    ? Result.map(RpcRetry.decode(document), ofLayer)
    : Result.map(RetryPolicy.decode(document), withoutLayer)

const numberOf = (option: string, text: string | undefined): Checked<number | undefined> =>
  text === undefined
    ? Result.succeed(undefined)
    : text.trim() === "" || !Number.isFinite(Number(text))
    ? invalid(option, `must be a number, got ${JSON.stringify(text)}`)
    : Result.succeed(Number(text))

const arguments_ = (args: ReadonlyArray<string>) =>
  parseArgs({
    args: [...args],
    options: {
      policy: { type: "string", default: "layer" },
      scenario: { type: "string", default: "outage" },
      trace: { type: "string" },
      load: { type: "string" },
      clients: { type: "string" },
      seed: { type: "string" },
      endpoints: { type: "boolean", default: false },
      headroom: { type: "boolean", default: false },
      "fail-if": { type: "string", multiple: true, default: [] },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false }
    }
  }).values

interface Job {
  readonly strategy: Strategy.Strategy
  readonly scenario: Valid
  readonly seed: number
  readonly bounds: ReadonlyArray<Bounds.Bound>
  readonly headroom: boolean
  readonly json: boolean
}

const replayed = (io: Io, scenario: Scenario, file: string): Checked<Scenario> =>
  Result.gen(function*() {
    const text = yield* Result.mapError(
      io.read(file),
      (problem) => new InvalidOption({ where, field: "--trace", problem })
    )
    const calls = yield* Trace.parse(text)
    const { duration } = yield* validate(scenario)
    return { ...scenario, arrivals: { trace: yield* Trace.repeated(calls, duration) } }
  })

const jobOf = (values: ReturnType<typeof arguments_>, io: Io): Checked<Job> =>
  Result.gen(function*() {
    const bounds: Array<Bounds.Bound> = []
    for (const text of values["fail-if"]) {
      bounds.push(yield* Bounds.parse("simulate: --fail-if", text))
    }
    const policy = yield* namedOrRead(io, "--policy", values.policy, presets, decodePolicy)
    const read = yield* namedOrRead(
      io,
      "--scenario",
      values.scenario,
      scenarios as Readonly<Record<string, Scenario>>,
      (document) => Result.map(validate(document as Scenario), () => document as Scenario)
    )
    const clients = yield* numberOf("--clients", values.clients)
    const given = clients === undefined ? read : { ...read, clients }
    const valid = yield* validate(values.trace === undefined ? given : yield* replayed(io, given, values.trace))
    const load = yield* numberOf("--load", values.load)
    if (load !== undefined && (load <= 0 || load > 1_000_000)) {
      return yield* invalid("--load", `must be greater than 0 and at most 1000000, got ${load}`)
    }
    if (Headroom.loadOf(valid) === 0) {
      return yield* invalid("--scenario", "must have calls: its trace is empty")
    }
    const seed = yield* checkNumber(where, "--seed", (yield* numberOf("--seed", values.seed)) ?? 1, {
      min: 0,
      max: 2 ** 32 - 1,
      integer: true
    })
    const headroom = values.headroom || bounds.some(({ name }) => name === "headroom")
    if (headroom || bounds.some(({ name }) => name === "recovery")) {
      yield* checkCanRecover(where, valid)
    }
    return {
      strategy: policy(values.endpoints ? {} : undefined),
      scenario: load === undefined ? valid : Headroom.scaled(valid, load / Headroom.loadOf(valid)),
      seed,
      bounds,
      headroom,
      json: values.json
    }
  })

const progressOf = (io: Io, what: string): RunOptions["onProgress"] => ({ at, of }) =>
  Effect.sync(() => io.progress?.(`${what} ${Math.floor(100 * at / of)} %`))

const runJob = (job: Job, io: Io): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { scenario, seed, strategy } = job
    const report = yield* run(strategy, scenario, { seed, onProgress: progressOf(io, scenario.name) })
    const found = job.headroom
      ? yield* Headroom.headroom(strategy, scenario, { seed, within: Infinity, onProgress: progressOf(io, "headroom") })
      : undefined
    io.progress?.("")
    const measured = found === undefined ? report : { ...report, headroom: found }
    io.out(job.json ? JSON.stringify(measured) : `${scenario.name}, seed ${seed}\n\n${show(report, found)}`)
    const broken = job.bounds.flatMap((bound) => bound.broken(measured) ?? [])
    broken.forEach((text) => io.err(`broken: ${text}`))
    return broken.length === 0 ? 0 : 1
  })

/**
 * Runs the command, and returns its exit code.
 *
 * @internal
 */
export const simulate = (args: ReadonlyArray<string>, io: Io): Effect.Effect<number> =>
  Effect.suspend(() => {
    const wrong = (problem: string) => {
      io.err(`${problem}\n\neffect-rpc-retry-simulate --help lists the options`)
      return Effect.succeed(2)
    }
    const values = Result.try({
      try: () => arguments_(args),
      catch: (error) => error instanceof Error ? error.message : String(error)
    })
    if (Result.isFailure(values)) {
      return wrong(Result.failureOf(values))
    }
    if (Result.successOf(values).help) {
      io.out(help)
      return Effect.succeed(0)
    }
    return Result.match(jobOf(Result.successOf(values), io), {
      onFailure: ({ message }) => wrong(message),
      onSuccess: (job) => runJob(job, io)
    })
  })
