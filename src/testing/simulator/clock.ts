/**
 * Virtual time: a clock and a scheduler that run fibers in one loop, in an order that is always the same. Time goes on
 * to the next timer when nothing else can run.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as FiberId from "effect/FiberId"
import type * as Random from "effect/Random"
import type * as Scheduler from "effect/Scheduler"
import * as Runtime from "../../internal/effect/runtime.js"

/**
 * Something that happens at an instant of virtual time.
 *
 * @internal
 */
export interface Timer {
  /** The instant, in milliseconds. */
  readonly at: number
  /** The place among the timers of the same instant: the one that was set first fires first. */
  readonly order: number
  /** What happens; `undefined` when nothing is to happen any more. */
  fire: (() => void) | undefined
}

/**
 * Takes a timer back. It lets go of what it would have done: most timeouts are cancelled long before their time.
 *
 * @internal
 */
export const cancel = (timer: Timer): void => {
  timer.fire = undefined
}

const isBefore = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)

/** Timers as a binary heap, the next one on top. */
class Timers {
  private readonly heap: Array<Timer> = []

  push(timer: Timer): void {
    const { heap } = this
    let place = heap.length
    heap.push(timer)
    while (place > 0) {
      const parent = (place - 1) >> 1
      if (!isBefore(timer, heap[parent]!)) {
        break
      }
      heap[place] = heap[parent]!
      place = parent
    }
    heap[place] = timer
  }

  /** The next timer that is not cancelled; it stays. */
  peek(): Timer | undefined {
    while (this.heap.length > 0 && this.heap[0]!.fire === undefined) {
      this.pop()
    }
    return this.heap[0]
  }

  /** Removes the timer on top. */
  pop(): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) {
      return
    }
    let place = 0
    for (let child = 1; child < heap.length; child = 2 * place + 1) {
      const right = heap[child + 1]
      if (right !== undefined && isBefore(right, heap[child]!)) {
        child++
      }
      if (!isBefore(heap[child]!, last)) {
        break
      }
      heap[place] = heap[child]!
      place = child
    }
    heap[place] = last
  }
}

/** The wall clock at the start, in milliseconds since 1970: midnight of 1 January 2026. */
const epoch = 1_767_225_600_000

/** The monotonic clock does not start at 0, as that of a process does not. */
const uptime = 1_000_000

/** How many operations of Effect a fiber does before others have their turn: about what an attempt takes. */
const mostOperations = 200

/** How many times fibers go on at one instant: many more than all attempts of a call. */
const mostRounds = 10_000

/** How many timers fire before a run looks at the real clock again. */
const timersPerLook = 64

/**
 * The clock and the scheduler of one run.
 *
 * @internal
 */
export class VirtualTime implements Clock.Clock, Scheduler.Scheduler {
  readonly [Clock.ClockTypeId]: Clock.ClockTypeId = Clock.ClockTypeId
  /** Milliseconds since the start. */
  now = 0
  private nanosAt = -1
  private nanos = 0n
  private order = 0
  private tasks: Array<() => void> = []
  /** How many operations of Effect fibers did since one of them was last resumed. */
  private operations = 0
  private readonly timers = new Timers()

  /** Sets a timer, for now where `at` has passed. */
  at(at: number, fire: () => void): Timer {
    const timer: Timer = { at: Math.max(at, this.now), order: this.order++, fire }
    this.timers.push(timer)
    return timer
  }

  unsafeCurrentTimeMillis(): number {
    return Math.floor(epoch + this.now)
  }

  unsafeCurrentTimeNanos(): bigint {
    // read several times for each attempt, mostly at the same instant
    if (this.nanosAt !== this.now) {
      this.nanosAt = this.now
      this.nanos = BigInt(Math.round((uptime + this.now) * 1e6))
    }
    return this.nanos
  }

  readonly currentTimeMillis = Effect.sync(() => this.unsafeCurrentTimeMillis())

  readonly currentTimeNanos = Effect.sync(() => this.unsafeCurrentTimeNanos())

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Effect.async((resume) => {
      const timer = this.at(this.now + Duration.toMillis(duration), () => resume(Effect.void))
      return Effect.sync(() => cancel(timer))
    })
  }

  scheduler(): Effect.Effect<Clock.ClockScheduler> {
    return Effect.succeed({
      unsafeSchedule: (task, duration) => {
        const timer = this.at(this.now + Duration.toMillis(duration), task)
        return () => {
          cancel(timer)
          return true
        }
      }
    })
  }

  scheduleTask(task: () => void): void {
    this.tasks.push(task)
  }

  /** A fiber runs until it waits: time stands still meanwhile. One that does not wait is made to, so that it is seen. */
  shouldYield(): 0 | false {
    if (++this.operations <= mostOperations) {
      return false
    }
    this.operations = 0
    return 0
  }

  /** Runs all fibers that can run now. Throws when there is no end to that. */
  drain(): void {
    for (let rounds = 1; this.tasks.length > 0; rounds++) {
      if (rounds > mostRounds) {
        this.tasks = []
        throw new Error("Simulator: something is done again and again without a wait, such as retries without a delay")
      }
      const { tasks } = this
      this.tasks = []
      tasks.forEach((task) => {
        this.operations = 0
        task()
      })
    }
  }

  /** Goes on to the next timer. Returns `false`, and goes on to `until`, when there is none before it. */
  private step(until: number): boolean {
    this.drain()
    const timer = this.timers.peek()
    if (timer === undefined || timer.at > until) {
      this.now = Number.isFinite(until) ? until : this.now
      return false
    }
    this.timers.pop()
    this.now = timer.at
    const fire = timer.fire!
    cancel(timer)
    fire()
    this.drain()
    return true
  }

  /**
   * Runs for some milliseconds of real time, or until `until` or until `isDone`. Returns whether it has come to an end.
   */
  private slice(until: number, isDone: () => boolean): boolean {
    const stop = real.unsafeCurrentTimeMillis() + realMillisPerSlice
    do {
      for (let i = 0; i < timersPerLook; i++) {
        if (isDone() || !this.step(until)) {
          return true
        }
      }
    } while (real.unsafeCurrentTimeMillis() < stop)
    return false
  }

  /**
   * Runs until `until`, until nothing is left to happen, or until `isDone`. Between slices of some milliseconds it lets
   * other fibers and the event loop have a turn, so that it can be interrupted; what it comes to does not depend on it.
   *
   * - `between`: runs between two slices.
   */
  run(until: number, isDone: () => boolean, between: Effect.Effect<void>): Effect.Effect<void> {
    const turn: Effect.Effect<void> = Effect.suspend(() =>
      this.slice(until, isDone) ? Effect.void : Effect.andThen(Effect.andThen(between, anyTurn), turn)
    )
    return turn
  }

  /** Returns a function that starts fibers on this clock and scheduler. */
  runner(random: Random.Random): <A, E>(self: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E> {
    const runner = Runtime.current.pipe(Effect.withRandom(random), Effect.withClock(this))
    return Runtime.fork(Effect.runSync(Effect.withScheduler(runner, this)))
  }
}

/** The real clock, also under a `TestClock`. */
const real = Clock.make()

const realMillisPerSlice = 20

/** A turn for timers and messages of the event loop. */
const anyTurn = Effect.withClock(Effect.sleep(0), real)

/**
 * Interrupts fibers, and runs their finalizers as far as these do not wait.
 *
 * @internal
 */
export const interruptAll = (
  time: VirtualTime,
  fibers: Iterable<Fiber.RuntimeFiber<unknown, unknown>>,
  by: FiberId.FiberId
): void => {
  Array.from(fibers).forEach((fiber) => fiber.unsafeInterruptAsFork(by))
  time.drain()
}
