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
