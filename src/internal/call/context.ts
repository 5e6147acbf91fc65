/**
 * The ambient context that the attempts of a call see.
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
export interface AttemptContext {
  /** What differs from the ambient context for every attempt, `undefined` when nothing does. */
  readonly common: Context.Context<never> | undefined
  readonly ambientAttempt: number
  /** Of the attempt that this call is part of. */
  readonly ambientProgress: Progress.AttemptProgress | undefined
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
): AttemptContext => {
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
    ambientProgress: read(ambient, Progress.CurrentAttemptProgress, undefined)
  }
}

/**
 * The context of the attempts that come after the deadline has become known.
 *
 * @internal
 */
export const withDeadline = (context: AttemptContext, deadline: number): AttemptContext => ({
  ...context,
  common: Context.add(context.common ?? Context.empty(), CurrentDeadline, deadline)
})

/**
 * Provides only what differs: providing a context costs more than all the rest of a call that succeeds at once.
 *
 * - `progress`: of an attempt that may be cut.
 *
 * @internal
 */
export const provide = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  context: AttemptContext,
  attempt: number,
  progress: Progress.AttemptProgress | undefined
): Effect.Effect<A, E, R> => {
  let differs = context.common
  if (attempt !== context.ambientAttempt) {
    differs = Context.add(differs ?? Context.empty(), CurrentAttempt, attempt)
  }
  if (progress !== undefined) {
    differs = Context.add(differs ?? Context.empty(), Progress.CurrentAttemptProgress, progress)
  }
  return differs === undefined ? self : Effect.provide(self, differs)
}
