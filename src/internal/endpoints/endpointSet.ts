/**
 * The endpoints of a destination: which there are, at which an attempt is made, and what follows from its end. Each step
 * is synchronous, so that no two fibers see the same place free; nothing runs between the steps: what time changes is
 * seen by the next attempt.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Monotonic from "../ambient/monotonic.js"
import * as Causes from "../effect/cause.js"
import { redactText } from "../errors/redact.js"
import type { Breaker } from "../gate/circuitBreaker.js"
import type { Permit } from "../gate/gate.js"
import type { Outcome } from "../gate/outcome.js"
import * as Result from "../result.js"
import type { Dial } from "./dial.js"
import * as Ejection from "./ejection.js"
import { Health } from "./health.js"
import { Member } from "./member.js"
import type { Picker } from "./picker.js"
import type { State } from "./registry.js"
import * as Rotation from "./rotation.js"
import type { Endpoint } from "./source.js"
import type { Event, OfDestination, Telemetry } from "./telemetry.js"

type Services = Context.Context<DefaultServices.DefaultServices>

/** Durations are in milliseconds. @internal */
export interface Settings<Client> {
  readonly destination: string
  readonly picker: Picker
  readonly prefer: Rotation.Prefer | undefined
  /** `undefined` for no ejection. */
  readonly ejection: Ejection.EjectionSettings | undefined
  /** How long a new endpoint is ramped up; 0 for no ramp. */
  readonly slowStart: number
  /** Makes the circuit breaker of an endpoint; `undefined` for none. */
  readonly breaker: LazyArg<Breaker> | undefined
  readonly dial: (endpoint: Endpoint) => Dial<Client>
  readonly telemetry: Telemetry
}

/** An endpoint for one attempt. @internal */
export interface Choice<Client> {
  readonly member: Member<Client>
  /** What its circuit breaker is told; `undefined` for an attempt that is made although the breaker refuses. */
  readonly permit: Permit | undefined
  /** When it began, in milliseconds of the monotonic clock; `undefined` when it had to wait for the client. */
  readonly startedAt: number | undefined
}

type Admitted<Client> = Omit<Choice<Client>, "startedAt">

/** An event, but for the fields that all have. */
type Told = Event extends infer E ? E extends Event ? Omit<E, keyof OfDestination> : never : never

const noMembers: ReadonlySet<never> = new Set()

/** @internal */
export class EndpointSet<Client> {
  private members = new Map<string, Member<Client>>()
  private byName = new Map<string, Member<Client>>()
  /** Those that have left with attempts in flight. */
  private readonly leaving = new Set<Member<Client>>()
  private rotation: Rotation.Rotation<Member<Client>> = Rotation.make([], undefined, 0)
  /** Those that were out when the rotation was computed. */
  private out = new Set<Member<Client>>()
  private comparedAt: number | undefined

  constructor(private readonly settings: Settings<Client>) {}

  get size(): number {
    return this.members.size
  }

  /**
   * Takes a list in place of the last one. An endpoint whose address and attributes are as before keeps its client and
   * its health. Returns those that have left and have no attempts in flight.
   */
  replace(endpoints: ReadonlyArray<Endpoint>, services: Services): ReadonlyArray<Member<Client>> {
    const now = nowOf(services)
    const isFirst = this.members.size === 0
    const before = this.members
    const left: Array<Member<Client>> = []
    const leave = (member: Member<Client>): void => {
      left.push(member)
      member.isGone = true
      this.tell({ _tag: "EndpointRemoved", address: member.name }, services)
      if (member.inFlight > 0) {
        this.leaving.add(member)
      }
    }
    const kept = endpoints.map((endpoint) => {
      const known = before.get(endpoint.address)
      before.delete(endpoint.address)
      if (known === undefined || isSameTarget(known.endpoint, endpoint)) {
        return known
      }
      // it is told of before the one that comes in its place, whose address is the same
      leave(known)
      return undefined
    })
    this.byName = new Map(kept.flatMap((member) => member === undefined ? [] : [[member.name, member]]))
    this.members = new Map(endpoints.map((endpoint, i) => {
      const member = kept[i] ?? this.added(endpoint, isFirst, services)
      member.endpoint = endpoint
      return [endpoint.address, member]
    }))
    before.forEach(leave)
    if (!Ejection.isPossible(this.size)) {
      this.members.forEach(({ health }) => health.readmit(now))
    }
    this.rotate(now, services)
    return left.filter(({ inFlight }) => inFlight === 0)
  }

  /**
   * Chooses the endpoint of an attempt, which then is in flight there. `undefined` when there are none.
   *
   * - `tried`: the names of those that the call has tried.
   */
  choose(tried: ReadonlyArray<string>, services: Services): Choice<Client> | undefined {
    const now = nowOf(services)
    if (now >= this.rotation.until) {
      this.rotate(now, services)
    }
    const choice = this.admitted(tried, services, now)
    if (choice === undefined) {
      return undefined
    }
    const { member } = choice
    member.inFlight++
    return { ...choice, startedAt: member.dial.state === "Connected" ? now : undefined }
  }

  /**
   * Takes note of an attempt that has ended. Returns whether its endpoint has left and this was the last attempt there.
   */
  ended(
    { member, permit, startedAt }: Choice<Client>,
    outcome: Outcome,
    exit: Exit.Exit<unknown, unknown>,
    services: Services
  ): boolean {
    member.inFlight--
    const now = nowOf(services)
    permit?.end(outcome, exit, services)
    member.health.ended(outcome, now)
    if (startedAt !== undefined) {
      const took = Monotonic.between(startedAt, now)
      if (Exit.isSuccess(exit)) {
        member.health.answered(took, now)
      } else if (Causes.hasInterruption(exit.cause)) {
        member.health.cut(took, now)
      }
    }
    this.settings.telemetry.attemptEnded?.(member.name, outcome)
    if (member.isGone) {
      return member.inFlight === 0 && this.leaving.delete(member)
    }
    this.eject(member, outcome, now, services)
    return false
  }

  /** What is known of each endpoint now. */
  states(services: Services): ReadonlyArray<State> {
    const now = nowOf(services)
    return [...this.members.values(), ...this.leaving].map((member) => {
      const { dial, endpoint: { zone }, health, inFlight, name, priority, weight } = member
      return {
        address: name,
        state: this.stateOf(member, now),
        client: dial.state,
        inFlight,
        penalty: health.penalty(now),
        weight,
        priority,
        zone
      }
    })
  }

  private added(endpoint: Endpoint, isFirst: boolean, services: Services): Member<Client> {
    const { breaker, dial, slowStart } = this.settings
    const health = new Health(nowOf(services), !isFirst, slowStart)
    const gate = breaker?.()
    const member = new Member(endpoint, this.freeName(endpoint), health, gate, dial(endpoint))
    this.byName.set(member.name, member)
    gate?.onChange(({ openUntil, to }) => {
      health.isHalfOpen = to === "HalfOpen"
      health.openUntil = to === "Open" && openUntil !== undefined ? openUntil : -Infinity
    })
    this.tell({ _tag: "EndpointAdded", address: member.name }, services)
    return member
  }

  /** The address as it is shown. Where several are shown alike, as what is secret differs, they are numbered. */
  private freeName({ address }: Endpoint): string {
    const shown = redactText(address)
    let name = shown
    for (let i = 2; this.byName.has(name); i++) {
      name = `${shown} #${i}`
    }
    return name
  }

  private admitted(tried: ReadonlyArray<string>, services: Services, now: number): Admitted<Client> | undefined {
    const { rotation } = this
    const { picker } = this.settings
    const avoided = tried.length === 0
      ? noMembers
      : Rotation.triedOf(rotation, tried, (name) => this.byName.get(name))
    const first = Rotation.pick(rotation, picker, now, avoided, noMembers)
    let member = first
    let refused: Set<Member<Client>> | undefined
    while (member !== undefined) {
      const admission = member.breaker?.admit(services, Infinity, (self) => self)
      if (!Result.isResult(admission) || Result.isSuccess(admission)) {
        return { member, permit: Result.isResult(admission) ? Result.successOf(admission) : undefined }
      }
      if (rotation.isPanicking) {
        break
      }
      refused ??= new Set()
      refused.add(member)
      member = refused.size < maxRefusals ? Rotation.pick(rotation, picker, now, avoided, refused) : undefined
    }
    // an attempt is made all the same: the breaker of an endpoint turns no call away
    return first && { member: first, permit: undefined }
  }

  /** Ejects what one more failure, or a comparison that is due, ejects; and takes out what a breaker has opened for. */
  private eject(member: Member<Client>, outcome: Outcome, now: number, services: Services): void {
    const { ejection } = this.settings
    const { health } = member
    let isAnyOut = false
    if (ejection !== undefined && outcome === "Failure" && !health.isOut(now)) {
      if (Ejection.ejects(ejection, member, this.members.size)) {
        this.takeOut(member, "ConsecutiveFailures", ejection, now, services)
        isAnyOut = true
      }
    }
    if (ejection?.successRate !== undefined) {
      this.comparedAt ??= now
      if (now - this.comparedAt >= ejection.successRate.every) {
        this.comparedAt = now
        for (const outlier of Ejection.outliers(ejection, Array.from(this.members.values()))) {
          if (!outlier.health.isOut(now)) {
            this.takeOut(outlier, "SuccessRate", ejection, now, services)
            isAnyOut = true
          }
        }
      }
    }
    if (health.openUntil > now && now >= health.ejectedUntil && !this.out.has(member)) {
      this.toldOut(member, "CircuitOpen", health.openUntil - now, services)
      isAnyOut = true
    }
    // once, however many are taken out: it looks at all endpoints
    if (isAnyOut) {
      this.rotate(now, services)
    }
  }

  private takeOut(
    member: Member<Client>,
    reason: Ejection.OutReason,
    { ejectFor, maxEjectFor }: Ejection.EjectionSettings,
    now: number,
    services: Services
  ): void {
    this.toldOut(member, reason, member.health.eject(now, ejectFor, maxEjectFor), services)
  }

  private toldOut(member: Member<Client>, reason: Ejection.OutReason, millis: number, services: Services): void {
    const outFor = Duration.millis(Math.max(0, millis))
    this.tell({ _tag: "EndpointOut", address: member.name, reason, outFor }, services)
  }

  /** Computes what is used now. */
  private rotate(now: number, services: Services): void {
    const wasPanicking = this.rotation.isPanicking
    const back = Array.from(this.out).filter(({ health, isGone }) => !isGone && !health.isOut(now))
    for (const member of back) {
      member.health.comeBack(now)
      this.tell({ _tag: "EndpointBack", address: member.name }, services)
    }
    this.rotation = Rotation.make(this.members.values(), this.settings.prefer, now)
    this.out = new Set(this.rotation.out)
    const { isPanicking } = this.rotation
    if (isPanicking && !wasPanicking) {
      this.tell({ _tag: "PanicStarted", out: this.out.size, endpoints: this.members.size }, services)
    } else if (wasPanicking && !isPanicking) {
      this.tell({ _tag: "PanicEnded" }, services)
    }
    this.settings.telemetry.counted(this.members.size - this.out.size, this.out.size, isPanicking)
  }

  private stateOf({ health, isGone }: Member<Client>, now: number): State["state"] {
    return isGone
      ? "Leaving"
      : now < health.openUntil
      ? "Open"
      : now < health.ejectedUntil
      ? "Ejected"
      : health.isHalfOpen
      ? "HalfOpen"
      : health.ramp(now) < 1
      ? "Ramping"
      : "Healthy"
  }

  private tell(told: Told, services: Services): void {
    const at = Context.get(services, Clock.Clock).unsafeCurrentTimeMillis()
    this.settings.telemetry.emit({ ...told, destination: this.settings.destination, at } as Event)
  }
}

/** After so many refusals in a row the attempt is made at the first choice: there may be a thousand endpoints. */
const maxRefusals = 8

const nowOf = (services: Services): number => Monotonic.now(Context.get(services, Clock.Clock))

/** Whether a client of the one is a client of the other. */
const isSameTarget = ({ attributes: one = {} }: Endpoint, { attributes: other = {} }: Endpoint): boolean => {
  const [keys, others] = [Object.keys(one), Object.keys(other)]
  return keys.length === others.length && keys.every((key) => one[key] === other[key])
}
