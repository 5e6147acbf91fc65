/**
 * One endpoint in the set of a destination, with its client, its attempts in flight and its health. An endpoint that
 * leaves the set and comes back is another member: what happens at the one counts nothing at the other.
 *
 * @internal
 */
import type { Breaker } from "../gate/circuitBreaker.js"
import type { Dial } from "./dial.js"
import type { Health } from "./health.js"
import type { Endpoint } from "./source.js"

/** @internal */
export class Member<Client> {
  /** The attempts in flight, those that wait for the client among them. */
  inFlight = 0
  /** Whether the endpoint has left the set. */
  isGone = false

  constructor(
    /** What the source said last of it. */
    public endpoint: Endpoint,
    /** The address without credentials: what errors, events and states name it by. No other in the set has it. */
    readonly name: string,
    readonly health: Health,
    /** `undefined` without circuit breakers. */
    readonly breaker: Breaker | undefined,
    readonly dial: Dial<Client>
  ) {}

  get weight(): number {
    return this.endpoint.weight ?? 1
  }

  get priority(): number {
    return this.endpoint.priority ?? 0
  }
}

/** A member, without its client. @internal */
export type AnyMember = Omit<Member<unknown>, "dial">
