/**
 * The race between the legs of one call. It decides when a leg starts and which one ends the call; whether there may be
 * another leg, and what the legs are, is up to its caller.
 *
 * It is not `Effect.race`, which waits for the losers and starts all at once.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { Retryable } from "../../RpcError.js"
import * as Monotonic from "../ambient/monotonic.js"
import * as FiberRefs from "../effect/fiberRefs.js"
import * as Runtime from "../effect/runtime.js"
import * as Timer from "../effect/timer.js"
import { isEnd, isWorse, type Verdict, verdictOf } from "./verdict.js"

/**
 * Makes an effect interruptible, if it was where the race began.
 *
 * @internal
 */
export type Restore = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Waits for whether a leg may start, for as long as no other one has ended the race.
 *
 * @internal
 */
export type Wait = (self: Effect.Effect<boolean>) => Effect.Effect<boolean>

/**
 * A leg of a race, to those who plan it.
 *
 * @internal
 */
export interface Started {
  /** The first leg is 0. */
  readonly number: number
  /** When it started, an instant of the monotonic clock in milliseconds. */
  readonly startedAt: number
}

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
  /** Whether another leg follows one that fails while no other is in flight. Otherwise the race ends with it. */
  readonly followsAlone: boolean
  /**
   * Asked right before each leg but the first, which is then paid for when the result is `true` and does not start
   * otherwise. It runs uninterruptibly, so that what is paid for starts; only a wait is wrapped in `wait`, which ends
   * with `false` when a leg ends the race meanwhile.
   *
   * - `leg`: the number of the leg.
   * - `failure`: the error of the leg that it follows; `undefined` for one that starts because others are late.
   */
  readonly admit: (leg: number, failure: Retryable | undefined, wait: Wait) => Effect.Effect<boolean>
  /** Called when a leg has ended by itself. Returns what that means for the race. */
  readonly ended: (leg: Started, exit: Exit.Exit<unknown, unknown>) => Verdict
  /** Called when a leg is interrupted: it has lost, or the caller of the race was interrupted. */
  readonly cancelled: (leg: Started) => void
  /**
   * Called when the race is over, before losers are cancelled.
   *
   * - `leg`: the one that the race ends as.
   * - `isWon`: whether that leg has ended the race. Otherwise all legs have failed.
   */
  readonly over: (leg: Started, isWon: boolean) => void
}

interface Leg<A, E> extends Started {
  readonly fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>
}

/** A timer that is running. */
interface Ticking {
  stop: Timer.Stop
}

/** A leg that has ended, or the timer when `leg` is `undefined`. */
type Event<A, E> =
  | { readonly leg: Leg<A, E>; readonly exit: Exit.Exit<A, E> }
  | { readonly leg: undefined; readonly timer: Ticking }

/** A leg that has failed, or was turned away, while others may still win. */
interface Failure<A, E> {
  readonly leg: Leg<A, E>
  readonly exit: Exit.Exit<A, E>
  readonly verdict: Verdict
}

/** Makes the leg of a number. The first one is 0. */
type MakeLeg<A, E, R> = (number: number) => Effect.Effect<A, E, R>

/** What a race is run with. */
interface Racing<A, E> {
  readonly plan: Plan
  readonly clock: Clock.Clock
  /** The fiber that runs the race. */
  readonly caller: Fiber.RuntimeFiber<unknown, unknown>
  readonly runner: Runtime.Settings
  readonly restore: Restore
  /** Starts the leg of a number, on the stack of the caller. */
  readonly start: (number: number) => Leg<A, E>
}

/**
 * Runs the first leg, and others beside it as planned. The first success ends the race, and so does a failure that is
 * not worth another attempt. The other legs are then interrupted and not waited for. Fails with the failure that
 * restricts most when every leg has failed.
 *
 * The first leg starts at once, in a fiber of its own: where it needs no wait, nothing else of a race is made.
 *
 * When the caller is interrupted, all legs are, and their finalizers have run before the interruption is done.
 *
 * - `leg`: makes the leg of a number. The first one is 0.
 * - `contextOf`: returns the context of a leg, given that of the caller. Default: that of the caller.
 *
 * @internal
 */
export const race = <A, E, R>(
  leg: MakeLeg<A, E, R>,
  plan: Plan,
  contextOf: (number: number, ambient: Context.Context<never>) => Context.Context<never> = (_, ambient) => ambient
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((caller, { runtimeFlags }) => {
      const clock = Context.get(caller.currentDefaultServices, Clock.Clock)
      const runner = { context: caller.currentContext, fiberRefs: caller.getFiberRefs(), runtimeFlags }
      const start = (number: number): Leg<A, E> => ({
        number,
        startedAt: Monotonic.now(clock),
        // as a value: Effect logs a fiber that fails
        fiber: Runtime.start(
          runner,
          contextOf(number, runner.context),
          Effect.exit(restore(Effect.suspend(() => leg(number) as Effect.Effect<A, E>)))
        )
      })
      const first = start(0)
      const racing: Racing<A, E> = { plan, clock, caller, runner, restore, start }
      const ended = first.fiber.unsafePoll()
      if (ended === null) {
        return goOn(racing, first)
      }
      const exit = Exit.flatten(ended)
      const verdict = plan.ended(first, exit)
      if (!isEnd(verdict)) {
        return goOn(racing, first, { leg: first, exit, verdict })
      }
      plan.over(first, true)
      return answer(runner, first, exit)
    })
  )

/** Ends as the leg did. Only one that succeeded hands on what it has changed of its `FiberRef`s. */
const answer = <A, E>(
  { fiberRefs }: Runtime.Settings,
  { fiber }: Leg<A, E>,
  exit: Exit.Exit<A, E>
): Effect.Effect<A, E> => {
  const inherited = Exit.isSuccess(exit) ? FiberRefs.inherited(fiberRefs, fiber) : undefined
  return inherited === undefined ? exit : Effect.andThen(inherited, exit)
}

/**
 * The race from the moment at which its first leg has to be waited for, or has failed.
 *
 * - `failure`: how the first leg has failed; `undefined` for one in flight.
 */
const goOn = <A, E>(
  { caller, clock, plan, restore, runner, start }: Racing<A, E>,
  first: Leg<A, E>,
  failure?: Failure<A, E>
): Effect.Effect<A, E> => {
  const running = new Set<Leg<A, E>>()
  const events: Array<Event<A, E>> = []
  let wake = () => {}
  let timer: Ticking | undefined
  let started = 1
  let mayHedge = plan.max > 1
  /** The end of the pause that the server asked for. */
  let notBefore = -Infinity
  let worst: Failure<A, E> | undefined
  /** Whether another leg may start: done with `false` once one has ended the race. */
  const answered = Deferred.unsafeMake<boolean>(caller.id())

  const emit = (event: Event<A, E>): void => {
    events.push(event)
    wake()
  }

  const watch = (leg: Leg<A, E>): void => {
    running.add(leg)
    leg.fiber.addObserver((ended) => {
      const exit = Exit.flatten(ended)
      if (isEnd(verdictOf(exit))) {
        Deferred.unsafeDone(answered, Effect.succeed(false))
      }
      emit({ leg, exit })
    })
  }

  // the one that loses ends, also where the caller cannot be interrupted
  const wait: Wait = (self) =>
    restore(Effect.raceFirst(Effect.interruptible(self), Effect.interruptible(Deferred.await(answered))))

  const startNext = (failure: Retryable | undefined): Effect.Effect<boolean> =>
    mayHedge
      ? Effect.map(
        Effect.onError(plan.admit(started, failure, wait), () => interruptAll),
        (isAdmitted) => {
          if (isAdmitted) {
            const number = started++
            mayHedge &&= started < plan.max
            watch(start(number))
          }
          return isAdmitted
        }
      )
      : Effect.succeed(false)

  const stopTimer = Effect.suspend(() => {
    const stopped = timer
    timer = undefined
    return stopped === undefined ? Effect.void : stopped.stop()
  })

  const startTimer = (millis: number | undefined): void => {
    if (mayHedge && millis !== undefined && millis !== Infinity) {
      const started: Ticking = { stop: () => Effect.void }
      timer = started
      started.stop = Timer.start(runner, clock, millis, () => emit({ leg: undefined, timer: started }))
    }
  }

  const restartTimer = (millis: number | undefined): Effect.Effect<void> =>
    Effect.map(stopTimer, () => startTimer(millis))

  const nextEvent: Effect.Effect<void> = Effect.async((resume) => {
    wake = () => resume(Effect.void)
    if (events.length > 0) {
      wake()
    }
  })

  /** Ends the race: losers are told, and not waited for. */
  const end = (exit: Exit.Exit<A, E>, leg: Leg<A, E>, isWon: boolean): Effect.Effect<A, E> =>
    Effect.suspend(() => {
      plan.over(leg, isWon)
      for (const loser of running) {
        plan.cancelled(loser)
        loser.fiber.unsafeInterruptAsFork(caller.id())
      }
      return Effect.andThen(stopTimer, answer(runner, leg, exit))
    })

  const afterFailure = (failure: Failure<A, E>): Effect.Effect<A, E> => {
    if (worst === undefined || isWorse(failure.verdict, worst.verdict)) {
      worst = failure
    }
    const { exit, leg } = worst
    const over = end(exit, leg, false)
    const goOn = Effect.suspend(() => running.size > 0 ? next : over)
    const { verdict } = failure
    if (verdict._tag !== "Failed" || verdict.wait === Infinity) {
      mayHedge = false
      return Effect.andThen(stopTimer, goOn)
    }
    if (running.size === 0 && !plan.followsAlone) {
      return over
    }
    const now = Monotonic.now(clock)
    notBefore = Math.max(notBefore, now + verdict.wait)
    if (notBefore > now) {
      // with no leg in flight it is the caller of the race that waits
      return running.size > 0 ? Effect.andThen(restartTimer(Monotonic.between(now, notBefore)), next) : over
    }
    return Effect.flatMap(
      startNext(verdict.error),
      (isStarted) => isStarted ? Effect.andThen(restartTimer(plan.after), goOn) : goOn
    )
  }

  const onEvent = (event: Event<A, E>): Effect.Effect<A, E> => {
    if (event.leg === undefined) {
      if (event.timer !== timer) {
        return next
      }
      timer = undefined
      // a leg that is refused is dropped, and so are those that would follow it by the timer
      return Effect.flatMap(startNext(undefined), (isStarted) => {
        if (isStarted) {
          startTimer(plan.after)
        }
        return next
      })
    }
    const { exit, leg } = event
    running.delete(leg)
    return Effect.flatMap(
      // it asks what the policy retries, which may throw
      Effect.onError(Effect.sync(() => plan.ended(leg, exit)), () => interruptAll),
      (verdict) => isEnd(verdict) ? end(exit, leg, true) : afterFailure({ leg, exit, verdict })
    )
  }

  const interruptAll = Effect.suspend(() => {
    const legs = Array.from(running)
    legs.forEach((leg) => plan.cancelled(leg))
    return Effect.andThen(stopTimer, Fiber.interruptAll(legs.map(({ fiber }) => fiber)))
  })

  const next: Effect.Effect<A, E> = Effect.suspend(() =>
    Effect.andThen(
      Effect.onInterrupt(restore(nextEvent), () => interruptAll),
      Effect.suspend(() => onEvent(events.shift()!))
    )
  )

  if (failure !== undefined) {
    return afterFailure(failure)
  }
  watch(first)
  startTimer(plan.after)
  return next
}
