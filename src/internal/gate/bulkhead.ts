/**
 * A gate that bounds how many attempts are in flight, and how many wait for their turn.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Monotonic from "../ambient/monotonic.js"
import * as Result from "../result.js"
import type { Admission, Gate, Permit, Restore } from "./gate.js"
import { type Limit, signalOf } from "./limit.js"
import type { Outcome, Rejection } from "./outcome.js"
import { Permits, Waiter } from "./permits.js"

/**
 * What there is to see of a bulkhead at one instant.
 *
 * @internal
 */
export interface Snapshot {
  /** How many attempts may be in flight now. */
  readonly limit: number
  /** The least that `limit` can become. */
  readonly floor: number
  /** The most that `limit` can become. */
  readonly ceiling: number
  /** How many attempts are in flight. It exceeds `limit` for a while after that was lowered. */
  readonly inFlight: number
  /** How many attempts wait. */
  readonly waiting: number
  /** How many can wait. */
  readonly queue: number
}

/** @internal */
export interface Bulkhead extends Gate {
  readonly snapshot: () => Snapshot
}

const full: Result.Result<never, Rejection> = Result.fail({ reason: "BulkheadFull" })

/** How many of the latest attempts the median is of: odd, so that it is one of them. */
const remembered = 31

/**
 * The median time of the latest attempts in milliseconds: 0 before the first has ended. It is made only when it is
 * asked for.
 */
const makeMedian = () => {
  const times: Array<number> = []
  let at = 0
  let median: number | undefined = 0
  return {
    add: (millis: number) => {
      times[at] = millis
      at = (at + 1) % remembered
      median = undefined
    },
    get: () => median ??= times.toSorted((a, b) => a - b)[times.length >> 1]!
  }
}

/** The place of one attempt. */
class Place implements Permit {
  declare private readonly clock: Clock.Clock
  declare private readonly permits: Permits
  declare private readonly limit: Limit
  declare private readonly median: ReturnType<typeof makeMedian>
  declare private readonly startedAt: number
  declare private readonly startedWith: number
  declare private readonly epoch: number

  constructor(clock: Clock.Clock, permits: Permits, limit: Limit, median: ReturnType<typeof makeMedian>) {
    this.clock = clock
    this.permits = permits
    this.limit = limit
    this.median = median
    this.startedAt = Monotonic.now(clock)
    this.startedWith = permits.inFlight
    this.epoch = limit.epoch()
  }

  end(outcome: Outcome, exit: Exit.Exit<unknown, unknown>): void {
    const { limit, permits } = this
    // one that was interrupted says nothing, not even how long attempts take
    if (outcome !== "Ignored") {
      this.median.add(Monotonic.between(this.startedAt, Monotonic.now(this.clock)))
      limit.ended(signalOf(outcome, exit), this.epoch, Math.max(this.startedWith, permits.inFlight))
    }
    permits.resize(limit.current())
    permits.release()
  }
}

/**
 * - `limit`: how many may be in flight, which it may change.
 * - `queue`: how many may wait.
 *
 * @internal
 */
export const make = (limit: Limit, queue: number): Bulkhead => {
  const permits = new Permits(limit.current(), queue)
  const median = makeMedian()

  const admitted = (clock: Clock.Clock): Result.Result<Permit> =>
    Result.succeed(new Place(clock, permits, limit, median))

  /** Waits until it is granted a permit, for at most `remaining` milliseconds. */
  const wait = (waiter: Waiter, remaining: number, restore: Restore): Effect.Effect<void> => {
    const woken = Effect.async<void>((resume) => {
      waiter.wake = () => resume(Effect.void)
      if (waiter.state !== "Waiting") {
        waiter.wake()
      }
    })
    const turn = Effect.onInterrupt(restore(woken), () => Effect.sync(() => permits.leave(waiter)))
    return remaining === Infinity ? turn : Effect.flatMap(
      Effect.forkDaemon(
        Effect.interruptible(Effect.andThen(Effect.sleep(remaining), Effect.sync(() => permits.expire(waiter))))
      ),
      (timer) => Effect.ensuring(turn, Fiber.interrupt(timer))
    )
  }

  /** Takes the permit that was waited for, unless the deadline has passed: a process that is busy is late with both. */
  const granted = (clock: Clock.Clock, deadline: number): Admission => {
    if (Monotonic.now(clock) < deadline) {
      return admitted(clock)
    }
    permits.release()
    return full
  }

  const queued = (clock: Clock.Clock, deadline: number, restore: Restore) => {
    const remaining = deadline - Monotonic.now(clock)
    const waiter = new Waiter()
    return remaining <= 0 || remaining < median.get() || !permits.join(waiter)
      ? Effect.succeed(full)
      : Effect.map(wait(waiter, remaining, restore), () => waiter.state === "Granted" ? granted(clock, deadline) : full)
  }

  return {
    isFree: () => false,
    admit: (services, deadline, restore) => {
      const clock = Context.get(services, Clock.Clock)
      return permits.take() ? admitted(clock) : queued(clock, deadline, restore)
    },
    refuses: () => undefined,
    snapshot: () => ({
      limit: permits.limit,
      floor: limit.floor,
      ceiling: limit.ceiling,
      inFlight: permits.inFlight,
      waiting: permits.waiting,
      queue
    })
  }
}
