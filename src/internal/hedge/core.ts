/**
 * The state of a hedge, shared by its calls: estimates, the budget of extra legs, and counts.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { CurrentAttempt, CurrentDeadline, InheritedAttempt } from "../../Deadline.js"
import { isRetryable, type Retryable, withRetryAfter } from "../../RpcError.js"
import { copy, read } from "../ambient/context.js"
import * as Monotonic from "../ambient/monotonic.js"
import { LegEndpoints } from "../ambient/tried.js"
import * as Causes from "../effect/cause.js"
import * as Keyed from "../gate/keyed.js"
import { type Plan, race, type Started } from "./hedge.js"
import { Latency } from "./latency.js"
import { Load } from "./load.js"
import { verdictOf } from "./verdict.js"

/**
 * The options of a hedge, checked.
 *
 * @internal
 */
export interface Settings {
  /** Milliseconds, or the quantile of the latencies of the method. */
  readonly after: number | { readonly quantile: number }
  readonly max: number
  /** The extra legs per call; `Infinity` where nothing bounds them but `max`, as in gRPC. */
  readonly load: number
}

/**
 * Returns whether two hedges of these settings do the same.
 *
 * @internal
 */
export const isSame = (a: Settings, b: Settings): boolean =>
  a.max === b.max && a.load === b.load &&
  (typeof a.after === "number" || typeof b.after === "number"
    ? a.after === b.after
    : a.after.quantile === b.after.quantile)

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

  /** - `isOfOptions`: whether a policy was given the options only, so that a service makes a hedge for each method. */
  constructor(readonly settings: Settings, readonly isOfOptions = false) {
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

  /** Counts a call, which earns a share of a leg. */
  called(): void {
    this.calls++
    this.load.earn()
  }

  /** Pays for an extra leg, if the load allows it. */
  take(): boolean {
    const isPaid = this.load.take()
    this.extra += isPaid ? 1 : 0
    this.refused += isPaid ? 0 : 1
    return isPaid
  }

  /** Returns the cost of an extra leg that was paid for, and by which nothing was sent. */
  refund(): void {
    this.extra--
    this.load.refund()
  }

  /** Adds an attempt to the latencies of its method. Until it was answered, or cancelled, it took so many milliseconds. */
  took(method: string | undefined, now: number, millis: number, isAnswered: boolean): void {
    this.latencies?.get(method ?? unnamed).add(now, millis, isAnswered)
  }
}

/** The end of the longest pause that a server has asked a race for: of a leg that may not be the one it fails as. */
interface Pause {
  until: number
}

/** The plan of a race whose legs are any effects. */
const planOf = (core: Core, method: string | undefined, clock: Clock.Clock, deadline: number, pause: Pause): Plan => {
  const took = ({ startedAt }: Started, isAnswered: boolean) => {
    const now = Monotonic.now(clock)
    core.took(method, now, Monotonic.between(startedAt, now), isAnswered)
  }
  return {
    after: core.after(method),
    max: core.settings.max,
    followsAlone: true,
    admit: () => Effect.sync(() => Monotonic.now(clock) < deadline && core.take()),
    ended: (leg, exit) => {
      const verdict = verdictOf(exit)
      if (verdict._tag === "Failed" && verdict.error.retryAfter !== undefined) {
        pause.until = Math.max(pause.until, Monotonic.now(clock) + verdict.wait)
      }
      if (verdict._tag !== "TurnedAway") {
        took(leg, verdict._tag === "Answer")
      } else if (leg.number > 0) {
        core.refund()
      }
      return verdict
    },
    cancelled: (leg) => took(leg, false),
    over: ({ number }, isWon) => {
      core.won += isWon && number > 0 ? 1 : 0
    }
  }
}

/** The error that a race fails with asks for what is left of the pause, unless it says "do not retry". */
const paused = <E>(clock: Clock.Clock, { until }: Pause, error: E): E => {
  if (until === -Infinity || !isRetryable(error) || error.retryAfter === "Never") {
    return error
  }
  const left = Duration.millis(Math.max(0, Monotonic.between(Monotonic.now(clock), until)))
  return error.retryAfter !== undefined && Duration.equals(error.retryAfter, left)
    ? error
    : withRetryAfter(error, left) as Retryable & E
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
    const clock = Context.get(fiber.currentDefaultServices, Clock.Clock)
    const deadline = read(ambient, CurrentDeadline, Infinity)
    core.called()
    const endpoints: Array<string> = []
    const pause: Pause = { until: -Infinity }
    const raced = race(() => self, planOf(core, method, clock, deadline, pause), (leg, ambient) => {
      const context = copy(ambient)
      context.set(LegEndpoints, endpoints)
      if (leg > 0) {
        context.set(CurrentAttempt, attempt + leg)
      }
      return context.done
    })
    return Causes.mapFailures(raced, (error) => paused(clock, pause, error))
  })
