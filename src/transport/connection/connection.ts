/**
 * The life of a connection: dialled, used, broken or retired, and dialled again.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { Connections, type State } from "../../Connections.js"
import * as Deadline from "../../Deadline.js"
import * as Causes from "../../internal/effect/cause.js"
import * as Step from "../../internal/effect/step.js"
import type { Connection, Dialled } from "./model.js"

/** The options of `Connection.Lifetime`. @internal */
export const lifetimeFields = ["dialBackoff", "healthyAfter", "idleTimeout", "maxAge", "drainTimeout"] as const

/**
 * What `Connection.make` was told, checked.
 *
 * @internal
 */
export interface Options<A, E, R> {
  readonly dial: (dialled: Dialled) => Effect.Effect<A, E, R>
  readonly closed: () => E
  readonly name: string
  readonly afterWait: (error: E, waited: Duration.Duration) => E
  readonly dialBackoff: Schedule.Schedule<unknown>
  readonly healthyAfter: Duration.Duration
  readonly idleTimeout: Duration.Duration | undefined
  readonly maxAge: Duration.Duration | undefined
  readonly drainTimeout: Duration.Duration
}

/** One dial and what became of it. */
class Held<A, E> {
  readonly ready = Deferred.unsafeMake<A, E>(FiberId.none)
  readonly ended = Effect.unsafeMakeLatch(false)
  /** Whether the wait before the dial is over. */
  isDialled = false
  opened: { readonly connection: A } | undefined
  /** In milliseconds of the monotonic clock. */
  openedAt = 0
  isHealthy = false
  /** The backoff has been told how it ended. */
  isSettled = false
  /** It broke. */
  isDiscarded = false
  /** It takes no more calls, and ends when those it has have ended. */
  isRetired = false
  /** Who uses it now, or waits for it; and how often that began or ended. */
  users = 0
  uses = 0
  fiber: Fiber.RuntimeFiber<unknown> | undefined

  /** `notBefore`: when it may be dialled, in milliseconds of the monotonic clock. */
  constructor(readonly notBefore: number) {}

  end(): void {
    this.ended.unsafeOpen()
    if (this.opened === undefined) {
      // a dial that nobody waits for
      this.fiber?.unsafeInterruptAsFork(FiberId.none)
    }
  }
}

/** Delays the next dial by how the last ones ended. A schedule that ends, or fails, starts over. */
class Backoff {
  private readonly steps: Step.Stepper<unknown, never>
  /** When the next dial may begin, in milliseconds of the monotonic clock. */
  notBefore = 0

  constructor(schedule: Schedule.Schedule<unknown>) {
    this.steps = Step.stepper(schedule)
  }

  readonly reset = Effect.sync(() => {
    this.steps.reset()
    this.notBefore = 0
  })

  private readonly step: Effect.Effect<boolean> = Effect.gen(this, function*() {
    const now = yield* Deadline.now
    const delay = yield* this.steps.next(now, undefined)
    if (delay === undefined) {
      return false
    }
    this.notBefore = now + delay
    return true
  }).pipe(Effect.catchAllCause(() => Effect.succeed(false)))

  readonly failed: Effect.Effect<unknown> = Effect.suspend(() => this.step).pipe(
    Effect.flatMap((isOn) => isOn ? Effect.void : Effect.andThen(this.reset, this.step))
  )

  readonly wait = Effect.suspend(() =>
    Effect.flatMap(Deadline.now, (now) => now < this.notBefore ? Effect.sleep(this.notBefore - now) : Effect.void)
  )
}

/** The connection of one owner: at most one that takes calls, and those that finish theirs. */
class Keeper<A, E, R> {
  private current: Held<A, E> | undefined
  private isClosed = false
  private closing: Fiber.Fiber<void> | undefined
  private dials = 0
  private failedDials = 0
  /** How the last dial failed, until one succeeds. */
  private failure: { readonly error: E } | undefined
  state: State = "idle"
  private readonly backoff: Backoff

  constructor(
    private readonly options: Options<A, E, R>,
    private readonly states: SubscriptionRef.SubscriptionRef<State>,
    private readonly lives: FiberSet.FiberSet<unknown>,
    private readonly run: (life: Effect.Effect<unknown, never, Exclude<R, Scope.Scope>>) => Fiber.RuntimeFiber<unknown>,
    private readonly closers: FiberSet.FiberSet<void>
  ) {
    this.backoff = new Backoff(options.dialBackoff)
  }

  readonly status = Effect.sync(() => ({
    name: this.options.name,
    state: this.state,
    dials: this.dials,
    failedDials: this.failedDials
  }))

  private become(next: State): Effect.Effect<void> {
    return Effect.suspend(() => {
      // from `closed` there is no way back, and a connection that is closing only drains
      if (this.state === "closed" || (this.isClosed && next !== "closed" && next !== "draining")) {
        return Effect.void
      }
      this.state = next
      return SubscriptionRef.set(this.states, next)
    })
  }

  private forget(held: Held<A, E>): boolean {
    const was = this.current === held
    if (was) {
      this.current = undefined
    }
    return was
  }

  /** What its end says of the next dial. A dial whose connection breaks while it opens ends twice, and is one failure. */
  private settle(held: Held<A, E>): Effect.Effect<unknown> {
    return Effect.flatMap(Deadline.now, (now) => {
      if (held.isSettled) {
        return Effect.void
      }
      held.isSettled = true
      const lasted = held.opened !== undefined &&
        now - held.openedAt >= Duration.toMillis(this.options.healthyAfter)
      return held.isHealthy || lasted ? this.backoff.reset : this.backoff.failed
    })
  }

  private discard(held: Held<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      held.isDiscarded = true
      held.ended.unsafeOpen()
      return this.forget(held) ? Effect.andThen(this.settle(held), this.become("broken")) : Effect.void
    }).pipe(Effect.uninterruptible)
  }

  /** No new calls; when the last one has ended it is closed. */
  private retire(held: Held<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.forget(held)
      held.isRetired = true
      if (held.users > 0) {
        return this.become("draining")
      }
      held.end()
      return this.become("idle")
    })
  }

  private readonly aging = (held: Held<A, E>, maxAge: Duration.Duration) =>
    // clients that were started together are not to dial anew together
    Effect.flatMap(Random.nextRange(0.9, 1.1), (part) => Effect.sleep(Duration.times(maxAge, part))).pipe(
      Effect.andThen(this.retire(held))
    )

  private readonly idling = (held: Held<A, E>, idleTimeout: Duration.Duration): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { uses } = held
      return Effect.flatMap(
        Effect.sleep(idleTimeout),
        () => held.users === 0 && held.uses === uses ? this.retire(held) : this.idling(held, idleTimeout)
      )
    })

  private tend(held: Held<A, E>) {
    const { idleTimeout, maxAge } = this.options
    return Effect.all([
      maxAge === undefined ? Effect.void : Effect.forkScoped(this.aging(held, maxAge)),
      idleTimeout === undefined ? Effect.void : Effect.forkScoped(this.idling(held, idleTimeout))
    ], { discard: true })
  }

  private open(held: Held<A, E>) {
    const healthy = Effect.suspend(() => {
      held.isHealthy = true
      return this.current === held ? this.backoff.reset : Effect.void
    })
    return Effect.suspend(() => {
      held.isDialled = true
      this.dials++
      return Effect.andThen(this.become("connecting"), this.options.dial({ discard: this.discard(held), healthy }))
    }).pipe(
      Effect.tap((connection) =>
        Effect.flatMap(Deadline.now, (now) => {
          this.failure = undefined
          held.opened = { connection }
          held.openedAt = now
          const next = this.current === held ? this.become("ready") : Effect.void
          return Effect.andThen(next, Deferred.succeed(held.ready, connection))
        })
      )
    )
  }

  /** From the wait before the dial until the connection has ended, or the scope closes. */
  private life(held: Held<A, E>) {
    return this.backoff.wait.pipe(
      Effect.andThen(this.open(held)),
      Effect.andThen(this.tend(held)),
      Effect.andThen(held.ended.await),
      Effect.scoped,
      Effect.onError((cause) => {
        const wasCurrent = this.forget(held)
        const isFailure = held.isDialled && held.opened === undefined && !this.isClosed
        if (isFailure) {
          this.failedDials++
          this.failure = Option.getOrUndefined(Option.map(Causes.firstFailure(cause), (error) => ({ error })))
        }
        return Effect.all([
          isFailure ? this.settle(held) : Effect.void,
          wasCurrent && isFailure ? this.become("broken") : Effect.void,
          this.isClosed ? Deferred.failSync(held.ready, this.options.closed) : Deferred.failCause(held.ready, cause)
        ], { discard: true })
      }),
      Effect.exit,
      Effect.andThen(
        Effect.suspend(() => this.current === undefined && this.state !== "broken" ? this.become("idle") : Effect.void)
      ),
      Effect.interruptible
    )
  }

  private dial(): Held<A, E> {
    const held = new Held<A, E>(this.backoff.notBefore)
    this.current = held
    held.fiber = this.run(this.life(held))
    return held
  }

  private release(held: Held<A, E>): void {
    held.users--
    held.uses++
    // nobody waits any more for a dial that has not begun; one that has goes on
    if (held.users === 0 && (held.isRetired || !held.isDialled)) {
      this.forget(held)
      held.end()
    }
  }

  /** What became of the dial, as who asked for it now is told. */
  private dialled(held: Held<A, E>, progress: Deadline.Progress | undefined): Effect.Effect<A, E> {
    if (this.failure !== undefined) {
      progress?.failed(this.failure.error)
    }
    return Effect.flatMap(Deadline.now, (askedAt) =>
      Effect.mapError(Deferred.await(held.ready), (error) => {
        // what is less than a millisecond is no wait, but the noise of two clocks that were read one after the other
        const waited = Math.floor(held.notBefore - askedAt)
        return held.isDialled && waited > 0 ? this.options.afterWait(error, Duration.millis(waited)) : error
      }))
  }

  // an `acquireUseRelease` whose ends are not effects: this is on the way of every call
  readonly use: Connection<A, E>["use"] = (f, options) =>
    Effect.uninterruptibleMask((restore) => {
      if (this.isClosed) {
        return Effect.failSync(this.options.closed)
      }
      const held = this.current ?? this.dial()
      held.users++
      held.uses++
      const used = held.opened === undefined
        // one that broke while its callers waited for it is not given to them: they ask again
        ? Effect.flatMap(
          this.dialled(held, options?.progress),
          (connection) => held.isDiscarded ? this.use(f, options) : f(connection)
        )
        : Effect.suspend(() => f(held.opened!.connection))
      return Effect.matchCauseEffect(restore(used), {
        onFailure: (cause) => {
          this.release(held)
          return Effect.failCause(cause)
        },
        onSuccess: (value) => {
          this.release(held)
          return Effect.succeed(value)
        }
      })
    })

  /** Begun once, it goes on for whoever waits for it. */
  readonly close: Effect.Effect<void> = Effect.gen(this, function*() {
    if (this.closing === undefined) {
      this.isClosed = true
      this.closing = yield* (this.current === undefined ? Effect.void : this.retire(this.current)).pipe(
        Effect.andThen(FiberSet.awaitEmpty(this.lives)),
        Effect.andThen(this.become("closed")),
        Effect.interruptible,
        FiberSet.run(this.closers)
      )
    }
    yield* Fiber.join(this.closing)
  })

  readonly finalize = Effect.suspend(() =>
    Duration.toMillis(this.options.drainTimeout) === 0
      ? Effect.void
      : Effect.raceFirst(this.close, Effect.sleep(this.options.drainTimeout)).pipe(Effect.interruptible, Effect.exit)
  ).pipe(
    Effect.andThen(Effect.suspend(() => {
      this.isClosed = true
      return this.become("closed")
    }))
  )
}

/** @internal */
export const make = <A, E, R>(
  options: Options<A, E, R>
): Effect.Effect<Connection<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // a dial is nobody's in particular: it sees the context the connection was made in, not that of who asked first
    const closers = yield* FiberSet.make<void>()
    const lives = yield* FiberSet.make<unknown>()
    const run = yield* FiberSet.runtime(lives)<Exclude<R, Scope.Scope>>()
    const states = yield* SubscriptionRef.make<State>("idle")
    const keeper = new Keeper<A, E, R>(options, states, lives, run, closers)
    yield* Effect.flatMap(Connections, ({ add }) => add(keeper.status))
    // added last, so it runs before the fibers are interrupted
    yield* Effect.addFinalizer(() => keeper.finalize)
    return {
      use: keeper.use,
      state: Effect.sync(() => keeper.state),
      states: Stream.changes(states.changes).pipe(Stream.takeUntil((state) => state === "closed")),
      close: keeper.close
    }
  })
