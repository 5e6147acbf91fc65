/**
 * The context values that each attempt of a call is provided with: deadline, idempotency key, attempt number, progress.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Option from "effect/Option"
import { CurrentAttempt, CurrentDeadline, IdempotencyKey } from "../../Deadline.js"
import { copy, read } from "../ambient/context.js"
import * as Progress from "../ambient/progress.js"
import { LegEndpoints, noneTried, TriedEndpoints } from "../ambient/tried.js"
import * as Gate from "../gate/gate.js"

/**
 * How the context of the attempts differs from that of the caller.
 *
 * @internal
 */
export interface AttemptContext {
  /** The deadline that attempts see; `undefined` for that of the caller. */
  readonly deadline: number | undefined
  /** The idempotency key that attempts see; `undefined` for that of the caller. */
  readonly key: Option.Option<string> | undefined
  /** The endpoints that attempts avoid; `undefined` for those of the caller. */
  readonly tried: ReadonlyArray<string> | undefined
  /** The endpoints that the legs of the call have chosen, which they share; `undefined` for a call without legs. */
  readonly legs: Array<string> | undefined
  /** The attempt number that the caller sees: that of an outer call, or 1. */
  readonly ambientAttempt: number
  /** The progress of the outer attempt that this call is part of; `undefined` without one. */
  readonly ambientProgress: Progress.AttemptProgress | undefined
}

/**
 * Generates a UUID of version 4. It uses `crypto` since keys must differ between processes and Effect's `Random` is
 * seeded with only 32 bits; and not `crypto.randomUUID`, which browsers do not offer on pages without TLS.
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
 * Makes the context of a call.
 *
 * - `deadline`: the deadline of the call, `undefined` when it is the ambient one.
 *
 * @internal
 */
export const make = (
  ambient: Context.Context<never>,
  deadline: number | undefined,
  idempotencyKey: string | boolean
): AttemptContext => new Made(ambient, deadline, idempotencyKey)

class Made implements AttemptContext {
  declare readonly deadline: number | undefined
  declare readonly key: Option.Option<string> | undefined
  declare readonly tried: ReadonlyArray<string> | undefined
  declare readonly legs: Array<string> | undefined
  declare readonly ambientAttempt: number
  declare readonly ambientProgress: Progress.AttemptProgress | undefined

  constructor(ambient: Context.Context<never>, deadline: number | undefined, idempotencyKey: string | boolean) {
    this.deadline = deadline
    this.key = idempotencyKey !== false || read(ambient, IdempotencyKey, none)._tag === "Some"
      ? keyOf(idempotencyKey)
      : undefined
    this.tried = undefined
    this.legs = undefined
    this.ambientAttempt = read(ambient, CurrentAttempt, 1)
    this.ambientProgress = read(ambient, Progress.CurrentAttemptProgress, undefined)
  }
}

/**
 * Returns whether a first attempt without bounds and without a key sees the context of the caller as it is.
 *
 * - `isTold`: whether an attempt around it is told of the call.
 *
 * @internal
 */
export const isPlainIn = (ambient: Context.Context<never>, isTold: boolean): boolean =>
  read(ambient, CurrentAttempt, 1) === 1 && read(ambient, IdempotencyKey, none)._tag === "None" &&
  (!isTold || read(ambient, Progress.CurrentAttemptProgress, undefined) === undefined)

/**
 * Changes the deadline that later attempts see.
 *
 * @internal
 */
export const withDeadline = (context: AttemptContext, deadline: number): AttemptContext => ({ ...context, deadline })

/**
 * Adds an endpoint to those that later attempts avoid.
 *
 * - `ambient`: the context of the caller: the call may be made in an attempt of another one.
 *
 * @internal
 */
export const withTried = (
  context: AttemptContext,
  endpoint: string,
  ambient: Context.Context<never>
): AttemptContext => ({
  ...context,
  tried: [...(context.tried ?? read(ambient, TriedEndpoints, noneTried)).slice(-maxTried), endpoint]
})

/**
 * Makes the attempts of a call know of each other's endpoints, from its first race on.
 *
 * @internal
 */
export const withLegs = (context: AttemptContext): AttemptContext =>
  context.legs === undefined ? { ...context, legs: [] } : context

/** A call that is retried for ever remembers the last ones. */
const maxTried = 99

/**
 * Returns whether an attempt without a timeout, and without a place in a gate, sees the context of the caller as it is.
 * Most first attempts do.
 *
 * @internal
 */
export const isAmbient = ({ ambientAttempt, deadline, key, tried }: AttemptContext, attempt: number): boolean =>
  deadline === undefined && key === undefined && tried === undefined && attempt === ambientAttempt

/**
 * Returns the context of an attempt, given that of the caller.
 *
 * - `held`: the gates that keep a place for the attempt.
 * - `progress`: the progress of an attempt that has a timeout or a deadline, `undefined` for others.
 *
 * @internal
 */
export const contextOf = (
  { ambientAttempt, deadline, key, legs, tried }: AttemptContext,
  ambient: Context.Context<never>,
  attempt: number,
  held: ReadonlyArray<Gate.Gate>,
  progress: Progress.AttemptProgress | undefined
): Context.Context<never> => {
  const context = copy(ambient)
  if (held.length > 0) {
    Gate.setHeld(context, ambient, held)
  }
  if (deadline !== undefined) {
    context.set(CurrentDeadline, deadline)
  }
  if (key !== undefined) {
    context.set(IdempotencyKey, key)
  }
  if (tried !== undefined) {
    context.set(TriedEndpoints, tried)
  }
  if (legs !== undefined) {
    context.set(LegEndpoints, legs)
  }
  if (attempt !== ambientAttempt) {
    context.set(CurrentAttempt, attempt)
  }
  if (progress !== undefined) {
    context.set(Progress.CurrentAttemptProgress, progress)
  }
  return context.done
}
