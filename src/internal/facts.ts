/**
 * The ambient facts that the attempts of a call see.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CurrentAttempt, CurrentDeadline, IdempotencyKey } from "../Deadline.js"

/** @internal */
export interface Facts {
  /** What differs from the ambient context for every attempt, `undefined` when nothing does. */
  readonly common: Context.Context<never> | undefined
  readonly ambientAttempt: number
}

const keyOf = (idempotencyKey: string | boolean): Option.Option<string> =>
  idempotencyKey === false
    ? Option.none()
    // A key must differ between processes. Effect's Random is seeded with 32 bits, too few for that.
    : Option.some(idempotencyKey === true ? crypto.randomUUID() : idempotencyKey)

/** @internal */
export const make = (
  ambient: Context.Context<never>,
  deadline: number,
  idempotencyKey: string | boolean
): Facts => {
  let common: Context.Context<never> | undefined
  if (Context.get(ambient, CurrentDeadline) !== deadline) {
    common = Context.add(common ?? Context.empty(), CurrentDeadline, deadline)
  }
  if (idempotencyKey !== false || Option.isSome(Context.get(ambient, IdempotencyKey))) {
    common = Context.add(common ?? Context.empty(), IdempotencyKey, keyOf(idempotencyKey))
  }
  return { common, ambientAttempt: Context.get(ambient, CurrentAttempt) }
}

/**
 * Provides only what differs: providing a context costs more than all the rest of a call that succeeds at once.
 *
 * @internal
 */
export const provide = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  facts: Facts,
  attempt: number
): Effect.Effect<A, E, R> => {
  if (attempt !== facts.ambientAttempt) {
    return Effect.provide(self, Context.add(facts.common ?? Context.empty(), CurrentAttempt, attempt))
  }
  return facts.common === undefined ? self : Effect.provide(self, facts.common)
}
