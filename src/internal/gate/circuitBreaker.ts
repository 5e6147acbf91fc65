/**
 * The state machine of a circuit breaker. Each step is synchronous, so that no two fibers see the same place free;
 * nothing runs between the steps, no fiber and no timer: what time changes is seen by the next step.
 *
 * Every admission belongs to a generation, which ends when the breaker opens, half-opens, begins to close or is moved
 * by hand. An outcome of an older generation changes nothing.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Monotonic from "../ambient/monotonic.js"
import * as Result from "../result.js"
import type { Change, Snapshot, State } from "./circuit.js"
import type { Admission, Gate, Services } from "./gate.js"
import { type Outcome, type Rejection, retryAfterOf } from "./outcome.js"
import * as Window from "./window.js"

/**
 * How long the openings last, in milliseconds.
 *
 * @internal
 */
export interface Openings {
  readonly next: (now: number) => number
  readonly startOver: () => void
}

/**
 * Durations are in milliseconds.
 *
 * @internal
 */
export interface Settings {
  readonly rule: Window.Rule
  readonly openings: Openings
  readonly jitter: number
  readonly maxRetryAfter: number
  readonly probes: number
  readonly probeLease: number
  readonly rampUp: number
  readonly classify: ((exit: Exit.Exit<unknown, unknown>) => Outcome) | undefined
  /** Makes the clock and the random numbers those of the call that makes the next step. */
  readonly enter: (services: Services) => void
  /** The monotonic clock. It may go back, as a clock in tests does: the breaker's own time then stands still. */
  readonly now: LazyArg<number>
  /** A random number from 0 to 1. */
  readonly random: LazyArg<number>
}

/** @internal */
export interface Breaker extends Gate {
  readonly request: () => Admission
  readonly snapshot: () => Snapshot
  /** Whether no state is lost with it but counts: closed, or half-open without probes. */
  readonly isIdle: () => boolean
  readonly open: () => void
  readonly close: () => void
  readonly reset: () => void
  /** Calls `listener` at each change of state, after it. Returns what ends that. */
  readonly onChange: (listener: (change: Change) => void) => () => void
}

/** The shares of attempts that are made while it closes, each for the same time; then it is closed. */
const ramp = [0.1, 0.2, 0.5]

/** Of the probes of a round this share has to fail, where the rule has no share of its own. */
const half = 0.5

const turnedAway: Admission = Result.fail({ reason: "CircuitOpen" })

/** When an attempt began that was admitted at an instant, where that is to be known. */
const later = (admittedAt: number | undefined, began: number | undefined): number | undefined =>
  admittedAt === undefined || began === undefined ? admittedAt : Math.max(admittedAt, began)

/** @internal */
export const make = (settings: Settings): Breaker => new Machine(settings)

/** A probe holds its place until it ends, or until its lease is over. */
interface Probe {
  readonly until: number
}

class Machine implements Breaker {
  private state: State = "Closed"
  private generation = 0
  private readonly detector: Window.Detector
  private readonly slow: { readonly longerThan: number; readonly threshold: number } | undefined
  /** The permit of all attempts of a generation that are not measured and are no probes. */
  private shared = this.permit()
  private readonly listeners = new Set<(change: Change) => void>()

  private last = -Infinity
  private ahead = 0

  private openUntil = 0
  private opening = 0
  /** Since when it is closed altogether, after an opening. */
  private closedAt = Infinity

  private readonly probing = new Set<Probe>()
  private round = { calls: 0, failures: 0, slow: 0 }

  private rampUntil = 0
  private credit = 0

  constructor(private readonly settings: Settings) {
    const { rule } = settings
    this.detector = Window.make(rule, () => this.time())
    this.slow = rule._tag === "Rate" ? rule.slow : undefined
  }

  isFree(): boolean {
    return this.state === "Closed"
  }

  admit(services: Services): Admission {
    this.settings.enter(services)
    return this.request()
  }

  request(): Admission {
    if (this.state === "Closed") {
      return this.unconditional()
    }
    const now = this.time()
    switch (this.advance(now)) {
      case "Closed":
        return this.unconditional()
      case "Ramping":
        return this.ramped(now)
      case "HalfOpen":
        return this.probe(now)
      case "Open":
        return Result.fail(this.rejection(now))
    }
  }

  refuses(at: number): Rejection | undefined {
    return this.state === "Open" && at + this.ahead < this.openUntil ? this.rejection(this.time()) : undefined
  }

  snapshot(): Snapshot {
    const now = this.time()
    const state = this.advance(now)
    const counts = state === "HalfOpen" ? this.round : this.detector.counts()
    const share = (n: number) => this.settings.rule._tag === "Rate" && counts.calls > 0 ? n / counts.calls : undefined
    return {
      state,
      generation: this.generation,
      failures: counts.failures,
      rate: share(counts.failures),
      slowRate: this.slow === undefined ? undefined : share(counts.slow),
      retryIn: state === "Open" ? this.rejection(now).retryIn : undefined
    }
  }

  isIdle(): boolean {
    const state = this.advance(this.time())
    return state === "Closed" || (state === "HalfOpen" && this.probing.size === 0)
  }

  open(): void {
    this.closedAt = Infinity
    this.openUntil = Infinity
    this.begin("Open", this.time())
  }

  close(): void {
    const now = this.time()
    this.closedAt = Math.min(this.closedAt, now)
    this.begin("Closed", now)
  }

  reset(): void {
    this.settings.openings.startOver()
    this.close()
  }

  onChange(listener: (change: Change) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** The breaker's own time: where the clock goes back it stands still, and goes on from there. */
  private time(): number {
    const now = this.settings.now() + this.ahead
    if (now < this.last) {
      this.ahead += this.last - now
      return this.last
    }
    this.last = now
    return now
  }

  /** Does what has become due by the passing of time. Returns the state. */
  private advance(now: number): State {
    if (this.state === "Open" && now >= this.openUntil) {
      this.begin("HalfOpen", now)
    } else if (this.state === "Ramping" && now >= this.rampUntil) {
      // what was counted, and who was admitted, stays
      this.become("Closed", now)
    }
    return this.state
  }

  private rejection(now: number): Rejection {
    return this.openUntil === Infinity
      ? { reason: "CircuitOpen" }
      // whole milliseconds, for a timer drops parts of one, and who comes too early is turned away again
      : {
        reason: "CircuitOpen",
        retryIn: Duration.millis(Math.max(0, Math.ceil(Monotonic.between(now, this.openUntil))))
      }
  }

  /** A permit of this generation, which may be of many attempts, or of one that is measured. */
  private permit(startedAt?: number): Admission {
    const { generation } = this
    return Result.succeed({
      end: (outcome, exit, services, began) => {
        this.settings.enter(services)
        this.ended(generation, later(startedAt, began), outcome, exit)
      }
    })
  }

  private unconditional(): Admission {
    return this.slow === undefined ? this.shared : this.permit(this.time())
  }

  private ramped(now: number): Admission {
    const { rampUp } = this.settings
    const elapsed = rampUp - (this.rampUntil - now)
    this.credit += ramp[Math.min(ramp.length - 1, Math.floor(elapsed / rampUp * ramp.length))]!
    if (this.credit < 1) {
      return turnedAway
    }
    this.credit--
    return this.unconditional()
  }

  private probe(now: number): Admission {
    const { probeLease, probes } = this.settings
    if (this.probing.size + this.round.calls >= probes) {
      this.endLeases(now)
    }
    if (this.probing.size + this.round.calls >= probes) {
      return turnedAway
    }
    const { generation } = this
    const probe: Probe = { until: now + probeLease }
    this.probing.add(probe)
    return Result.succeed({
      end: (outcome, exit, services, began) => {
        this.settings.enter(services)
        // first of all, whatever a classification does
        this.probing.delete(probe)
        this.ended(generation, later(now, began), outcome, exit)
      }
    })
  }

  private endLeases(now: number): void {
    for (const probe of this.probing) {
      if (now < probe.until) {
        return
      }
      this.probing.delete(probe)
    }
  }

  private ended(
    generation: number,
    startedAt: number | undefined,
    outcome: Outcome,
    exit: Exit.Exit<unknown, unknown>
  ): void {
    if (generation !== this.generation) {
      return
    }
    const { classify } = this.settings
    const said = outcome === "Ignored" || classify === undefined ? outcome : classify(exit)
    if (said !== "Success" && said !== "Failure") {
      return
    }
    const failed = said === "Failure"
    const slow = startedAt !== undefined && this.slow !== undefined && this.time() - startedAt > this.slow.longerThan
    if (this.state === "HalfOpen") {
      this.judge(failed, slow, exit)
    } else if (this.detector.record(failed, slow)) {
      this.trip(exit)
    }
  }

  /** Counts the outcome of a probe: enough of them failed open the breaker at once, a round that is over closes it. */
  private judge(failed: boolean, slow: boolean, exit: Exit.Exit<unknown, unknown>): void {
    const { probes, rule } = this.settings
    const { round } = this
    round.calls++
    round.failures += failed ? 1 : 0
    round.slow += slow ? 1 : 0
    const limit = rule._tag === "Rate" ? rule.threshold : half
    if ((failed && round.failures / probes >= limit) || (slow && round.slow / probes >= this.slow!.threshold)) {
      this.trip(exit)
    } else if (round.calls >= probes) {
      this.recover()
    }
  }

  private trip(exit: Exit.Exit<unknown, unknown>): void {
    const { jitter, maxRetryAfter, openings, random } = this.settings
    const now = this.time()
    if (now - this.closedAt >= this.opening) {
      openings.startOver()
    }
    const length = Math.max(openings.next(now), Math.min(maxRetryAfter, retryAfterOf(exit)))
    this.opening = Math.ceil(length * (1 + jitter * random()))
    this.closedAt = Infinity
    this.openUntil = now + this.opening
    this.begin("Open", now)
  }

  private recover(): void {
    const { rampUp, random } = this.settings
    const now = this.time()
    this.closedAt = this.rampUntil = now + rampUp
    // of many clients with few calls each the right share makes its first one
    this.credit = rampUp === 0 ? 0 : random()
    this.begin(rampUp === 0 ? "Closed" : "Ramping", now)
  }

  private begin(state: State, now: number): void {
    this.generation++
    this.shared = this.permit()
    this.detector.clear()
    this.probing.clear()
    this.round = { calls: 0, failures: 0, slow: 0 }
    this.become(state, now)
  }

  private become(to: State, at: number): void {
    const from = this.state
    this.state = to
    if (from !== to) {
      const change: Change = to === "Open" ? { from, to, at, openUntil: this.openUntil } : { from, to, at }
      this.listeners.forEach((listener) => listener(change))
    }
  }
}
