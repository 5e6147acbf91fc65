/**
 * The ambient facts that the attempts of a call see.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { CurrentAttempt, CurrentDeadline, IdempotencyKey } from "../../Deadline.js"
import { read } from "../ambient/context.js"
import * as Progress from "../ambient/progress.js"

/** @internal */
export interface Facts {
  /** What differs from the ambient context for every attempt, `undefined` when nothing does. */
  readonly common: Context.Context<never> | undefined
  readonly ambientAttempt: number
  /** Of the attempt that this call is part of. */
  readonly ambientCell: Progress.Cell | undefined
}

/**
 * A UUID of version 4. A key must differ between processes: Effect's `Random` is seeded with 32 bits, too few for that; and
 * `crypto.randomUUID` does not exist on pages without TLS.
 */
const uuid = (): string => {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  bytes[6] = bytes[6]! & 0x0f | 0x40
  bytes[8] = bytes[8]! & 0x3f | 0x80
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  return [0, 8, 12, 16, 20].map((start, i, starts) => hex.slice(start, starts[i + 1])).join("-")
}

const none: Option.Option<string> = Option.none()

const keyOf = (idempotencyKey: string | boolean): Option.Option<string> =>
  idempotencyKey === false ? Option.none() : Option.some(idempotencyKey === true ? uuid() : idempotencyKey)

/**
 * `deadline` is that of the call, where it differs from the ambient one.
 *
 * @internal
 */
export const make = (
  ambient: Context.Context<never>,
  deadline: number | undefined,
  idempotencyKey: string | boolean
): Facts => {
  let common: Context.Context<never> | undefined
  if (deadline !== undefined) {
    common = Context.add(common ?? Context.empty(), CurrentDeadline, deadline)
  }
  if (idempotencyKey !== false || read(ambient, IdempotencyKey, none)._tag === "Some") {
    common = Context.add(common ?? Context.empty(), IdempotencyKey, keyOf(idempotencyKey))
  }
  return {
    common,
    ambientAttempt: read(ambient, CurrentAttempt, 1),
    ambientCell: read(ambient, Progress.CurrentCell, undefined)
  }
}

/**
 * The facts of the attempts that come after the deadline has become known.
 *
 * @internal
 */
export const withDeadline = (facts: Facts, deadline: number): Facts => ({
  ...facts,
  common: Context.add(facts.common ?? Context.empty(), CurrentDeadline, deadline)
})

/**
 * Provides only what differs: providing a context costs more than all the rest of a call that succeeds at once.
 *
 * - `cell`: of an attempt that may be cut.
 *
 * @internal
 */
export const provide = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  facts: Facts,
  attempt: number,
  cell: Progress.Cell | undefined
): Effect.Effect<A, E, R> => {
  let differs = facts.common
  if (attempt !== facts.ambientAttempt) {
    differs = Context.add(differs ?? Context.empty(), CurrentAttempt, attempt)
  }
  if (cell !== undefined) {
    differs = Context.add(differs ?? Context.empty(), Progress.CurrentCell, cell)
  }
  return differs === undefined ? self : Effect.provide(self, differs)
}
