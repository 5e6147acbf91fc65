/**
 * Endpoints that are preferred alike, and draws among them by weight.
 *
 * @internal
 */
import type { LazyArg } from "effect/Function"
import type { AnyMember } from "./member.js"

/** @internal */
export interface Level<M extends AnyMember = AnyMember> {
  /** At least one. */
  readonly members: ReadonlyArray<M>
  /** Draws the index of a member, each by its weight, in a time that does not grow with their number. */
  readonly draw: (random: LazyArg<number>) => number
  /** The greatest weight. */
  readonly maxWeight: number
  /** The mean weight. */
  readonly meanWeight: number
  /** The one that is ramped up furthest: the others are ramped up in relation to it. */
  readonly eldest: M
}

/** @internal */
export const make = <M extends AnyMember>(members: ReadonlyArray<M>): Level<M> => {
  const weights = members.map(({ weight }) => weight)
  return {
    members,
    draw: weights.every((weight) => weight === weights[0])
      ? (random) => Math.floor(random() * members.length)
      : alias(weights),
    maxWeight: weights.reduce((max, weight) => Math.max(max, weight), 0),
    meanWeight: mean(weights),
    eldest: members.reduce((eldest, member) => member.health.rampFrom < eldest.health.rampFrom ? member : eldest)
  }
}

const mean = (weights: ReadonlyArray<number>): number =>
  weights.reduce((sum, weight) => sum + weight, 0) / weights.length

/**
 * Walker's alias method: each slot has a member of its own and, for what that has too little of to fill it, another one
 * which has too much.
 */
const alias = (weights: ReadonlyArray<number>): Level["draw"] => {
  const even = mean(weights)
  const filled = weights.map((weight) => weight / even)
  const other = weights.map((_, i) => i)
  const small: Array<number> = []
  const large: Array<number> = []
  filled.forEach((share, i) => (share < 1 ? small : large).push(i))
  while (small.length > 0 && large.length > 0) {
    const [poor, rich] = [small.pop()!, large.at(-1)!]
    other[poor] = rich
    filled[rich]! -= 1 - filled[poor]!
    if (filled[rich]! < 1) {
      small.push(large.pop()!)
    }
  }
  return (random) => {
    const slot = Math.floor(random() * weights.length)
    return random() < filled[slot]! ? slot : other[slot]!
  }
}
