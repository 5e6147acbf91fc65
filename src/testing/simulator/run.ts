/**
 * Runs a scenario.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import * as Monotonic from "../../internal/ambient/monotonic.js"
import { cancel, interruptAll, VirtualTime } from "./clock.js"
import { exponential } from "./law.js"
import { type Gauges, Recorder, type Report } from "./recorder.js"
import type { Valid } from "./scenario.js"
import { ServerGroup } from "./servers.js"
import * as Strategy from "./strategy.js"

/**
 * How far a run is.
 *
 * @since 0.1.0
 * @category models
 */
export interface Progress {
  /** The virtual time that is simulated, in milliseconds. */
  readonly at: number
  /** The virtual time that there is to simulate, in milliseconds. */
  readonly of: number
}

/** @internal */
export interface RunOptions {
  readonly seed: number
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
  /** Whether to stop as soon as the system has recovered. */
  readonly untilRecovered?: boolean | undefined
}

const defaultMethod = "Simulated.Call"

/** A client, and its calls by method. */
interface Caller {
  readonly client: Strategy.Client
  readonly calls: Map<string, Effect.Effect<unknown, unknown>>
}

/** One run: clients that call, and what they call. */
class Simulation {
  readonly time = new VirtualTime()
  readonly recorder: Recorder
  private readonly arrivals: PCGRandom
  private readonly servers: ServerGroup
  /** The clients that have made a call, by their numbers. */
  private readonly callers: Array<Caller | undefined> = []
  private readonly scope: Scope.CloseableScope
  private readonly inFlight = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  private readonly fork: <A, E>(self: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  private isOver = false
  /** Whether it can stop: see the option `untilRecovered`. */
  hasRecovered = false

  constructor(
    private readonly scenario: Valid,
    private readonly strategy: Strategy.Strategy,
    { seed, untilRecovered = false }: RunOptions
  ) {
    // when calls are made does not depend on what becomes of them: policies are compared under the same load
    this.arrivals = new PCGRandom(seed, 1)
    this.recorder = new Recorder(scenario)
    this.fork = this.time.runner(Random.make(seed))
    this.servers = new ServerGroup(this.time, new PCGRandom(seed, 2), scenario, {
      sent: () => this.isOver || this.recorder.sent(this.time.now),
      done: (wasted) => this.recorder.served(wasted)
    })
    this.scope = Effect.runSync(Scope.make())
    this.arrive()
    this.lookAt(1, untilRecovered)
  }

  private make(): Strategy.Client {
    const made: Array<Strategy.Client> = []
    const making = Scope.extend(this.strategy.client(this.scenario.servers.nodes), this.scope)
    const fiber = this.fork(Effect.map(making, (client) => made.push(client)))
    this.time.drain()
    const exit = fiber.unsafePoll()
    if (made.length === 0) {
      throw exit === null
        ? new Error("Simulator: making a client must not wait")
        : new Error("Simulator: making a client failed", { cause: exit })
    }
    return made[0]!
  }

  private callOf({ calls, client }: Caller, method: string): Effect.Effect<unknown, unknown> {
    const known = calls.get(method)
    if (known !== undefined) {
      return known
    }
    const { attemptTimeout, servers } = this.scenario
    const call = client.retrying(Strategy.wire(method, attemptTimeout, servers.nodes, this.servers.attempt))
    calls.set(method, call)
    return call
  }

  /** Makes one call. `whenEnded` is run at its end. */
  private call(caller: Caller, method: string, whenEnded: () => void): void {
    const startedAt = this.time.now
    this.recorder.started(startedAt)
    const fiber = this.fork(this.callOf(caller, method))
    this.inFlight.add(fiber)
    const leaves = this.scenario.patience === Infinity
      ? undefined
      : this.time.at(startedAt + this.scenario.patience, () => fiber.unsafeInterruptAsFork(FiberId.none))
    fiber.addObserver((exit) => {
      this.inFlight.delete(fiber)
      if (leaves !== undefined) {
        cancel(leaves)
      }
      if (!this.isOver) {
        this.recorder.ended(startedAt, this.time.now, exit)
        whenEnded()
      }
    })
  }

  /** The client of a number, made for its first call: a hundred thousand at once would hold up the program. */
  private caller(number: number): Caller {
    return this.callers[number] ??= { client: this.make(), calls: new Map() }
  }

  private anyCaller(): Caller {
    const { clients } = this.scenario
    return this.caller(clients === 1 ? 0 : Math.floor(this.arrivals.number() * clients))
  }

  private callAny(method = defaultMethod): void {
    this.call(this.anyCaller(), method, () => {})
  }

  /** How many times as many calls there are at an instant. */
  private loadFactor(at = this.time.now): number {
    return this.scenario.faults.reduce(
      (factor, fault) => fault.kind === "load" && fault.from <= at && at < fault.to ? factor * fault.factor : factor,
      1
    )
  }

  /** The gap to the next call of evenly spaced ones: a load that changes meanwhile counts for its part of the gap. */
  private gapOf(perSecond: number): number {
    const changes = this.scenario.faults
      .flatMap((fault) => fault.kind === "load" ? [fault.from, fault.to] : [])
      .filter((at) => at > this.time.now)
      .toSorted((a, b) => a - b)
    let at = this.time.now
    // what is left of the gap, in milliseconds without added load
    let left = 1000 / perSecond
    for (const change of [...changes, Infinity]) {
      const factor = this.loadFactor(at)
      if (left <= (change - at) * factor) {
        at += left / factor
        break
      }
      left -= (change - at) * factor
      at = change
    }
    return at - this.time.now
  }

  /** Sets up the calls of the run. */
  private arrive(): void {
    const { arrivals } = this.scenario
    switch (arrivals._tag) {
      case "Poisson": {
        const greatest = this.scenario.faults.reduce(
          (most, fault) => fault.kind === "load" ? most * Math.max(1, fault.factor) : most,
          1
        )
        // drawn for the greatest load, and left out where there is less
        return this.every(() => exponential(this.arrivals, 1000 / (arrivals.perSecond * greatest)), () => {
          if (greatest === 1 && this.loadFactor() === 1 || this.arrivals.number() * greatest < this.loadFactor()) {
            this.callAny()
          }
        })
      }
      case "Constant": {
        let turn = 0
        return this.every(() => this.gapOf(arrivals.perSecond), () => {
          this.call(this.caller(turn++ % this.scenario.clients), defaultMethod, () => {})
        })
      }
      case "Trace": {
        let next = 0
        const { calls } = arrivals
        const play = (): void => {
          while (next < calls.length && calls[next]!.at <= this.time.now) {
            this.callAny(calls[next++]!.method)
          }
          if (next < calls.length) {
            this.time.at(calls[next]!.at, play)
          }
        }
        return void this.time.at(0, play)
      }
      case "Closed": {
        const pause = () => Math.max(1, arrivals.pause.draw(this.arrivals, 0))
        for (let worker = 0; worker < arrivals.workers; worker++) {
          const work = () =>
            this.call(
              this.caller(worker % this.scenario.clients),
              defaultMethod,
              () => this.time.at(this.time.now + pause(), work)
            )
          this.time.at(pause() * this.arrivals.number(), work)
        }
      }
    }
  }

  /** Does something again and again. */
  private every(gap: () => number, what: () => void): void {
    const again = (): void => {
      what()
      this.time.at(this.time.now + gap(), again)
    }
    this.time.at(gap(), again)
  }

  /** Looks at the clients at the end of each step. */
  private lookAt(step: number, untilRecovered: boolean): void {
    const at = step * 1_000
    if (at <= this.scenario.duration) {
      this.time.at(at, () => {
        this.recorder.stepEnded(this.gauges())
        this.hasRecovered = untilRecovered && typeof this.recorder.recovery(at) === "number"
        this.lookAt(step + 1, untilRecovered)
      })
    }
  }

  private gauges(): Gauges {
    const now = Monotonic.now(this.time)
    const policies = this.callers.flatMap((caller) =>
      caller?.client.policy === undefined ? [] : Array.from(caller.calls.keys(), caller.client.policy)
    )
    return {
      budget: mean(policies.flatMap(({ budget }) => {
        const level = budget?.account.level(now) ?? Infinity
        return level === Infinity ? [] : [level]
      })),
      open: mean(
        policies.flatMap(({ breaker = "off" }) => breaker === "off" ? [] : [breaker.gate.isFree() ? 0 : 1])
      ),
      throttled: mean(
        policies.flatMap(({ throttle = "off" }) => throttle === "off" ? [] : [throttle.core.snapshot(now).rejecting])
      )
    }
  }

  /** Interrupts the calls that are still in flight, and closes the clients. */
  end(): void {
    this.isOver = true
    interruptAll(this.time, this.inFlight, FiberId.none)
    this.fork(Scope.close(this.scope, Exit.void))
    this.time.drain()
  }
}

const mean = (numbers: ReadonlyArray<number>): number | null =>
  numbers.length === 0 ? null : Math.round(1e6 * numbers.reduce((sum, n) => sum + n, 0) / numbers.length) / 1e6

/**
 * Runs a scenario to its end.
 *
 * @internal
 */
export const run = (strategy: Strategy.Strategy, scenario: Valid, options: RunOptions): Effect.Effect<Report> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Simulation(scenario, strategy, options)),
    (simulation) => {
      const { recorder, time } = simulation
      const isDone = () => recorder.defect !== undefined || simulation.hasRecovered
      const progress = Effect.suspend(() => options.onProgress({ at: time.now, of: scenario.duration }))
      return Effect.flatMap(time.run(scenario.duration, isDone, progress), () =>
        recorder.defect === undefined
          ? Effect.sync(() => recorder.report(options.seed, time.now))
          : Effect.failCause(recorder.defect as never))
    },
    (simulation) => Effect.sync(() => simulation.end())
  )
