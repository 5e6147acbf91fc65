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
  private readonly callers: ReadonlyArray<Caller>
  private readonly scope: Scope.CloseableScope
  private readonly inFlight = new Set<Fiber.RuntimeFiber<unknown, unknown>>()
  private readonly fork: <A, E>(self: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  private isOver = false
  /** Whether it can stop: see the option `untilRecovered`. */
  hasRecovered = false

  constructor(
    private readonly scenario: Valid,
    policy: Strategy.Policy,
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
    const strategy = Strategy.fromPolicy(policy)
    this.scope = Effect.runSync(Scope.make())
    this.callers = Array.from({ length: scenario.clients }, () => ({ client: this.make(strategy), calls: new Map() }))
    this.arrive()
    this.lookAt(1, untilRecovered)
  }

  private make({ client }: Strategy.Strategy): Strategy.Client {
    const made: Array<Strategy.Client> = []
    const making = Scope.extend(client(this.scenario.servers.nodes), this.scope)
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

  private anyCaller(): Caller {
    const { callers } = this
    return callers.length === 1 ? callers[0]! : callers[Math.floor(this.arrivals.number() * callers.length)]!
  }

  private callAny(method = defaultMethod): void {
    this.call(this.anyCaller(), method, () => {})
  }

  /** How many times as many calls there are now. */
  private loadFactor(): number {
    const { now } = this.time
    return this.scenario.faults.reduce(
      (factor, fault) => fault.kind === "load" && fault.from <= now && now < fault.to ? factor * fault.factor : factor,
      1
    )
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
        return this.every(() => 1000 / (arrivals.perSecond * this.loadFactor()), () => {
          this.call(this.callers[turn++ % this.callers.length]!, defaultMethod, () => {})
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
          const caller = this.callers[worker % this.callers.length]!
          const work = () => this.call(caller, defaultMethod, () => this.time.at(this.time.now + pause(), work))
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
    const policies = this.callers.flatMap(({ calls, client }) =>
      client.policy === undefined ? [] : Array.from(calls.keys(), client.policy)
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
export const run = (policy: Strategy.Policy, scenario: Valid, options: RunOptions): Effect.Effect<Report> =>
  Effect.acquireUseRelease(
    Effect.sync(() => new Simulation(scenario, policy, options)),
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
