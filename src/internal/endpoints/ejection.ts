/**
 * Which endpoints are ejected: those that fail several times in a row, and those that fail more often than the others.
 *
 * @internal
 */
import type { AnyMember } from "./member.js"

/** Durations are in milliseconds. @internal */
export interface EjectionSettings {
  /** The failures in a row that eject an endpoint. */
  readonly consecutive: number
  /** How success rates are compared; `undefined` when they are not. */
  readonly successRate: {
    readonly every: number
    readonly minimumEndpoints: number
    readonly minimumCalls: number
    readonly deviations: number
  } | undefined
  /** How long the first ejection lasts. */
  readonly ejectFor: number
  /** How long an ejection lasts at most. */
  readonly maxEjectFor: number
}

/** Why an endpoint is out. @internal */
export type OutReason = "ConsecutiveFailures" | "SuccessRate" | "CircuitOpen"

/** Of fewer endpoints none is ejected: of two that differ nothing says which one is the exception. */
const fewest = 3

/**
 * Returns whether of so many endpoints one may be ejected.
 *
 * @internal
 */
export const isPossible = (endpoints: number): boolean => endpoints >= fewest

/** A success rate that is this much below the mean is no exception yet, however alike the others are. */
const margin = 0.05

/**
 * Returns whether one more failure ejects the endpoint.
 *
 * @internal
 */
export const ejects = ({ consecutive }: EjectionSettings, member: AnyMember, endpoints: number): boolean =>
  isPossible(endpoints) && member.health.failuresInARow >= consecutive

/**
 * Returns the endpoints whose success rate is far below the mean, by the attempts since the last time, and starts to
 * count anew.
 *
 * @internal
 */
export const outliers = <M extends AnyMember>(
  { successRate }: EjectionSettings,
  members: ReadonlyArray<M>
): ReadonlyArray<M> => {
  if (successRate === undefined) {
    return []
  }
  const { deviations, minimumCalls, minimumEndpoints } = successRate
  const rates = members.flatMap((member) => {
    const { calls, failures } = member.health
    return calls < minimumCalls ? [] : [{ member, rate: 1 - failures / calls }]
  })
  for (const { health } of members) {
    health.calls = health.failures = 0
  }
  if (rates.length < Math.max(fewest, minimumEndpoints)) {
    return []
  }
  const mean = rates.reduce((sum, { rate }) => sum + rate, 0) / rates.length
  const deviation = Math.sqrt(rates.reduce((sum, { rate }) => sum + (rate - mean) ** 2, 0) / rates.length)
  const limit = mean - Math.max(margin, deviations * deviation)
  return rates.flatMap(({ member, rate }) => rate < limit ? [member] : [])
}
