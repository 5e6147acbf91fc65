/**
 * Stops calls to a server that is down, and lets them back gently when it has come up again.
 *
 * **States.**
 *
 * - `Closed`: every attempt is made, and the breaker counts how they end. Enough failures (see {@link consecutive} and
 *   {@link rate}) open it.
 * - `Open`: every attempt is turned away with `CallRejected`, reason `CircuitOpen`, before anything is sent. `retryIn`
 *   says how long it will still be open.
 * - `HalfOpen`: the opening is over. As many attempts as there are `probes` are made, others are turned away. When the
 *   probes have ended, the breaker begins to close; when too many of them failed, it opens again at once.
 * - `Ramping`: it is closing. It makes 10 %, then 20 %, then 50 % of the attempts, each for a third of `rampUp`, and
 *   turns away the others. Then it is closed. Failures count as in `Closed`.
 *
 * **What it never does.**
 *
 * - It never waits, retries or times out, and has no fiber and no timer: an opening that is over is seen by the next
 *   attempt.
 * - It never opens for an answer. Only a `Retryable`, or a call that gave up on retrying it, is a failure; `Fatal`,
 *   domain errors and defects are not, and an interruption says nothing. `classify` changes that.
 * - It never counts an attempt that it admitted before it last opened or half-opened.
 * - It shares nothing with other processes, with other breakers or with a `RetryBudget`.
 *
 * **Where.** As `breaker` of a policy, `withRpcRetry({ breaker })`, or of `RpcRetry.layer`, which makes one for each
 * destination: then each attempt passes it, and a retry that has become pointless ends at once. {@link protect} puts
 * one around any effect. Around the whole of `withRpcRetry` it counts one outcome for each call. Put timeouts inside
 * it: from outside they interrupt, which it ignores.
 *
 * @example
 * ```ts
 * import { type CallRejected, CircuitBreaker, type Fatal, type Retryable } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const getUser: (id: number) => Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make({ trip: CircuitBreaker.consecutive(5), openFor: "10 seconds" })
 *   const protectedUser = (id: number): Effect.Effect<string, Retryable | Fatal | CallRejected> =>
 *     getUser(id).pipe(CircuitBreaker.protect(breaker))
 *   return yield* protectedUser(1)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as monotonic from "./internal/ambient/monotonic.js"
import * as stepping from "./internal/effect/step.js"
import type * as circuit from "./internal/gate/circuit.js"
import * as internal from "./internal/gate/circuitBreaker.js"
import type { Services } from "./internal/gate/gate.js"
import * as keys from "./internal/gate/keyed.js"
import * as protecting from "./internal/gate/protect.js"
import type * as window from "./internal/gate/window.js"
import * as schedules from "./internal/policy/schedule.js"
import * as Result from "./internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption, orThrow } from "./InvalidOption.js"
import type { CallRejected } from "./RpcError.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/CircuitBreaker"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Change,
  /**
   * @since 0.1.0
   * @category models
   */
  Snapshot,
  /**
   * @since 0.1.0
   * @category models
   */
  State
} from "./internal/gate/circuit.js"

/**
 * A circuit breaker: made with {@link make}, or one of {@link keyed}.
 *
 * @since 0.1.0
 * @category models
 */
export interface CircuitBreaker extends Pipeable {
  readonly [TypeId]: TypeId
  /** Its state now. */
  readonly state: Effect.Effect<circuit.State>
  /**
   * Its changes of state from now on. The end of an opening or of a ramp is seen, and told, when an attempt comes or
   * the state is asked for. A reader that is slow misses the oldest of more than 16.
   */
  readonly changes: Stream.Stream<circuit.Change>
  /** What is known of it now. */
  readonly snapshot: Effect.Effect<circuit.Snapshot>
  /** Opens it, until it is closed or reset by hand. */
  readonly open: Effect.Effect<void>
  /**
   * Closes it at once, without a ramp. What it counted is forgotten; the next opening is as long as it would have been.
   */
  readonly close: Effect.Effect<void>
  /** Makes it as new: closed, nothing counted, and a schedule of openings starts over. */
  readonly reset: Effect.Effect<void>
  /** @internal */
  readonly gate: internal.Breaker
  /** What it was made with. @internal */
  readonly settings: Valid
  /** The clock of the last step. @internal */
  readonly clock: () => Clock.Clock
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isCircuitBreaker = (u: unknown): u is CircuitBreaker => Predicate.hasProperty(u, TypeId)

/**
 * What the end of an attempt says of the server: `Ignored` counts as if the attempt had not been made.
 *
 * @since 0.1.0
 * @category models
 */
export type Outcome = "Success" | "Failure" | "Ignored"

/**
 * When a breaker opens: made with {@link consecutive} or {@link rate}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Trip {
  readonly "~effect-rpc-retry/CircuitBreaker/Trip": window.Rule
}

/**
 * The last so many calls, as the window of a {@link rate}: made with {@link calls}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Calls {
  readonly "~effect-rpc-retry/CircuitBreaker/Calls": window.Calls
}

const positive = { min: 1, max: Number.MAX_SAFE_INTEGER, integer: true }

/**
 * Opens after `n` failures without a success in between, in the order in which attempts end. Throws `InvalidOption` for
 * an `n` that is not an integer of at least 1.
 *
 * With many attempts in flight a connection that breaks is as many failures in a row: choose `n` well above that, or
 * use {@link rate}.
 *
 * @since 0.1.0
 * @category trips
 */
export const consecutive = (n: number): Trip => ({
  "~effect-rpc-retry/CircuitBreaker/Trip": {
    _tag: "Consecutive",
    failures: orThrow(checkNumber("CircuitBreaker.consecutive", "n", n, positive))
  }
})

/**
 * The last `n` calls that ended, from 1 to a million: the window of a {@link rate}. It takes a byte for each. Throws
 * `InvalidOption` for another `n`.
 *
 * @since 0.1.0
 * @category trips
 */
export const calls = (n: number): Calls => ({
  "~effect-rpc-retry/CircuitBreaker/Calls": {
    _tag: "Calls",
    size: orThrow(checkNumber("CircuitBreaker.calls", "n", n, { min: 1, max: 1_000_000, integer: true }))
  }
})

/**
 * What `rate` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface RateOptions {
  /** The share of failures that opens the breaker: greater than 0, at most 1. Default 0.5. */
  readonly threshold?: number | undefined
  /**
   * Which attempts are counted: those that ended in this time, which is kept in 20 parts that leave one by one; or the
   * last so many, as {@link calls}. Default 10 seconds.
   */
  readonly window?: Duration.DurationInput | Calls | undefined
  /**
   * How many attempts have to be in the window before it can open the breaker: at least 1, and no more than the window
   * holds. Default 20, or all of a smaller window.
   */
  readonly minimumCalls?: number | undefined
  /** Counts slow attempts too, as a rate of their own. Default: they are not counted. */
  readonly slow?: {
    /**
     * An attempt that takes longer is slow, however it ends. One that never ends is not counted: bound it with a
     * timeout.
     */
    readonly longerThan: Duration.DurationInput
    /** The share of slow attempts that opens the breaker: greater than 0, at most 1. Default 0.5. */
    readonly threshold?: number | undefined
  } | undefined
}

/**
 * Opens when of the attempts in a window at least this share failed or, where that is counted, was slow. It opens at a
 * failure or a slow attempt, never at a success. Throws `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { CircuitBreaker } from "effect-rpc-retry"
 *
 * const breaker = CircuitBreaker.make({
 *   trip: CircuitBreaker.rate({
 *     threshold: 0.3,
 *     window: CircuitBreaker.calls(100),
 *     slow: { longerThan: "2 seconds", threshold: 0.8 }
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category trips
 */
export const rate = (options?: RateOptions): Trip =>
  orThrow(Result.gen(function*() {
    const where = "CircuitBreaker.rate"
    const given = options ?? {}
    yield* checkKnown(where, given, ["threshold", "window", "minimumCalls", "slow"])
    const threshold = yield* checkNumber(where, "threshold", given.threshold ?? 0.5, share)
    const counted = yield* checkWindow(where, given.window ?? "10 seconds")
    const most = counted._tag === "Calls" ? counted.size : Number.MAX_SAFE_INTEGER
    const minimumCalls = yield* checkNumber(where, "minimumCalls", given.minimumCalls ?? Math.min(20, most), {
      min: 1,
      max: most,
      integer: true
    })
    const slow = given.slow === undefined ? undefined : yield* checkSlow(where, given.slow)
    return {
      "~effect-rpc-retry/CircuitBreaker/Trip": { _tag: "Rate", threshold, window: counted, minimumCalls, slow } as const
    }
  }))

const share = { min: Number.MIN_VALUE, max: 1 }

const checkWindow = (where: string, input: Duration.DurationInput | Calls) =>
  Predicate.hasProperty(input, "~effect-rpc-retry/CircuitBreaker/Calls")
    ? Result.succeed((input as Calls)["~effect-rpc-retry/CircuitBreaker/Calls"])
    : Result.map(
      checkDuration(where, "window", input as Duration.DurationInput),
      (duration) => ({ _tag: "Time", millis: Duration.toMillis(duration) }) as const
    ).pipe(Result.filterOrFail(
      ({ millis }) => millis >= 1,
      () => new InvalidOption({ where, field: "window", problem: "must be at least 1 millisecond" })
    ))

const checkSlow = (where: string, slow: NonNullable<RateOptions["slow"]>) =>
  Result.gen(function*() {
    yield* checkKnown(where, slow, ["longerThan", "threshold"], "slow.")
    const longerThan = yield* checkDuration(where, "slow.longerThan", slow.longerThan)
    const threshold = yield* checkNumber(where, "slow.threshold", slow.threshold ?? 0.5, share)
    return { longerThan: Duration.toMillis(longerThan), threshold }
  })

/**
 * What `make` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** When it opens. Default {@link rate}: half of the attempts of the last 10 seconds failed, of at least 20. */
  readonly trip?: Trip | undefined
  /**
   * How long it stays open: a duration, or a schedule whose n-th delay is the length of the n-th opening. Its last
   * delay stays when it ends; one that has none opens for 5 seconds. A schedule starts over when the breaker stayed
   * closed for as long as it was last open: after a shorter time the next opening is a longer one. Default 5 seconds.
   *
   * The schedule must not wait by itself.
   */
  readonly openFor?: Duration.DurationInput | Schedule.Schedule<unknown> | undefined
  /**
   * How much longer an opening may be, as a share of it from 0 to 1, drawn anew each time: with 0.3 an opening of 10
   * seconds lasts 10 to 13, so that many clients do not probe together. Default 0.3.
   */
  readonly jitter?: number | undefined
  /**
   * The most that a `retryAfter` of the server lengthens an opening to: the one of the failure that opens the breaker
   * counts where it is longer than `openFor`. Zero for never. Default 5 minutes.
   */
  readonly maxRetryAfter?: Duration.DurationInput | undefined
  /**
   * How many attempts are made in `HalfOpen` to see how the server is, from 1 to 1000. It opens again as soon as of all
   * of them the `threshold` of a {@link rate} failed or was slow, or half with {@link consecutive}; it closes when as
   * many have ended. Default 1.
   */
  readonly probes?: number | undefined
  /**
   * How long a probe holds its place: after that another is made in its stead. Its outcome counts all the same. Default
   * 10 seconds.
   */
  readonly probeLease?: Duration.DurationInput | undefined
  /**
   * How long it takes to close: 10, 20, then 50 % of the attempts are made, each for a third of it. Zero closes it at
   * once. Default 3 seconds.
   */
  readonly rampUp?: Duration.DurationInput | undefined
  /**
   * What the end of an attempt says of the server. It is not asked about an attempt that its caller interrupted: that
   * is `Ignored`. What it throws the call dies with, and nothing is counted. Default: `Failure` for a `Retryable` and
   * for a call that gave up on one (`RetryExhausted`), `Ignored` for a `CallRejected`, `Success` for all else.
   */
  readonly classify?: ((exit: Exit.Exit<unknown, unknown>) => Outcome) | undefined
}

/**
 * A closed breaker. It measures time with the clock of the calls that pass it, and draws from their `Random`. Throws
 * `InvalidOption` for a value out of range.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, RetrySchedule } from "effect-rpc-retry"
 *
 * // 5, 10, 20, 40, 60, 60, ... seconds, each up to 30 % longer
 * const breaker = CircuitBreaker.make({
 *   trip: CircuitBreaker.rate({ threshold: 0.5, window: "30 seconds", minimumCalls: 50 }),
 *   openFor: RetrySchedule.exponential({ base: "5 seconds", factor: 2, cap: "1 minute" }),
 *   probes: 3
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options?: Options): Effect.Effect<CircuitBreaker> => {
  const valid = orThrow(validate("CircuitBreaker.make", options ?? {}))
  return Effect.sync(() => fromValid(valid))
}

const optionNames = [
  "trip",
  "openFor",
  "jitter",
  "maxRetryAfter",
  "probes",
  "probeLease",
  "rampUp",
  "classify"
] as const satisfies ReadonlyArray<keyof Options>

/**
 * Options in milliseconds. A schedule is the same for all breakers, its state is not.
 *
 * @internal
 */
export interface Valid extends
  Pick<
    internal.Settings,
    "rule" | "jitter" | "maxRetryAfter" | "probes" | "probeLease" | "rampUp" | "classify"
  >
{
  readonly openFor: number | Schedule.Schedule<unknown>
}

/**
 * The options, or what is wrong with them.
 *
 * @internal
 */
export const validate = (where: string, options: Options): Result.Result<Valid, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options, optionNames)
    const millis = (field: string, input: Duration.DurationInput, zero = false) =>
      Result.map(checkDuration(where, field, input, { zero }), Duration.toMillis)
    const { classify, openFor = "5 seconds", trip = rate() } = options
    if (!Predicate.hasProperty(trip, "~effect-rpc-retry/CircuitBreaker/Trip")) {
      const problem = `must be one of CircuitBreaker.consecutive or CircuitBreaker.rate, got ${String(trip)}`
      return yield* Result.fail(new InvalidOption({ where, field: "trip", problem }))
    }
    if (classify !== undefined && !Predicate.isFunction(classify)) {
      const problem = `must be a function, got ${String(classify)}`
      return yield* Result.fail(new InvalidOption({ where, field: "classify", problem }))
    }
    return {
      rule: trip["~effect-rpc-retry/CircuitBreaker/Trip"],
      openFor: Schedule.isSchedule(openFor)
        ? openFor as Schedule.Schedule<unknown>
        : yield* millis("openFor", openFor as Duration.DurationInput),
      jitter: yield* checkNumber(where, "jitter", options.jitter ?? 0.3, { min: 0, max: 1 }),
      maxRetryAfter: yield* millis("maxRetryAfter", options.maxRetryAfter ?? "5 minutes", true),
      probes: yield* checkNumber(where, "probes", options.probes ?? 1, { min: 1, max: 1000, integer: true }),
      probeLease: yield* millis("probeLease", options.probeLease ?? "10 seconds"),
      rampUp: yield* millis("rampUp", options.rampUp ?? "3 seconds", true),
      classify
    }
  })

/**
 * Makes a breaker of options that are valid.
 *
 * @internal
 */
export const fromValid = (valid: Valid): CircuitBreaker => {
  const { openFor, ...settings } = valid
  // a breaker is shared by fibers that may have other clocks: each step has those of the fiber that makes it
  let services: Services = DefaultServices.liveServices
  const run = <A>(effect: Effect.Effect<A>): Exit.Exit<A> =>
    Effect.runSyncExit(Effect.withRandom(effect, Context.get(services, Random.Random)))
  return fromBreaker(
    internal.make({
      ...settings,
      enter: (entering) => {
        services = entering
      },
      openings: typeof openFor === "number"
        ? { next: () => openFor, startOver: () => {} }
        : openings(openFor, run),
      now: () => monotonic.now(Context.get(services, Clock.Clock)),
      random: () => lastOf(run(Random.next), 0.5)
    }),
    (entering) => {
      services = entering
    },
    () => Context.get(services, Clock.Clock),
    valid
  )
}

/** How long an opening is that a schedule has no delay for. */
const unscheduled = 5_000

const openings = (
  schedule: Schedule.Schedule<unknown>,
  run: <A>(effect: Effect.Effect<A>) => Exit.Exit<A>
): internal.Openings => {
  const start = () => schedules.start(schedule, () => "opening")
  let steps = start()
  let last = unscheduled
  return {
    next: (now) => {
      last = lastOf(run(stepping.toEffect(steps.next(now, undefined))), last) ?? last
      return last
    },
    startOver: () => {
      steps = start()
      last = unscheduled
    }
  }
}

/**
 * The value or, where an effect of the user's does not end at once or fails, what there was before: a breaker opens all
 * the same.
 */
const lastOf = <A>(exit: Exit.Exit<A>, before: A): A => exit._tag === "Success" ? exit.value : before

const fromBreaker = (
  gate: internal.Breaker,
  enter: (services: Services) => void,
  clock: () => Clock.Clock,
  settings: Valid
): CircuitBreaker => {
  const step = <A>(f: () => A) =>
    Effect.withFiberRuntime<A>((fiber) => {
      enter(fiber.currentDefaultServices)
      return Effect.succeed(f())
    })
  return {
    [TypeId]: TypeId,
    state: step(() => gate.snapshot().state),
    changes: Stream.asyncPush<circuit.Change>(
      (emit) =>
        Effect.acquireRelease(
          Effect.sync(() => gate.onChange((change) => emit.single(change))),
          (stop) => Effect.sync(stop)
        ),
      { bufferSize: 16, strategy: "sliding" }
    ),
    snapshot: step(() => gate.snapshot()),
    open: step(() => gate.open()),
    close: step(() => gate.close()),
    reset: step(() => gate.reset()),
    gate,
    settings,
    clock,
    pipe() {
      return pipeArguments(this, arguments)
    }
  }
}

/**
 * Runs an effect if the breaker admits it, and counts how it ends. Otherwise it fails with `CallRejected`, and the
 * effect is not run.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, type Fatal, type Retryable, withRpcRetry } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const call: Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make()
 *   // each attempt passes the breaker: once it is open, nothing more is tried
 *   return yield* call.pipe(CircuitBreaker.protect(breaker), withRpcRetry)
 * })
 * ```
 *
 * @since 0.1.0
 * @category combinators
 */
export const protect: {
  (breaker: CircuitBreaker): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CallRejected, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, breaker: CircuitBreaker): Effect.Effect<A, E | CallRejected, R>
} = dual(
  2,
  <A, E, R>(self: Effect.Effect<A, E, R>, { gate }: CircuitBreaker): Effect.Effect<A, E | CallRejected, R> =>
    protecting.protect(self, gate)
)

/**
 * A breaker for each key, made with {@link keyed}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Keyed {
  /**
   * Returns the breaker of a key, a new one where there is none. Keep the key rather than the breaker: it may be
   * replaced by a new one.
   */
  readonly get: (key: string) => Effect.Effect<CircuitBreaker>
  /** Protects an effect with the breaker of a key, as {@link protect} does. */
  readonly protect: (
    key: string
  ) => <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | CallRejected, R>
  /** Forgets a key, as when what it stands for is gone. */
  readonly remove: (key: string) => Effect.Effect<void>
  /** How many keys there are now. */
  readonly size: Effect.Effect<number>
}

/**
 * What `keyed` takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface KeyedOptions extends Options {
  /**
   * The most keys that are kept, from 1 to a million. One more, and the least recently used leaves: of those that are
   * closed or whose opening is over, or of all where there is none of these. What it counted is lost. Default 1000.
   */
  readonly maxKeys?: number | undefined
}

/**
 * One breaker for each key, such as an address or a tenant, all with the same options. Throws `InvalidOption` for a
 * value out of range.
 *
 * @example
 * ```ts
 * import { CircuitBreaker, type Fatal, type Retryable } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const ask: (host: string) => Effect.Effect<string, Retryable | Fatal>
 *
 * const program = Effect.gen(function*() {
 *   const breakers = yield* CircuitBreaker.keyed({ openFor: "10 seconds", maxKeys: 100 })
 *   return (host: string) => ask(host).pipe(breakers.protect(host))
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const keyed = (options?: KeyedOptions): Effect.Effect<Keyed> => {
  const where = "CircuitBreaker.keyed"
  const { maxKeys, valid } = orThrow(Result.gen(function*() {
    yield* checkKnown(where, options ?? {}, [...optionNames, "maxKeys"])
    const { maxKeys = 1000, ...each } = options ?? {}
    yield* checkNumber(where, "maxKeys", maxKeys, { min: 1, max: 1_000_000, integer: true })
    return { maxKeys, valid: yield* validate(where, each) }
  }))
  return Effect.sync(() => {
    const all = keys.make(maxKeys, () => fromValid(valid), ({ gate }) => gate.isIdle())
    return {
      get: (key) => Effect.sync(() => all.get(key)),
      protect: (key) => (self) => Effect.suspend(() => protecting.protect(self, all.get(key).gate)),
      remove: (key) => Effect.sync(() => all.remove(key)),
      size: Effect.sync(() => all.size())
    }
  })
}
