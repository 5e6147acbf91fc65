/**
 * What a case of the bench is, and how it measures.
 */
// oxlint-disable no-await-in-loop, no-unmodified-loop-condition -- one after the other is what is measured
import { RpcRetry } from "effect-rpc-retry"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Whether cases only have to run, as in continuous integration: the figures mean nothing then. */
export const isQuick = process.argv.includes("--quick")

/** Makes one round. Returns its figure, or several by name. */
export type Round = () => Promise<number | Readonly<Record<string, number>>>

/** Prepares a case in a process of its own, given what the set-up of its group has made. */
export type Case = (prepared: Readonly<Record<string, string>>) => Round | Promise<Round>

/** The figure of a case in one round, or one of several as `case: name`. */
export type Figures = (name: string) => number

/** One ratio, made for each round; the table shows the median of the rounds, the least and the greatest. */
export interface Row {
  readonly what: string
  readonly ratio: (of: Figures) => number
  readonly atMost?: number
  readonly atLeast?: number
}

/** Cases that take turns. */
export interface Group {
  readonly title: string
  /** What the figures are. */
  readonly unit: string
  readonly rounds: number
  readonly cases: Readonly<Record<string, Case>>
  readonly rows: ReadonlyArray<Row>
  /** Starts what the cases need, such as a server, until it is closed. */
  readonly setup?: () => Promise<{ readonly prepared: Readonly<Record<string, string>>; readonly close: () => void }>
  /** Why the group cannot be measured here. */
  readonly skipped?: string | undefined
}

/** Nanoseconds of processor time that `work` takes. */
export const cpu = async (work: () => Promise<unknown>): Promise<number> => {
  const before = process.cpuUsage()
  await work()
  const { system, user } = process.cpuUsage(before)
  return (user + system) * 1000
}

/** A round takes so many milliseconds. */
const roundMillis = 60

/** So many rounds in a row that are no faster than those before end the warm-up of a case. */
const settled = 15

/** A case warms up for so many milliseconds at most. */
const maxWarmUp = 8_000

/**
 * Processor time of one of many runs. They are made until they get no faster, so that no round measures code that is
 * still being compiled: a call with all protections takes two seconds to get there, and twice as long per call before.
 */
export const each = async (runs: (n: number) => Promise<unknown>): Promise<Round> => {
  let n = isQuick ? 5 : 50
  const round = async () => await cpu(() => runs(n)) / n
  let least = Infinity
  const began = performance.now()
  for (let rounds = 0; rounds < settled && performance.now() - began < maxWarmUp && !isQuick; rounds++) {
    const start = performance.now()
    const figure = await round()
    if (performance.now() - start < roundMillis) {
      n *= 2
    }
    if (figure < least * 0.98) {
      least = figure
      rounds = 0
    }
  }
  return round
}

/** A call, one after the other in one fiber; `service` makes the service that it finds, `clock` is that of all. */
export const calls =
  (call: Effect.Effect<unknown, unknown>, service?: () => RpcRetry.Service, clock?: Clock.Clock): Case => () => {
    const made = service?.()
    return each((n) => {
      const many = Effect.suspend(() => {
        let i = 0
        return Effect.whileLoop({ while: () => i < n, body: () => call, step: () => i++ })
      })
      const served = made === undefined ? many : Effect.provideService(many, RpcRetry.RpcRetry, made)
      return Effect.runPromise(
        (clock === undefined ? served : Effect.withClock(served, clock)) as Effect.Effect<void>
      )
    })
  }

/** A function of another library, one call after the other. */
export const promises = (call: () => Promise<unknown>): Case => () =>
  each(async (n) => {
    for (let i = 0; i < n; i++) {
      await call()
    }
  })

/** Calls in a second made by so many callers at once, and the processor time of each in nanoseconds. */
export const perSecond = async (
  callers: number,
  total: number,
  run: (callers: number, calls: number) => Promise<unknown>
): Promise<Round> => {
  const count = isQuick ? callers * 2 : total
  await run(callers, count)
  return async () => {
    const start = performance.now()
    const used = await cpu(() => run(callers, count))
    return {
      "calls a second": count / (performance.now() - start) * 1000,
      "nanoseconds of the CPU": used / count
    }
  }
}

/**
 * So many fibers, each with one call after the other; `service` is the service that they find, provided once to all, as
 * a program provides its layer.
 */
export const concurrently =
  (call: (i: number) => Effect.Effect<unknown, unknown>, service?: RpcRetry.Service) =>
  (callers: number, calls: number) => {
    const all = Effect.forEach(Array.from({ length: callers }), (_, caller) => {
      let i = caller
      return Effect.whileLoop({
        while: () => i < calls,
        body: () => call(i),
        step: () => {
          i += callers
        }
      })
    }, { concurrency: "unbounded", discard: true })
    const served = service === undefined ? all : Effect.provideService(all, RpcRetry.RpcRetry, service)
    return Effect.runPromise(served as Effect.Effect<void>)
  }

/** As {@link concurrently}, of promises. */
export const concurrentPromises = (call: (i: number) => Promise<unknown>) => (callers: number, calls: number) =>
  Promise.all(Array.from({ length: callers }, async (_, caller) => {
    for (let i = caller; i < calls; i += callers) {
      await call(i)
    }
  }))

/** What one case adds to another one. */
export const beyond = (of: Figures, name: string, base = "bare") => of(name) - of(base)
