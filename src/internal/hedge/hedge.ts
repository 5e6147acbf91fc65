/**
 * The race between the legs of one call. It decides when a leg starts and which one ends the call; whether there may be
 * another leg, and what the legs are, is up to its caller.
 *
 * It is not `Effect.race`, which waits for the losers and starts all at once.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Monotonic from "../ambient/monotonic.js"
import { restriction, type Verdict, verdictOf } from "./verdict.js"

/**
 * What a race asks, and what it reports. Durations are in milliseconds.
 *
 * @internal
 */
export interface Plan {
  /** The time without an answer after which another leg starts; `undefined` when none starts for being late. */
  readonly after: number | undefined
  /** The number of legs at most, the first one included. */
  readonly max: number
  /** Asked right before each leg but the first. Pays for it when the result is `true`; otherwise it does not start. */
  readonly admit: () => boolean
  /** Called for each leg but the first that was turned away before anything was sent. */
  readonly turnedAway: () => void
  /** Called when a leg has ended: how long it took, and whether the server answered it. `false` for losers. */
  readonly legEnded: (now: number, millis: number, isAnswered: boolean) => void
  /** Called when the race is over: the number of the leg that ended it. The first leg is 0. */
  readonly won: (leg: number) => void
}

interface Leg<A, E> {
  readonly number: number
  readonly startedAt: number
  readonly fiber: Fiber.RuntimeFiber<A, E>
}

/** A leg that has ended, or the timer when `leg` is `undefined`. */
type Event<A, E> =
  | { readonly leg: Leg<A, E>; readonly exit: Exit.Exit<A, E> }
  | { readonly leg: undefined; readonly timer: Fiber.RuntimeFiber<void> }

/** A leg that has failed, or was turned away, while others may still win. */
interface Failure<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly verdict: Verdict
}

/**
 * Runs the first leg, and others beside it as planned. The first success ends the race, and so does a failure that is
 * not worth another attempt. The other legs are then interrupted and not waited for. Fails with the failure that
 * restricts most when every leg has failed.
 *
 * When the caller is interrupted, all legs are, and their finalizers have run before the interruption is done.
 *
 * - `leg`: makes the leg of a number. The first one is 0.
 *
 * @internal
 */
export const race = <A, E, R>(leg: (number: number) => Effect.Effect<A, E, R>, plan: Plan): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.clock, (clock) => {
      const running = new Set<Leg<A, E>>()
      const events: Array<Event<A, E>> = []
      let wake = () => {}
      let timer: Fiber.RuntimeFiber<void> | undefined
      let started = 0
      let mayHedge = plan.max > 1
      /** The end of the pause that the server asked for. */
      let notBefore = -Infinity
      let worst: Failure<A, E> | undefined

      const emit = (event: Event<A, E>): void => {
        events.push(event)
        wake()
      }

      const start: Effect.Effect<void, never, R> = Effect.suspend(() => {
        const number = started++
        mayHedge &&= started < plan.max
        const startedAt = Monotonic.now(clock)
        return Effect.map(Effect.forkDaemon(restore(Effect.suspend(() => leg(number)))), (fiber) => {
          const leg = { number, startedAt, fiber }
          running.add(leg)
          fiber.addObserver((exit) => emit({ leg, exit }))
        })
      })

      const startNext: Effect.Effect<boolean, never, R> = Effect.suspend(() =>
        mayHedge && plan.admit() ? Effect.as(start, true) : Effect.succeed(false)
      )

      const stopTimer = Effect.suspend(() => {
        const stopped = timer
        timer = undefined
        return stopped === undefined ? Effect.void : Fiber.interrupt(stopped)
      })

      const startTimer = (millis: number | undefined): Effect.Effect<void> =>
        !mayHedge || millis === undefined || millis === Infinity
          ? Effect.void
          : Effect.map(Effect.forkDaemon(Effect.interruptible(Effect.sleep(millis))), (fiber) => {
            timer = fiber
            fiber.addObserver(() => emit({ leg: undefined, timer: fiber }))
          })

      const nextEvent: Effect.Effect<void> = Effect.async((resume) => {
        wake = () => resume(Effect.void)
        if (events.length > 0) {
          wake()
        }
      })

      const ended = (leg: Leg<A, E>, isAnswered: boolean): void => {
        const now = Monotonic.now(clock)
        running.delete(leg)
        plan.legEnded(now, Monotonic.between(leg.startedAt, now), isAnswered)
      }

      /** Ends the race: losers are told, and not waited for. */
      const end = (exit: Exit.Exit<A, E>, winner: Leg<A, E> | undefined): Effect.Effect<A, E> =>
        Effect.flatMap(Effect.fiberId, (self) => {
          for (const loser of running) {
            ended(loser, false)
            loser.fiber.unsafeInterruptAsFork(self)
          }
          const inherited = winner !== undefined && Exit.isSuccess(exit) ? Fiber.inheritAll(winner.fiber) : Effect.void
          return Effect.andThen(Effect.andThen(stopTimer, inherited), exit)
        })

      const afterFailure = (failure: Failure<A, E>): Effect.Effect<A, E, R> => {
        if (worst === undefined || restriction(failure.verdict) > restriction(worst.verdict)) {
          worst = failure
        }
        const { exit } = worst
        const goOn = Effect.suspend(() => running.size > 0 ? next : end(exit, undefined))
        const { verdict } = failure
        if (verdict._tag !== "Failed" || verdict.wait === Infinity) {
          mayHedge = false
          return Effect.andThen(stopTimer, goOn)
        }
        const now = Monotonic.now(clock)
        notBefore = Math.max(notBefore, now + verdict.wait)
        if (notBefore > now) {
          // with no leg in flight it is the caller of the race that waits
          return running.size > 0
            ? Effect.andThen(Effect.andThen(stopTimer, startTimer(Monotonic.between(now, notBefore))), next)
            : end(exit, undefined)
        }
        return Effect.flatMap(
          startNext,
          (isStarted) => isStarted ? Effect.andThen(Effect.andThen(stopTimer, startTimer(plan.after)), goOn) : goOn
        )
      }

      const onEvent = (event: Event<A, E>): Effect.Effect<A, E, R> => {
        if (event.leg === undefined) {
          if (event.timer !== timer) {
            return next
          }
          timer = undefined
          // a leg that is refused is dropped, and so are those that would follow it by the timer
          return Effect.flatMap(
            startNext,
            (isStarted) => isStarted ? Effect.andThen(startTimer(plan.after), next) : next
          )
        }
        const { exit, leg } = event
        const verdict = verdictOf(exit)
        if (verdict._tag === "TurnedAway") {
          running.delete(leg)
          if (leg.number > 0) {
            plan.turnedAway()
          }
          return afterFailure({ exit, verdict })
        }
        ended(leg, verdict._tag === "Answer")
        if (verdict._tag === "Answer" || verdict._tag === "Broken") {
          plan.won(leg.number)
          return end(exit, leg)
        }
        return afterFailure({ exit, verdict })
      }

      const interruptAll = Effect.suspend(() => {
        const legs = Array.from(running)
        legs.forEach((leg) => ended(leg, false))
        return Effect.andThen(stopTimer, Fiber.interruptAll(legs.map(({ fiber }) => fiber)))
      })

      const next: Effect.Effect<A, E, R> = Effect.suspend(() =>
        Effect.andThen(
          Effect.onInterrupt(restore(nextEvent), () => interruptAll),
          Effect.suspend(() => onEvent(events.shift()!))
        )
      )

      // a leg that ends at once needs no timer
      const first = Effect.andThen(start, Effect.yieldNow())
      return Effect.flatMap(first, () => Effect.andThen(events.length > 0 ? Effect.void : startTimer(plan.after), next))
    })
  )
