/**
 * The endpoints that attempts are made at now, in the order of preference. It is computed anew when the set or the
 * health of an endpoint changes, and not for each attempt.
 *
 * @internal
 */
import * as Level from "./level.js"
import type { AnyMember } from "./member.js"
import type { Picker } from "./picker.js"

/** @internal */
export interface Prefer {
  /** The zone of the caller. */
  readonly zone: string
  /** When a smaller share of the endpoints of the zone is in use, those of other zones are used too. */
  readonly spillBelow: number
}

/** @internal */
export interface Rotation<M extends AnyMember> {
  /** Whether so many endpoints are out that all are used. */
  readonly isPanicking: boolean
  /** The endpoints that are out, whether they are used or not. */
  readonly out: ReadonlyArray<M>
  /** The endpoints that are used. */
  readonly used: ReadonlySet<M>
  /** When an endpoint is back, or `Infinity`. */
  readonly until: number
  /** The used endpoints that are preferred most; then, if all of these are tried, the others of their priority; ... */
  readonly levels: ReadonlyArray<Level.Level<M>>
}

/**
 * Computes what is used at an instant. More than half of the endpoints out is a panic: then all are used, but those of a
 * priority that has a healthy one first.
 *
 * @internal
 */
export const make = <M extends AnyMember>(
  members: Iterable<M>,
  prefer: Prefer | undefined,
  now: number
): Rotation<M> => {
  const all = Array.from(members)
  const out = all.filter(({ health }) => health.isOut(now))
  const isPanicking = out.length > all.length / 2
  const isUsed = (member: M) => isPanicking || !member.health.isOut(now)
  const groups = Array.from(byPriority(all).values(), (group) => ({
    group,
    used: group.filter(isUsed),
    isHealthy: group.some(({ health }) => !health.isOut(now))
  })).filter(({ used }) => used.length > 0).toSorted((a, b) => Number(b.isHealthy) - Number(a.isHealthy))
  return {
    isPanicking,
    out,
    used: new Set(groups.flatMap(({ used }) => used)),
    until: out.reduce((until, { health }) => Math.min(until, health.outUntil()), Infinity),
    levels: groups.flatMap(({ group, used }) => {
      const near = prefer === undefined ? undefined : nearest(prefer, group, used)
      return near === undefined || near.length === used.length
        ? [Level.make(used)]
        : [Level.make(near), Level.make(used)]
    })
  }
}

/** The groups of each priority, the lowest first. */
const byPriority = <M extends AnyMember>(all: ReadonlyArray<M>): ReadonlyMap<number, ReadonlyArray<M>> => {
  const groups = new Map<number, Array<M>>()
  for (const member of all.toSorted((a, b) => a.priority - b.priority)) {
    const group = groups.get(member.priority)
    if (group === undefined) {
      groups.set(member.priority, [member])
    } else {
      group.push(member)
    }
  }
  return groups
}

/** The endpoints of the zone, if enough of them are used. */
const nearest = <M extends AnyMember>(
  { spillBelow, zone }: Prefer,
  group: ReadonlyArray<M>,
  used: ReadonlyArray<M>
): ReadonlyArray<M> | undefined => {
  const near = used.filter(({ endpoint }) => endpoint.zone === zone)
  const there = group.filter(({ endpoint }) => endpoint.zone === zone).length
  return near.length > 0 && near.length >= spillBelow * there ? near : undefined
}

/**
 * Chooses an endpoint that was not tried, from the most preferred level that has one. `undefined` when all are left out.
 *
 * - `tried`: those that the call has tried, without those before all were tried: see {@link triedOf}.
 * - `isLeftOut`: those that are not to be chosen for other reasons.
 *
 * @internal
 */
export const pick = <M extends AnyMember>(
  { levels }: Rotation<M>,
  picker: Picker,
  now: number,
  tried: ReadonlySet<M>,
  leftOut: ReadonlySet<M>
): M | undefined => {
  const isLeftOut = tried.size === 0 && leftOut.size === 0
    ? never
    : (member: M) => tried.has(member) || leftOut.has(member)
  for (const level of levels) {
    const member = picker({ level, now, isLeftOut })
    if (member !== undefined) {
      return member
    }
  }
  return undefined
}

const never = () => false

/**
 * Returns the endpoints that a call has tried since it had last tried all that are used.
 *
 * @internal
 */
export const triedOf = <M extends AnyMember>(
  { used }: Rotation<M>,
  names: ReadonlyArray<string>,
  memberOf: (name: string) => M | undefined
): Set<M> => {
  const tried = new Set<M>()
  for (const name of names) {
    const member = memberOf(name)
    if (member !== undefined && used.has(member)) {
      tried.add(member)
      if (tried.size === used.size) {
        tried.clear()
      }
    }
  }
  return tried
}
