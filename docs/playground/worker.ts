/**
 * What runs in a worker: it is given one job, and ended when that is no longer wanted.
 */
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Scenarios from "../../src/testing/simulator/scenario.js"
import * as OneCall from "./oneCall.js"
import type { Band, Input, Job, Message } from "./protocol.js"
import * as Strategies from "./strategies.js"

const tell = (message: Message) => Effect.sync(() => self.postMessage(message, {}))

const wrong = (input: Input, problem: string) => tell({ _tag: "Wrong", input, problem })

const scenarioOf = (job: Job): Either.Either<Simulator.Scenario, string> =>
  Either.gen(function*() {
    const read = yield* Either.try({
      try: () => JSON.parse(job.scenario) as Simulator.Scenario,
      catch: (error) => `is not JSON: ${(error as SyntaxError).message}`
    })
    yield* Either.mapLeft(Simulator.validate(read), ({ message }) => message)
    const { arrivals } = read
    const { clients = read.clients, load } = job
    const scenario: Simulator.Scenario = {
      ...read,
      clients,
      arrivals: load === undefined
        ? arrivals
        : "poisson" in arrivals
        ? { poisson: load }
        : "constant" in arrivals
        ? { constant: load }
        : "closed" in arrivals
        ? { closed: { ...arrivals.closed, workers: load } }
        : arrivals
    }
    return yield* Either.mapLeft(Simulator.validate(scenario), ({ message }) => message)
  })

const bandsOf = (scenario: Simulator.Scenario): ReadonlyArray<Band> =>
  Either.getOrThrow(Scenarios.validate(scenario)).faults.map(({ from, to }) => ({ from: from / 1000, to: to / 1000 }))

const callOf = (side: Strategies.Side, script: string) =>
  Either.match(OneCall.parse(script), {
    onLeft: (problem) => wrong("script", problem),
    onRight: (steps) => Effect.flatMap(OneCall.make(side, steps), (call) => tell({ _tag: "Called", call }))
  })

const fleetOf = (side: Strategies.Side, job: Job) =>
  Either.match(scenarioOf(job), {
    onLeft: (problem) => wrong("scenario", problem),
    onRight: (scenario) =>
      Simulator.run(side.strategy, scenario, {
        seed: job.seed,
        onProgress: ({ at, of }) => tell({ _tag: "Progress", share: at / of })
      }).pipe(
        Effect.flatMap((report) => tell({ _tag: "Done", report, faults: bandsOf(scenario) }))
      )
  })

const run = (job: Job) =>
  Either.match(Strategies.make(job), {
    onLeft: (problem) => wrong("document", problem),
    onRight: (side) =>
      Effect.andThen(
        tell({ _tag: "Described", text: side.description }),
        Effect.andThen(callOf(side, job.script), fleetOf(side, job))
      )
  })

/** A defect is told too: it is a mistake in what is simulated, and the page has to say so. */
const runTelling = (job: Job) =>
  Effect.catchAllCause(Effect.suspend(() => run(job)), (cause) => wrong("scenario", String(Cause.squash(cause))))

self.addEventListener("message", ({ data }: MessageEvent<Job>) => void Effect.runFork(runTelling(data)))
