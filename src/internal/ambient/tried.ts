/**
 * The endpoints at which earlier attempts of the current call have failed.
 *
 * @internal
 */
import * as Context from "effect/Context"

/** No endpoint was tried. @internal */
export const noneTried: ReadonlyArray<string> = []

/**
 * The addresses of the endpoints that the current call has tried, in order: an address for each failed attempt, so that
 * one may be there several times. A call within an attempt of another call has those of that one too. Default: none.
 *
 * @internal
 */
export class TriedEndpoints extends Context.Reference<TriedEndpoints>()("effect-rpc-retry/Endpoints/Tried", {
  defaultValue: (): ReadonlyArray<string> => noneTried
}) {}

/**
 * The addresses of the endpoints that the legs of the current hedged call are or were made at, in order. Each leg adds
 * its own when it is chosen, so that the next one goes elsewhere. `undefined` for a call without a hedge.
 *
 * @internal
 */
export class LegEndpoints extends Context.Reference<LegEndpoints>()("effect-rpc-retry/Endpoints/Legs", {
  defaultValue: (): Array<string> | undefined => undefined
}) {}

/** A leg that makes many calls itself remembers the last ones. */
const maxChosen = 100

/**
 * Adds an endpoint to those of the legs.
 *
 * @internal
 */
export const chosen = (legs: Array<string>, address: string): void => {
  if (legs.push(address) > maxChosen) {
    legs.shift()
  }
}
