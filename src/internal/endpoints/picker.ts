/**
 * Ways to choose one of the endpoints that are preferred alike. The time that each takes does not grow with their
 * number, but where the list has to be searched: when all draws were left out, and for `pickFirst` past those that have
 * failed.
 *
 * @internal
 */
import type { LazyArg } from "effect/Function"
import type { Level } from "./level.js"
import type { AnyMember } from "./member.js"

/** The names of the ways. @internal */
export type Pick = "powerOfTwo" | "roundRobin" | "weighted" | "pickFirst"

/** What a choice depends on. @internal */
export interface Ask<M extends AnyMember> {
  readonly level: Level<M>
  /** The instant, in milliseconds of the monotonic clock. */
  readonly now: number
  /** Whether a member is not to be chosen. Only a few are left out. */
  readonly isLeftOut: (member: M) => boolean
}

/**
 * Chooses a member, `undefined` when all are left out.
 *
 * @internal
 */
export type Picker = <M extends AnyMember>(ask: Ask<M>) => M | undefined

/** A member that is ramped up, or left out, is drawn again so often. */
const draws = 8

/**
 * Returns the first of some draws that is neither left out nor, by the share that it is not ramped up, passed over. When
 * all are new, none is passed over for that. It is the last draw that was not left out when there is none, and else the next one in the list.
 */
const drawn = <M extends AnyMember>(
  { isLeftOut, level: { eldest, members }, now }: Ask<M>,
  next: LazyArg<number>,
  random: LazyArg<number>
): M | undefined => {
  let last: M | undefined
  let index = 0
  for (let i = 0; i < draws; i++) {
    index = next()
    const member = members[index]!
    if (!isLeftOut(member)) {
      const ramp = member.health.ramp(now)
      if (ramp === 1 || random() < ramp / eldest.health.ramp(now)) {
        return member
      }
      last = member
    }
  }
  if (last !== undefined) {
    return last
  }
  for (let i = 1; i <= members.length; i++) {
    const member = members[(index + i) % members.length]!
    if (!isLeftOut(member)) {
      return member
    }
  }
  return undefined
}

/**
 * Draws two by weight, never the same, and takes the one of the lower cost: (attempts in flight / weight + 1) x penalty,
 * where the weight is a multiple of the mean, so that all of 100 are as all of 1.
 * The one whose answers take more than twice as long costs that many times more: by its attempts in flight alone, one
 * that is ten times slower would have more than one in a hundred attempts, which then are the 99th percentile.
 *
 * Where penalties or times differ, a random number of mean 1 takes the place of the 1: of two that are idle, the one with the
 * penalty then has its small share of the attempts, and not none, so that its recovery is seen. Equal costs leave the
 * first draw as it is, which was by weight.
 */
const powerOfTwo = (random: LazyArg<number>): Picker => (ask) => {
  const { isLeftOut, level, now } = ask
  const next = () => level.draw(random)
  const first = drawn(ask, next, random)
  if (first === undefined || level.members.length === 1) {
    return first
  }
  const second = drawn({ ...ask, isLeftOut: (member) => member === first || isLeftOut(member) }, next, random)
  if (second === undefined) {
    return first
  }
  const one = first.health.penalty(now) * first.health.slowness(second.health, now)
  const other = second.health.penalty(now) * second.health.slowness(first.health, now)
  const load = (member: AnyMember) => member.inFlight * level.meanWeight / (member.weight * member.health.ramp(now))
  const idle = () => one === other ? 1 : -Math.log(1 - random())
  return (load(second) + idle()) * other < (load(first) + idle()) * one ? second : first
}

/** One after the other, in the order of the list. */
const roundRobin = (random: LazyArg<number>): Picker => {
  let turn = -1
  return (ask) =>
    drawn(ask, () => {
      turn = (turn + 1) % ask.level.members.length
      return turn
    }, random)
}

/**
 * One after the other, each as often as its weight says and evenly spread, as the static stride scheduler of gRPC does
 * it: in round `n` a member has its turn if its weight, a share of the greatest, has passed another whole number.
 */
const weighted = (random: LazyArg<number>): Picker => {
  let step = -1
  return (ask) => {
    const { maxWeight, members } = ask.level
    const next = () => {
      for (let i = 0; i < maxStride; i++) {
        step++
        const index = step % members.length
        const round = Math.floor(step / members.length)
        const share = members[index]!.weight / maxWeight
        // members of the same weight have their turns in different rounds
        const offset = index * golden % 1
        if (Math.floor((round + 1) * share + offset) > Math.floor(round * share + offset)) {
          return index
        }
      }
      return step % members.length
    }
    return drawn(ask, next, random)
  }
}

const golden = (Math.sqrt(5) - 1) / 2

/** So many turns are passed over at most: a member with a thousandth of the mean weight still has its own. */
const maxStride = 1_000

/** The first in the list without recent failures; where there is none, the one with the least penalty. */
const pickFirst = (): Picker => ({ isLeftOut, level, now }) => {
  let best: typeof level.members[number] | undefined
  let least = Infinity
  for (const member of level.members) {
    if (!isLeftOut(member)) {
      const penalty = member.health.penalty(now)
      if (penalty === 1) {
        return member
      }
      if (penalty < least) {
        best = member
        least = penalty
      }
    }
  }
  return best
}

/**
 * Makes a picker.
 *
 * - `random`: returns a number from 0 up to 1.
 *
 * @internal
 */
export const make = (pick: Pick, random: LazyArg<number>): Picker => {
  switch (pick) {
    case "powerOfTwo":
      return powerOfTwo(random)
    case "roundRobin":
      return roundRobin(random)
    case "weighted":
      return weighted(random)
    case "pickFirst":
      return pickFirst()
  }
}
