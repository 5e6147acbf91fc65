/**
 * A bound on how many attempts are in flight at a time.
 *
 * **Why.** A server that has become slow holds every attempt for longer, so more of them are in flight: memory, sockets
 * and threads on both sides, until something breaks that has nothing to do with that server. A bulkhead gives each
 * server its compartment: at most `concurrency` attempts are in flight, at most `queue` wait for their turn, all others
 * fail at once.
 *
 * **What it does.**
 *
 * - While a permit is free, an attempt takes it at no cost. Otherwise it waits: first in, first out.
 * - When the queue is full, the attempt is turned away at once: `CallRejected`, reason `BulkheadFull`. Nothing was
 *   sent.
 * - One whose remaining time until the deadline is shorter than the median of the latest 31 attempts took does not
 *   wait: it would not be answered in time. One whose deadline passes while it waits is turned away at that instant.
 * - One that is interrupted while it waits leaves no trace; a permit always comes back, however the attempt ends.
 * - With `adaptive` the limit follows what the server can take, between a floor and `concurrency`.
 *
 * **What it never does.** It interrupts no attempt, it reorders none, it does not limit a rate, and it shares nothing
 * with other processes. It holds no permit over a delay between two attempts, where it is inside of `withRpcRetry`.
 *
 * **Where.** As `bulkhead` of a policy, `withRpcRetry({ bulkhead })`, or of `RpcRetry.layer`, which makes one for each
 * destination: then each attempt takes a permit. {@link protect} puts one around any effect.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { dual, type LazyArg } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as internal from "./internal/gate/bulkhead.js"
import * as limit from "./internal/gate/limit.js"
import * as protecting from "./internal/gate/protect.js"
import * as Result from "./internal/result.js"
import { checkKnown, checkNumber, type InvalidOption, orThrow } from "./InvalidOption.js"
import type { CallRejected } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/Bulkhead"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * A bulkhead: made with {@link make}, used with {@link protect}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Bulkhead extends Pipeable {
  readonly [TypeId]: TypeId
  /** How many attempts may be in flight now: `concurrency`, or less where it is adaptive. */
  readonly limit: Effect.Effect<number>
  /** The least that {@link limit} can become: `concurrency` where it is not adaptive. */
  readonly floor: number
  /** The most that {@link limit} can become: `concurrency`. */
  readonly ceiling: number
  /** How many attempts are in flight now. It exceeds {@link limit} for a while after that was lowered. */
  readonly inFlight: Effect.Effect<number>
  /** How many attempts wait now. */
  readonly waiting: Effect.Effect<number>
  /** @internal */
  readonly gate: internal.Bulkhead
}

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isBulkhead = (u: unknown): u is Bulkhead => Predicate.hasProperty(u, TypeId)

/**
 * How a limit follows what the server can take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Adaptive {
  /** The least that the limit becomes: an integer from 1 to `concurrency`. Default 1. */
  readonly floor?: number | undefined
  /** The limit that it starts with: an integer from `floor` to `concurrency`. Default `concurrency`. */
  readonly start?: number | undefined
  /** What the limit is multiplied by when the server is overloaded: from 0.1 to 0.9. Default 0.7. */
  readonly decrease?: number | undefined
}

/**
 * What {@link make} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many attempts may be in flight at a time, at most: an integer of at least 1. */
  readonly concurrency: number
  /**
   * How many attempts may wait for their turn: an integer of at least 0, which turns away whatever finds no permit
   * free.
   */
  readonly queue: number
  /**
   * Lowers the limit when the server is overloaded, and raises it again, up to `concurrency`. Default `false`: the
   * limit is `concurrency`.
   *
   * - `Throttled`, `AttemptTimeout` and open circuit breakers multiply the limit by `decrease`, at most once in a round
   *   trip: an attempt that was admitted before the limit was lowered changes it no more.
   * - As many answers as the limit raise it by 1, if at least half of it was in use. An answer is a success, a `Fatal`
   *   or a domain error.
   * - Attempts that were interrupted, that the deadline of the call cut, or that could not reach the server change
   *   nothing.
   */
  readonly adaptive?: boolean | Adaptive | undefined
}

/**
 * A bulkhead, empty. Throws `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { Bulkhead, type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ concurrency: 20, queue: 100, adaptive: true })
 *   const user = (id: number) => getUser(id).pipe(Bulkhead.protect(bulkhead), withRpcRetry)
 *   return yield* Effect.forEach([1, 2, 3], user, { concurrency: "unbounded" })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Effect.Effect<Bulkhead> => {
  const valid = orThrow(validate("Bulkhead.make", options))
  return Effect.sync(() => fromValid(valid))
}

/** @internal */
export interface Valid {
  readonly queue: number
  readonly makeLimit: LazyArg<limit.Limit>
}

/**
 * The options, or what is wrong with them.
 *
 * @internal
 */
export const validate = (where: string, options: Options): Result.Result<Valid, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, ["concurrency", "queue", "adaptive"])
    const concurrency = yield* checkCount(where, "concurrency", options.concurrency, 1)
    const queue = yield* checkCount(where, "queue", options.queue, 0)
    return { queue, makeLimit: yield* checkLimit(where, concurrency, options.adaptive ?? false) }
  })

/**
 * Makes a bulkhead of options that are valid.
 *
 * @internal
 */
export const fromValid = ({ makeLimit, queue }: Valid): Bulkhead => fromGate(internal.make(makeLimit(), queue))

const checkCount = (where: string, field: string, input: number, min: number, max = Number.MAX_SAFE_INTEGER) =>
  checkNumber(where, field, input, { min, max, integer: true })

const checkLimit = (
  where: string,
  concurrency: number,
  adaptive: boolean | Adaptive
): Result.Result<() => limit.Limit, InvalidOption> =>
  Result.gen(function*() {
    if (adaptive === false) {
      return () => limit.fixed(concurrency)
    }
    const options = adaptive === true ? {} : adaptive
    yield* checkKnown(where, options, ["floor", "start", "decrease"], "adaptive.")
    const floor = yield* checkCount(where, "adaptive.floor", options.floor ?? 1, 1, concurrency)
    const start = yield* checkCount(where, "adaptive.start", options.start ?? concurrency, floor, concurrency)
    const decrease = yield* checkNumber(where, "adaptive.decrease", options.decrease ?? 0.7, { min: 0.1, max: 0.9 })
    return () => limit.adaptive({ floor, ceiling: concurrency, start, decrease })
  })

const fromGate = (gate: internal.Bulkhead): Bulkhead => {
  const { ceiling, floor } = gate.snapshot()
  return Object.assign(Object.create(Proto), {
    limit: Effect.sync(() => gate.snapshot().limit),
    floor,
    ceiling,
    inFlight: Effect.sync(() => gate.snapshot().inFlight),
    waiting: Effect.sync(() => gate.snapshot().waiting),
    gate
  })
}

/**
 * Runs an effect when the bulkhead has a permit for it, and gives the permit back when the effect ends. It waits at
 * most until the deadline in force (`Deadline.within`, the `deadline` of a policy), without one for as long as it
 * takes.
 *
 * Fails with `CallRejected`, reason `BulkheadFull`, without having run the effect, when the queue is full or the
 * deadline too close.
 *
 * Put it inside of `withRpcRetry`, so that each attempt takes a permit of its own and none is held over a delay.
 * `CallRejected` is not retried: it ends the call.
 *
 * @example
 * ```ts
 * import { Bulkhead, Deadline } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const report: Effect.Effect<string>
 *
 * const program = Effect.gen(function*() {
 *   const bulkhead = yield* Bulkhead.make({ concurrency: 2, queue: 10 })
 *   return yield* report.pipe(
 *     Bulkhead.protect(bulkhead),
 *     Deadline.within("5 seconds"),
 *     Effect.catchTag("CallRejected", () => Effect.succeed("busy, come back later"))
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const protect: {
  (bulkhead: Bulkhead): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CallRejected, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, bulkhead: Bulkhead): Effect.Effect<A, E | CallRejected, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, { gate }: Bulkhead): Effect.Effect<A, E | CallRejected, R> =>
    protecting.protect(self, gate)
)
