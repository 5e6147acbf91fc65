/**
 * Runs an effect to its end on a clock and a scheduler of its own, in one loop: time goes on to the next timer whenever
 * nothing else can run. Tens of thousands of calls take a moment, where a `TestClock` waits in real time at each step.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scheduler from "effect/Scheduler"

interface Timer {
  readonly at: number
  readonly order: number
  readonly fire: () => void
  isCancelled: boolean
}

const isBefore = (a: Timer, b: Timer) => a.at < b.at || (a.at === b.at && a.order < b.order)

const makeTimers = () => {
  const timers: Array<Timer> = []
  return {
    add: (timer: Timer) => {
      let [low, high] = [0, timers.length]
      while (low < high) {
        const middle = (low + high) >> 1
        // the next one is last
        if (isBefore(timer, timers[middle]!)) {
          low = middle + 1
        } else {
          high = middle
        }
      }
      timers.splice(low, 0, timer)
    },
    next: (): Timer | undefined => {
      let timer = timers.pop()
      while (timer?.isCancelled === true) {
        timer = timers.pop()
      }
      return timer
    }
  }
}

/** So many steps are made before the event loop has a turn: a test worker has to answer now and then. */
const stepsPerTurn = 5_000

/** Runs to the end. Rejects when the effect waits for something that is no timer. */
export const run = async <A, E>(self: Effect.Effect<A, E>): Promise<Exit.Exit<A, E>> => {
  const tasks: Array<() => void> = []
  const timers = makeTimers()
  let now = 1_764_153_755_123
  let order = 0
  const scheduler: Scheduler.Scheduler = {
    scheduleTask: (task) => {
      tasks.push(task)
    },
    shouldYield: () => false
  }
  const real = Clock.make()
  const clock: Clock.Clock = Object.assign(Object.create(real) as Clock.Clock, {
    unsafeCurrentTimeMillis: () => Math.floor(now),
    currentTimeMillis: Effect.sync(() => Math.floor(now)),
    unsafeCurrentTimeNanos: () => BigInt(Math.round(now * 1e6)),
    currentTimeNanos: Effect.sync(() => BigInt(Math.round(now * 1e6))),
    sleep: (duration: Parameters<Clock.Clock["sleep"]>[0]) =>
      Effect.async<void>((resume) => {
        const timer: Timer = {
          at: now + Duration.toMillis(duration),
          order: order++,
          fire: () => resume(Effect.void),
          isCancelled: false
        }
        timers.add(timer)
        return Effect.sync(() => {
          timer.isCancelled = true
        })
      })
  })
  const fiber = Effect.runFork(Effect.withClock(self, clock), { scheduler })
  for (let step = 1;; step++) {
    if (step % stepsPerTurn === 0) {
      // oxlint-disable-next-line no-await-in-loop -- it is to wait
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let i = 0; i < tasks.length; i++) {
      tasks[i]!()
    }
    tasks.length = 0
    const exit = fiber.unsafePoll()
    if (exit !== null) {
      return exit
    }
    const timer = timers.next()
    if (timer === undefined) {
      throw new Error("waits for what never comes")
    }
    now = timer.at
    timer.fire()
  }
}
