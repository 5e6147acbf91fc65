/**
 * The life of a connection: dialled, used, broken or retired, and dialled again.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import * as ScheduleDecision from "effect/ScheduleDecision"
import * as ScheduleIntervals from "effect/ScheduleIntervals"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Connections, type State } from "../../Connections.js"
import type { Connection, Dialled } from "../Connection.js"

/** What `Connection.make` was told, checked. @internal */
export interface Options<A, E, R> {
  readonly dial: (dialled: Dialled) => Effect.Effect<A, E, R>
  readonly closed: () => E
  readonly name: string
  readonly dialBackoff: Schedule.Schedule<unknown>
  readonly healthyAfter: Duration.Duration
  readonly idleTimeout: Duration.Duration | undefined
  readonly maxAge: Duration.Duration | undefined
  readonly drainTimeout: Duration.Duration
}

/** One dial and what became of it. */
class Held<A, E> {
  readonly ready = Deferred.unsafeMake<A, E>(FiberId.none)
  readonly discarded = Effect.unsafeMakeLatch(false)
  phase: "waiting" | "dialling" | "open" = "waiting"
  opened: { readonly connection: A } | undefined
  openedAt = 0
  isHealthy = false
  isRetired = false
  /** Who uses it now, or waits for it; and how many ever did. */
  users = 0
  uses = 0
  fiber: Fiber.RuntimeFiber<unknown> | undefined
}

/** When the next dial may be made, given how the last ones ended. A schedule that ends begins again. */
const makeBackoff = (schedule: Schedule.Schedule<unknown>) => {
  let state: unknown = schedule.initial
  let notBefore = 0
  const reset = Effect.sync(() => {
    state = schedule.initial
    notBefore = 0
  })
  const failed = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    const [next, , decision] = yield* schedule.step(now, undefined, state)
    if (ScheduleDecision.isContinue(decision)) {
      state = next
      notBefore = ScheduleIntervals.start(decision.intervals)
    } else {
      yield* reset
    }
  })
  const wait = Effect.flatMap(
    Clock.currentTimeMillis,
    (now) => now < notBefore ? Effect.sleep(notBefore - now) : Effect.void
  )
  return { reset, failed, wait }
}

/** @internal */
export const make = <A, E, R>(
  options: Options<A, E, R>
): Effect.Effect<Connection<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // a dial is nobody's in particular: it sees the context the connection was made in, not that of who asked first
    const lives = yield* FiberSet.make<unknown>()
    const run = yield* FiberSet.runtime(lives)<Exclude<R, Scope.Scope>>()
    const states = yield* SubscriptionRef.make<State>("idle")
    const backoff = makeBackoff(options.dialBackoff)
    let current: Held<A, E> | undefined
    let state: State = "idle"
    let isClosed = false
    let dials = 0
    let failedDials = 0

    const become = (next: State) =>
      Effect.suspend(() => {
        // from `closed` there is no way back, and a connection that is closing only drains
        if (state === "closed" || (isClosed && next !== "closed" && next !== "draining")) {
          return Effect.void
        }
        state = next
        return SubscriptionRef.set(states, next)
      })

    const forget = (held: Held<A, E>): boolean => {
      const was = current === held
      if (was) {
        current = undefined
      }
      return was
    }

    /** What its end says of the next dial. */
    const settle = (held: Held<A, E>) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        held.isHealthy || (held.opened !== undefined && now - held.openedAt >= Duration.toMillis(options.healthyAfter))
          ? backoff.reset
          : backoff.failed)

    const discard = (held: Held<A, E>) =>
      Effect.suspend(() => {
        const broken = forget(held)
        return Effect.zipRight(
          broken ? Effect.zipRight(settle(held), become("broken")) : Effect.void,
          held.discarded.open
        )
      })

    /** No new calls; when the last one has ended it is closed. */
    const retire = (held: Held<A, E>) =>
      Effect.suspend(() => {
        forget(held)
        held.isRetired = true
        if (held.users > 0) {
          return become("draining")
        }
        held.discarded.unsafeOpen()
        return become("idle")
      })

    const aging = (held: Held<A, E>, maxAge: Duration.Duration) =>
      // clients that were started together are not to dial anew together
      Effect.flatMap(Random.nextRange(0.9, 1.1), (part) =>
        Effect.sleep(Duration.times(maxAge, part))).pipe(Effect.zipRight(retire(held)))

    const idling = (held: Held<A, E>, idleTimeout: Duration.Duration): Effect.Effect<void> =>
      Effect.suspend(() => {
        const { uses } = held
        return Effect.flatMap(
          Effect.sleep(idleTimeout),
          () =>
            held.users === 0 && held.uses === uses ? retire(held) : idling(held, idleTimeout)
        )
      })

    const tend = (held: Held<A, E>) =>
      Effect.all([
        options.maxAge === undefined ? Effect.void : Effect.forkScoped(aging(held, options.maxAge)),
        options.idleTimeout === undefined ? Effect.void : Effect.forkScoped(idling(held, options.idleTimeout))
      ], { discard: true })

    const open = (held: Held<A, E>) =>
      Effect.suspend(() => {
        held.phase = "dialling"
        dials++
        const healthy = Effect.suspend(() => {
          held.isHealthy = true
          return backoff.reset
        })
        return Effect.zipRight(become("connecting"), options.dial({ discard: discard(held), healthy }))
      }).pipe(
        Effect.tap((connection) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            held.phase = "open"
            held.opened = { connection }
            held.openedAt = now
            const next = current === held ? become("ready") : Effect.void
            return Effect.zipRight(next, Deferred.succeed(held.ready, connection))
          })
        )
      )

    /** From the wait before the dial until the connection is discarded, or the scope closes. */
    const life = (held: Held<A, E>) =>
      backoff.wait.pipe(
        Effect.zipRight(open(held)),
        Effect.zipRight(tend(held)),
        Effect.zipRight(held.discarded.await),
        Effect.scoped,
        Effect.onError((cause) => {
          const wasCurrent = forget(held)
          if (held.phase !== "dialling") {
            return isClosed ? Deferred.failSync(held.ready, options.closed) : Effect.void
          }
          failedDials++
          return Effect.all([
            settle(held),
            wasCurrent ? become("broken") : Effect.void,
            isClosed ? Deferred.failSync(held.ready, options.closed) : Deferred.failCause(held.ready, cause)
          ], { discard: true })
        }),
        Effect.exit,
        Effect.zipRight(Effect.suspend(() =>
          state === "draining" && current === undefined ? become("idle") : Effect.void
        ))
      )

    const dial = (): Held<A, E> => {
      const held = new Held<A, E>()
      current = held
      held.fiber = run(life(held))
      return held
    }

    const release = (held: Held<A, E>): void => {
      held.users--
      if (held.users > 0) {
        return
      }
      if (held.isRetired) {
        held.discarded.unsafeOpen()
      } else if (held.phase === "waiting") {
        // nobody waits for this dial any more, and it has not begun
        forget(held)
        held.fiber?.unsafeInterruptAsFork(FiberId.none)
      }
    }

    // an `acquireUseRelease` whose ends are not effects: this is on the way of every call
    const use: Connection<A, E>["use"] = (f) =>
      Effect.uninterruptibleMask((restore) => {
        if (isClosed) {
          return Effect.failSync(options.closed)
        }
        const held = current ?? dial()
        held.users++
        held.uses++
        const used = held.opened === undefined
          ? Effect.flatMap(Deferred.await(held.ready), f)
          : Effect.suspend(() =>
            f(held.opened!.connection)
          )
        return Effect.matchCauseEffect(restore(used), {
          onFailure: (cause) => {
            release(held)
            return Effect.failCause(cause)
          },
          onSuccess: (value) => {
            release(held)
            return Effect.succeed(value)
          }
        })
      })

    const close = Effect.suspend(() => {
      isClosed = true
      return current === undefined ? Effect.void : retire(current)
    }).pipe(
      Effect.zipRight(FiberSet.awaitEmpty(lives)),
      Effect.zipRight(become("closed"))
    )

    const { add } = yield* Connections
    yield* add(Effect.sync(() => ({ name: options.name, state, dials, failedDials })))
    // added last, so it runs before the fibers are interrupted
    yield* Effect.addFinalizer(() =>
      (Duration.toMillis(options.drainTimeout) === 0
        ? Effect.void
        : Effect.raceFirst(close, Effect.sleep(options.drainTimeout)).pipe(Effect.interruptible, Effect.exit)).pipe(
          Effect.zipRight(Effect.sync(() => {
            isClosed = true
          })),
          Effect.zipRight(become("closed"))
        )
    )

    return {
      use,
      state: Effect.sync(() => state),
      states: Stream.changes(states.changes).pipe(Stream.takeUntil((state) => state === "closed")),
      close
    }
  })
