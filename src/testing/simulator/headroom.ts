/**
 * The load of a scenario, and the search for the highest one that a system recovers at.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { run, type RunOptions } from "./run.js"
import type { Valid } from "./scenario.js"
import type { Strategy } from "./strategy.js"

/**
 * The highest load at which a system still recovers from the faults of a scenario.
 *
 * @since 0.1.0
 * @category models
 */
export interface Headroom {
  /** The load, in calls per second of all clients together; in workers for a closed loop. 0: it never recovers. */
  readonly load: number
  /** The load of the scenario itself, in the same unit. */
  readonly of: number
  /** The requests per second that the servers can do; `null` where that has no limit. */
  readonly capacity: number | null
}

/**
 * Returns the scenario with `factor` times as many calls. Of a trace each call is made so many times, or left out.
 *
 * @internal
 */
export const scaled = (scenario: Valid, factor: number): Valid => {
  const { arrivals } = scenario
  switch (arrivals._tag) {
    case "Poisson":
    case "Constant":
      return { ...scenario, arrivals: { ...arrivals, perSecond: arrivals.perSecond * factor } }
    case "Closed":
      return { ...scenario, arrivals: { ...arrivals, workers: Math.max(1, Math.round(arrivals.workers * factor)) } }
    case "Trace": {
      const calls = arrivals.calls.flatMap((call, i) =>
        Array.from({ length: Math.floor((i + 1) * factor) - Math.floor(i * factor) }, () => call)
      )
      return { ...scenario, arrivals: { ...arrivals, calls } }
    }
  }
}

/**
 * Returns the calls per second of a scenario, or the workers of a closed loop.
 *
 * @internal
 */
export const loadOf = ({ arrivals, duration }: Valid): number => {
  switch (arrivals._tag) {
    case "Poisson":
    case "Constant":
      return arrivals.perSecond
    case "Closed":
      return arrivals.workers
    case "Trace":
      return arrivals.calls.length * 1000 / duration
  }
}

/**
 * Returns the requests per second that the servers can do; `Infinity` for those whose service takes no time.
 *
 * @internal
 */
export const capacityOf = ({ servers }: Valid): number =>
  servers.nodes * servers.concurrency * 1000 / servers.service.mean

/** How often the range is halved: what is found is right to a 64th of the greatest load that is tried. */
const halvings = 6

/** The greatest load that is tried where the servers set no limit, as a multiple of that of the scenario. */
const withoutLimit = 4

/**
 * Halves the range between a load at which the system recovers and one at which it does not.
 *
 * - `within`: the longest recovery that counts, in milliseconds.
 *
 * @internal
 */
export const headroom = (
  strategy: Strategy,
  scenario: Valid,
  options: RunOptions & { readonly within: number }
): Effect.Effect<Headroom> => {
  const of = loadOf(scenario)
  const capacity = capacityOf(scenario)
  const isLimited = Number.isFinite(capacity) && scenario.arrivals._tag !== "Closed"
  const most = isLimited ? capacity : withoutLimit * of
  let runs = 0
  const recovers = (load: number) =>
    Effect.suspend(() => {
      const before = runs++ * scenario.duration
      return Effect.map(
        run(strategy, scaled(scenario, load / of), {
          seed: options.seed,
          untilRecovered: true,
          onProgress: ({ at }) => options.onProgress({ at: before + at, of: (halvings + 1) * scenario.duration })
        }),
        ({ recovery }) => typeof recovery === "number" && recovery <= options.within
      )
    })
  const search = (low: number, high: number, left: number): Effect.Effect<number> => {
    const middle = (low + high) / 2
    return left === 0
      ? Effect.succeed(low)
      : Effect.flatMap(
        recovers(middle),
        (does) => does ? search(middle, high, left - 1) : search(low, middle, left - 1)
      )
  }
  return Effect.map(
    Effect.flatMap(recovers(most), (does) => does ? Effect.succeed(most) : search(0, most, halvings)),
    (load) => ({
      load: Math.round(load * 100) / 100,
      of: Math.round(of * 100) / 100,
      capacity: Number.isFinite(capacity) ? Math.round(capacity * 100) / 100 : null
    })
  )
}
