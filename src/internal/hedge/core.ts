/**
 * The state of a hedge, shared by its calls: estimates, the budget of extra legs, and counts.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { CurrentAttempt, CurrentDeadline, InheritedAttempt } from "../../Deadline.js"
import { read } from "../ambient/context.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as Keyed from "../gate/keyed.js"
import { type Plan, race } from "./hedge.js"
import { Latency } from "./latency.js"
import { Load } from "./load.js"

/**
 * The options of a hedge, checked.
 *
 * @internal
 */
export interface Settings {
  /** Milliseconds, or the quantile of the latencies of the method. */
  readonly after: number | { readonly quantile: number }
  readonly max: number
  readonly load: number
}

/** The methods whose latencies are kept: about 2 MB in all. */
const maxMethods = 1000

/** The latencies of calls without a name are kept together. */
const unnamed = ""

/** @internal */
export class Core {
  /** The first legs so far. */
  calls = 0
  /** The extra legs so far, without those that were turned away. */
  extra = 0
  /** The extra legs that the load did not allow. */
  refused = 0
  /** The calls that an extra leg has ended. */
  won = 0
  readonly load: Load
  private readonly latencies: Keyed.Keyed<Latency> | undefined

  constructor(readonly settings: Settings) {
    this.load = new Load(settings.load)
    const { after } = settings
    this.latencies = typeof after === "number"
      ? undefined
      : Keyed.make(maxMethods, () => new Latency(after.quantile), () => true)
  }

  /** Returns the delay before an extra leg in milliseconds; `undefined` while it is not known. */
  after(method: string | undefined): number | undefined {
    const { after } = this.settings
    return typeof after === "number" ? after : this.latencies?.get(method ?? unnamed).value()
  }

  /** Starts a call: counts it, and returns the plan of its race. `mayStart` is asked before the load pays for a leg. */
  plan(method: string | undefined, mayStart: () => boolean): Plan {
    this.calls++
    this.load.earn()
    const latency = this.latencies?.get(method ?? unnamed)
    return {
      after: this.after(method),
      max: this.settings.max,
      admit: () => mayStart() && this.take(),
      turnedAway: () => {
        this.extra--
        this.load.refund()
      },
      legEnded: (now, millis, isAnswered) => latency?.add(now, millis, isAnswered),
      won: (leg) => {
        this.won += leg > 0 ? 1 : 0
      }
    }
  }

  private take(): boolean {
    const isPaid = this.load.take()
    this.extra += isPaid ? 1 : 0
    this.refused += isPaid ? 0 : 1
    return isPaid
  }
}

/**
 * Runs a call with extra legs. A call that is itself a retry, of this process or of its caller, runs alone, so that
 * hedges and retries do not multiply.
 *
 * @internal
 */
export const run = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  core: Core,
  method: string | undefined
): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    const ambient: Context.Context<never> = fiber.currentContext
    const attempt = read(ambient, CurrentAttempt, 1)
    if (attempt > 1 || read(ambient, InheritedAttempt, 1) > 1) {
      return self
    }
    const deadline = read(ambient, CurrentDeadline, Infinity)
    return Effect.flatMap(Effect.clock, (clock) =>
      race(
        (leg) => leg === 0 ? self : Effect.provideService(self, CurrentAttempt, attempt + leg),
        core.plan(method, () => Monotonic.now(clock) < deadline)
      ))
  })
