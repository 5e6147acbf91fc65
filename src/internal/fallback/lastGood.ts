/**
 * Remembers the last success of a call for each key, and gives it out while the call fails.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import {
  type CallRejected,
  isCallRejected,
  isRetryable,
  isRetryExhausted,
  type RetryExhausted
} from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as Causes from "../effect/cause.js"
import { FallbackFailed } from "./failed.js"
import { tell } from "./telemetry.js"

/**
 * An answer of the server, made for this call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fresh<out A> {
  /** Tells it from a {@link Stale}. */
  readonly _tag: "Fresh"
  /** What the call succeeded with. */
  readonly value: A
}

/**
 * An answer that an earlier call was given: this one failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Stale<out A> {
  /** Tells it from a {@link Fresh}. */
  readonly _tag: "Stale"
  /** What the earlier call succeeded with. */
  readonly value: A
  /** The time since it succeeded, on the monotonic clock; at most `maxAge`. */
  readonly age: Duration.Duration
  /** How this call failed. */
  readonly error: RetryExhausted | CallRejected
}

/**
 * What a call with {@link lastGood} succeeds with. Its `_tag` says whether the server gave the answer now.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer<A> = Fresh<A> | Stale<A>

/** A success, and the instant it arrived, in monotonic milliseconds. */
interface Entry<A> {
  readonly value: A
  readonly at: number
}

/**
 * The entries in the order they were used, the one that was not used for longest first.
 *
 * Not Effect's `Cache`: in 3.22 what is put in by `set` is never dropped for its capacity, each lookup of a key that is
 * not there is kept for ever, and what is dropped is the oldest, not the least used.
 */
class Entries<A> {
  private readonly byKey = new Map<unknown, Entry<A>>()

  constructor(private readonly capacity: number) {}

  get(key: unknown): Entry<A> | undefined {
    return this.byKey.get(key)
  }

  /** Puts an entry at the end, also one that is there. */
  use(key: unknown, entry: Entry<A>): void {
    this.byKey.delete(key)
    this.byKey.set(key, entry)
    if (this.byKey.size > this.capacity) {
      this.byKey.delete(this.byKey.keys().next().value)
    }
  }

  remove(key: unknown): void {
    this.byKey.delete(key)
  }
}

/** The calls of one key that are in flight. */
interface InFlight {
  readonly key: unknown
  calls: number
  /** The newest of them that was answered, by the order in which they started; 0 while none was. */
  answered: number
}

/** One of the calls in flight. */
interface Started {
  readonly all: InFlight
  /** Its place in the order in which calls start, from 1. */
  readonly place: number
}

/**
 * Tells apart the answers of calls that run at the same time: the answer of a call that started before another one says
 * less of now than that of the other one, whichever arrives last.
 */
class Order {
  private readonly byKey = new Map<unknown, InFlight>()
  private started = 0

  start(key: unknown): Started {
    const all = this.byKey.get(key) ?? { key, calls: 0, answered: 0 }
    this.byKey.set(key, all)
    all.calls++
    return { all, place: ++this.started }
  }

  end({ all }: Started): void {
    if (--all.calls === 0) {
      this.byKey.delete(all.key)
    }
  }

  /** Records an answer. Returns whether no call that started later was answered before. */
  answer({ all, place }: Started): boolean {
    const isNewest = place > all.answered
    all.answered = Math.max(all.answered, place)
    return isNewest
  }
}

const isNoAnswer = (error: unknown): error is RetryExhausted | CallRejected =>
  isRetryExhausted(error) || isCallRejected(error)

/** Whether the server has answered with the error, so that what it had answered before holds no more. */
const isAnswer = (error: unknown): boolean =>
  !isNoAnswer(error) && !isRetryable(error) && !Causes.isTimeout(error) && !(error instanceof FallbackFailed)

/** @internal */
export const make = <Args extends ReadonlyArray<unknown>, A, E, R>(
  call: (...args: Args) => Effect.Effect<A, E, R>,
  options: {
    readonly key: (...args: Args) => unknown
    /** In milliseconds. */
    readonly maxAge: number
    readonly capacity: number
  }
): (...args: Args) => Effect.Effect<Answer<A>, E, R> => {
  const entries = new Entries<A>(options.capacity)
  const order = new Order()

  const remember = (started: Started, value: A): Effect.Effect<Answer<A>> =>
    Effect.map(Effect.clock, (clock) => {
      if (order.answer(started)) {
        entries.use(started.all.key, { value, at: Monotonic.now(clock) })
      }
      return { _tag: "Fresh", value }
    })

  const afterFailure = (started: Started, cause: Cause.Cause<E>): Effect.Effect<Answer<A>, E> => {
    const { key } = started.all
    const failures: ReadonlyArray<unknown> = Causes.failures(cause)
    if (failures.some(isAnswer) && order.answer(started)) {
      entries.remove(key)
    }
    const [error] = failures
    return isNoAnswer(error) && failures.every(isNoAnswer) && !Causes.hasDefect(cause)
      ? recall(key, error, cause)
      : Effect.failCause(cause)
  }

  const recall = (
    key: unknown,
    error: RetryExhausted | CallRejected,
    cause: Cause.Cause<E>
  ): Effect.Effect<Answer<A>, E> =>
    Effect.flatMap(Effect.clock, (clock): Effect.Effect<Answer<A>, E> => {
      const entry = entries.get(key)
      if (entry === undefined) {
        return Effect.failCause(cause)
      }
      const millis = Monotonic.between(entry.at, Monotonic.now(clock))
      if (millis > options.maxAge) {
        entries.remove(key)
        return Effect.failCause(cause)
      }
      entries.use(key, entry)
      const age = Duration.millis(millis)
      return Effect.as(
        tell({ kind: "last_good", error, outcome: "success", age }),
        { _tag: "Stale", value: entry.value, age, error }
      )
    })

  return (...args) =>
    Effect.acquireUseRelease(
      Effect.sync(() => order.start(options.key(...args))),
      (started) =>
        Effect.matchCauseEffect(Effect.suspend(() => call(...args)), {
          onSuccess: (value) => remember(started, value),
          onFailure: (cause) => afterFailure(started, cause)
        }),
      (started) => Effect.sync(() => order.end(started))
    )
}
