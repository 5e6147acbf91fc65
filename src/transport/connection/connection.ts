/**
 * The lifecycle of a connection: dialled, used, broken or retired, and dialled again.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
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

/** The names of the options in `Connection.Lifetime`. @internal */
export const lifetimeFields = ["dialBackoff", "healthyAfter", "idleTimeout", "maxAge", "drainTimeout"] as const

/**
 * The checked options of `Connection.make`. The faces that make connections document them.
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

/** A dial, and the connection that it opened. */
class ManagedConnection<A, E> {
  readonly ready = Deferred.unsafeMake<A, E>(FiberId.none)
  readonly ended = Effect.unsafeMakeLatch(false)
  /** Whether the dial has begun: it waits for the backoff first. */
  isDialled = false
  opened: { readonly connection: A } | undefined
  /** When it was opened, in milliseconds of the monotonic clock. */
  openedAt = 0
  /** Whether the peer has answered on it. */
  isHealthy = false
  /** Whether the backoff was told how it ended. */
  isSettled = false
  /** Whether it broke. */
  isDiscarded = false
  /** Whether it takes no more calls, and ends when those in flight have ended. */
  isRetired = false
  /** How many calls use it or wait for it. */
  users = 0
  /** How often {@link users} has changed: tells whether it was used since. */
  uses = 0
  fiber: Fiber.RuntimeFiber<unknown> | undefined

  /** `notBefore`: when it may be dialled, in milliseconds of the monotonic clock. */
  constructor(readonly notBefore: number) {}

  end(): void {
    this.ended.unsafeOpen()
    if (this.opened === undefined) {
      // nobody waits for the dial any more
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

/**
 * Manages the connections of one owner: at most one that takes calls, and retired ones whose calls are still in flight.
 */
class ConnectionManager<A, E, R> {
  private current: ManagedConnection<A, E> | undefined
  private isClosed = false
  private isClosing = false
  private dials = 0
  private failedDials = 0
  /** How the last dial failed, until one succeeds. */
  private failure: { readonly error: E } | undefined
  state: State = "idle"
  private readonly backoff: Backoff

  constructor(
    private readonly options: Options<A, E, R>,
    private readonly states: SubscriptionRef.SubscriptionRef<State>,
    private readonly lifecycles: FiberSet.FiberSet<unknown>,
    private readonly run: (
      lifecycle: Effect.Effect<unknown, never, Exclude<R, Scope.Scope>>
    ) => Fiber.RuntimeFiber<unknown>,
    private readonly closers: FiberSet.FiberSet<void>,
    /** Opens when all connections are closed, for good. */
    private readonly over: Effect.Latch
  ) {
    this.backoff = new Backoff(options.dialBackoff)
  }

  readonly status = Effect.sync(() => ({
    name: this.options.name,
    state: this.state,
    dials: this.dials,
    failedDials: this.failedDials
  }))

  private setState(next: State): Effect.Effect<void> {
    return Effect.suspend(() => {
      // `closed` is final, and an owner that is closing can only drain
      if (this.state === "closed" || (this.isClosed && next !== "closed" && next !== "draining")) {
        return Effect.void
      }
      this.state = next
      return SubscriptionRef.set(this.states, next)
    })
  }

  /** Stops giving it to new calls. Returns whether it was the current one. */
  private forget(managed: ManagedConnection<A, E>): boolean {
    const was = this.current === managed
    if (was) {
      this.current = undefined
    }
    return was
  }

  /**
   * Tells the backoff how it ended, once: a dial whose connection breaks while it opens ends twice, and is one failure.
   */
  private settle(managed: ManagedConnection<A, E>): Effect.Effect<unknown> {
    return Effect.flatMap(Deadline.now, (now) => {
      if (managed.isSettled) {
        return Effect.void
      }
      managed.isSettled = true
      const lasted = managed.opened !== undefined &&
        now - managed.openedAt >= Duration.toMillis(this.options.healthyAfter)
      return managed.isHealthy || lasted ? this.backoff.reset : this.backoff.failed
    })
  }

  /** Ends a connection that broke. */
  private discard(managed: ManagedConnection<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      managed.isDiscarded = true
      managed.ended.unsafeOpen()
      return this.forget(managed) ? Effect.andThen(this.settle(managed), this.setState("broken")) : Effect.void
    }).pipe(Effect.uninterruptible)
  }

  /** Takes it out of use: it gets no new calls, and closes when the last one has ended. */
  private retire(managed: ManagedConnection<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.forget(managed)
      managed.isRetired = true
      if (managed.users > 0) {
        return this.setState("draining")
      }
      managed.end()
      return this.setState("idle")
    })
  }

  private readonly retireAtMaxAge = (managed: ManagedConnection<A, E>, maxAge: Duration.Duration) =>
    // spread over 20 % of the age, so that clients started together do not redial together
    Effect.flatMap(Random.nextRange(0.9, 1.1), (part) => Effect.sleep(Duration.times(maxAge, part))).pipe(
      Effect.andThen(this.retire(managed))
    )

  private readonly retireWhenIdle = (
    managed: ManagedConnection<A, E>,
    idleTimeout: Duration.Duration
  ): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { uses } = managed
      return Effect.flatMap(
        Effect.sleep(idleTimeout),
        () =>
          managed.users === 0 && managed.uses === uses
            ? this.retire(managed)
            : this.retireWhenIdle(managed, idleTimeout)
      )
    })

  private forkTimers(managed: ManagedConnection<A, E>) {
    const { idleTimeout, maxAge } = this.options
    return Effect.all([
      maxAge === undefined ? Effect.void : Effect.forkScoped(this.retireAtMaxAge(managed, maxAge)),
      idleTimeout === undefined ? Effect.void : Effect.forkScoped(this.retireWhenIdle(managed, idleTimeout))
    ], { discard: true })
  }

  private open(managed: ManagedConnection<A, E>) {
    const healthy = Effect.suspend(() => {
      managed.isHealthy = true
      return this.current === managed ? this.backoff.reset : Effect.void
    })
    return Effect.suspend(() => {
      managed.isDialled = true
      this.dials++
      return Effect.andThen(this.setState("connecting"), this.options.dial({ discard: this.discard(managed), healthy }))
    }).pipe(
      Effect.tap((connection) =>
        Effect.flatMap(Deadline.now, (now) => {
          this.failure = undefined
          managed.opened = { connection }
          managed.openedAt = now
          const next = this.current === managed ? this.setState("ready") : Effect.void
          return Effect.andThen(next, Deferred.succeed(managed.ready, connection))
        })
      )
    )
  }

  /** Waits for the backoff, dials, and completes when the connection has ended or the scope closes. */
  private lifecycle(managed: ManagedConnection<A, E>) {
    return this.backoff.wait.pipe(
      Effect.andThen(this.open(managed)),
      Effect.andThen(this.forkTimers(managed)),
      Effect.andThen(managed.ended.await),
      Effect.scoped,
      Effect.onError((cause) => {
        const wasCurrent = this.forget(managed)
        const isFailure = managed.isDialled && managed.opened === undefined && !this.isClosed
        if (isFailure) {
          this.failedDials++
          this.failure = Option.getOrUndefined(Option.map(Causes.firstFailure(cause), (error) => ({ error })))
        }
        return Effect.all([
          isFailure ? this.settle(managed) : Effect.void,
          wasCurrent && isFailure ? this.setState("broken") : Effect.void,
          this.isClosed
            ? Deferred.failSync(managed.ready, this.options.closed)
            : Deferred.failCause(managed.ready, cause)
        ], { discard: true })
      }),
      Effect.exit,
      Effect.andThen(
        Effect.suspend(() =>
          this.current === undefined && this.state !== "broken" ? this.setState("idle") : Effect.void
        )
      ),
      Effect.interruptible
    )
  }

  private dial(): ManagedConnection<A, E> {
    const managed = new ManagedConnection<A, E>(this.backoff.notBefore)
    this.current = managed
    managed.fiber = this.run(this.lifecycle(managed))
    return managed
  }

  private release(managed: ManagedConnection<A, E>): void {
    managed.users--
    managed.uses++
    // a dial that has begun goes on without callers, one that still waits for the backoff does not
    if (managed.users === 0 && (managed.isRetired || !managed.isDialled)) {
      this.forget(managed)
      managed.end()
    }
  }

  /** Waits for a dial, and tells the caller how it ends. */
  private dialled(managed: ManagedConnection<A, E>, progress: Deadline.Progress | undefined): Effect.Effect<A, E> {
    if (this.failure !== undefined) {
      progress?.failed(this.failure.error)
    }
    return Effect.flatMap(Deadline.now, (askedAt) =>
      Effect.mapError(Deferred.await(managed.ready), (error) => {
        // less than a millisecond is only the time between two readings of the clock
        const waited = Math.floor(managed.notBefore - askedAt)
        return managed.isDialled && waited > 0 ? this.options.afterWait(error, Duration.millis(waited)) : error
      }))
  }

  // an `acquireUseRelease` whose ends are no effects: every call passes here
  readonly use: Connection<A, E>["use"] = (f, options) =>
    Effect.uninterruptibleMask((restore) => {
      if (this.isClosed) {
        return Effect.failSync(this.options.closed)
      }
      const managed = this.current ?? this.dial()
      managed.users++
      managed.uses++
      const used = managed.opened === undefined
        // ask again when it broke while callers waited for it
        ? Effect.flatMap(
          this.dialled(managed, options?.progress),
          (connection) => managed.isDiscarded ? this.use(f, { progress: options?.progress }) : f(connection)
        )
        : Effect.suspend(() => f(managed.opened!.connection))
      return Effect.matchCauseEffect(restore(used), {
        onFailure: (cause) => {
          this.release(managed)
          options?.ended?.()
          return Effect.failCause(cause)
        },
        onSuccess: (value) => {
          this.release(managed)
          options?.ended?.()
          return Effect.succeed(value)
        }
      })
    })

  /** Closes the connections, once; later callers wait for the same close. */
  readonly close: Effect.Effect<void> = Effect.uninterruptibleMask((restore) => {
    // the end of the scope closes them too, and nothing can be forked after it
    if (this.isClosing || this.state === "closed") {
      return restore(this.over.await)
    }
    this.isClosing = true
    this.isClosed = true
    return (this.current === undefined ? Effect.void : this.retire(this.current)).pipe(
      Effect.andThen(FiberSet.awaitEmpty(this.lifecycles)),
      Effect.andThen(this.setState("closed")),
      Effect.andThen(this.over.open),
      Effect.interruptible,
      FiberSet.run(this.closers),
      Effect.andThen(restore(this.over.await))
    )
  })

  readonly finalize = Effect.suspend(() =>
    Duration.toMillis(this.options.drainTimeout) === 0
      ? Effect.void
      : Effect.raceFirst(this.close, Effect.sleep(this.options.drainTimeout)).pipe(Effect.interruptible, Effect.exit)
  ).pipe(
    Effect.andThen(Effect.suspend(() => {
      this.isClosed = true
      return this.setState("closed")
    }))
  )
}

/** @internal */
export const make = <A, E, R>(
  options: Options<A, E, R>
): Effect.Effect<Connection<A, E>, never, Exclude<R, Scope.Scope> | Scope.Scope> =>
  Effect.gen(function*() {
    // all callers share a dial: it runs in the context that the connection was made in, not in that of the first caller
    const over = yield* Effect.acquireRelease(Effect.makeLatch(), (over) => over.open)
    const closers = yield* FiberSet.make<void>()
    const lifecycles = yield* FiberSet.make<unknown>()
    const run = yield* FiberSet.runtime(lifecycles)<Exclude<R, Scope.Scope>>()
    const states = yield* SubscriptionRef.make<State>("idle")
    const manager = new ConnectionManager<A, E, R>(options, states, lifecycles, run, closers, over)
    yield* Effect.flatMap(Connections, ({ add }) => add(manager.status))
    // finalizers run in reverse order: this one before the fibers are interrupted
    yield* Effect.addFinalizer(() => manager.finalize)
    return {
      use: manager.use,
      state: Effect.sync(() => manager.state),
      states: Stream.changes(states.changes).pipe(Stream.takeUntil((state) => state === "closed")),
      close: manager.close
    }
  })
