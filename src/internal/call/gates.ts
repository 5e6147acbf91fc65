/**
 * What the attempts of a call must pass, and what starts its legs.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import { CurrentAttempt, InheritedAttempt } from "../../Deadline.js"
import { read } from "../ambient/context.js"
import { type Gate, HeldGates } from "../gate/gate.js"
import type { Core as Hedge } from "../hedge/core.js"
import * as RetryPolicy from "../policy/policy.js"

const noGates: ReadonlyArray<Gate> = []

type Protection = { readonly gate: Gate } | "off" | undefined

const gatesOf = (first: Protection, second: Protection): ReadonlyArray<Gate> =>
  first === undefined || first === "off"
    ? second === undefined || second === "off" ? noGates : [second.gate]
    : second === undefined || second === "off"
    ? [first.gate]
    : [first.gate, second.gate]

/** Leaves out what an attempt around this call holds a permit of. */
const notHeld = (gates: ReadonlyArray<Gate>, ambient: Context.Context<never>): ReadonlyArray<Gate> => {
  const held = gates.length === 0 ? noGates : read(ambient, HeldGates, noGates)
  return held.length === 0 ? gates : gates.filter((gate) => !held.includes(gate))
}

/**
 * Returns what an attempt, or a race of several, must pass, the outermost first.
 *
 * - `given`: the gates that the call is given, `undefined` for those of its policy.
 *
 * @internal
 */
export const ofRound = (
  given: ReadonlyArray<Gate> | undefined,
  { breaker, bulkhead }: RetryPolicy.Complete,
  hedge: Hedge | undefined,
  ambient: Context.Context<never>
): ReadonlyArray<Gate> => notHeld(given ?? gatesOf(breaker, hedge === undefined ? bulkhead : undefined), ambient)

/**
 * Returns what each leg of a race must pass, the outermost first.
 *
 * - `given`: as of {@link ofRound}.
 *
 * @internal
 */
export const ofLeg = (
  given: ReadonlyArray<Gate> | undefined,
  { bulkhead }: RetryPolicy.Complete,
  hedge: Hedge | undefined,
  ambient: Context.Context<never>
): ReadonlyArray<Gate> =>
  hedge === undefined || given !== undefined ? noGates : notHeld(gatesOf(undefined, bulkhead), ambient)

/**
 * Returns what starts the legs of a call; `undefined` for one that must not run twice, or is a retry itself: hedges of
 * retries would multiply.
 *
 * @internal
 */
export const hedgeOf = (policy: RetryPolicy.Complete, ambient: Context.Context<never>): Hedge | undefined =>
  policy.hedge === undefined || read(ambient, CurrentAttempt, 1) > 1 || read(ambient, InheritedAttempt, 1) !== 1
    ? undefined
    : RetryPolicy.hedgeOf(policy)?.core
