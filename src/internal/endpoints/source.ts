/**
 * Where the endpoints of a destination come from: lists that replace each other over time.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { checkDuration, checkKnown, InvalidOption, orThrow } from "../../InvalidOption.js"
import * as monotonic from "../ambient/monotonic.js"
import { disconnect } from "../effect/disconnect.js"
import * as Result from "../result.js"
import { checkEndpoints, DiscoveryFailed, type Endpoint, type Lookup, type Update } from "./endpoint.js"

export {
  checkEndpoints,
  DiscoveryFailed,
  type Endpoint,
  InvalidEndpoint,
  type Lookup,
  type Update
} from "./endpoint.js"

/**
 * The key by which {@link isSource} knows a source.
 *
 * @since 0.1.0
 * @category type ids
 */
export const SourceTypeId = "~effect-rpc-retry/Endpoints/Source"

/**
 * The type of the key by which {@link isSource} knows a source.
 *
 * @since 0.1.0
 * @category type ids
 */
export type SourceTypeId = typeof SourceTypeId

/**
 * Where the endpoints of a destination come from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source<out R = never> extends Pipeable {
  readonly [SourceTypeId]: SourceTypeId
  /**
   * Returns the updates, for as long as the destination is used. They do not end by an error: that is an update.
   *
   * - `refreshes`: an element asks for a new list now, because a connection failed. A source that is told of changes by
   *   itself ignores it.
   */
  readonly updates: (refreshes: Stream.Stream<void>) => Stream.Stream<Update, never, R>
}

const updateOf = <E>(exit: Exit.Exit<unknown, E>): Update => {
  if (Exit.isFailure(exit)) {
    return { _tag: "Failed", error: Cause.squash(exit.cause) }
  }
  return Result.match(checkEndpoints(exit.value), {
    onFailure: (error): Update => ({ _tag: "Failed", error }),
    onSuccess: (endpoints): Update => ({ _tag: "Listed", endpoints })
  })
}

const Proto = {
  [SourceTypeId]: SourceTypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * Makes a source of a function that returns its updates. {@link fromStream} and {@link poll} make most sources with
 * less.
 *
 * @example
 * ```ts
 * import { Endpoints } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * declare const lookUp: Effect.Effect<ReadonlyArray<Endpoints.Endpoint>, Error>
 *
 * // looked up once, and again whenever a connection has failed
 * const users = Endpoints.makeSource((refreshes) =>
 *   Stream.concat(Stream.make(undefined), refreshes).pipe(
 *     Stream.mapEffect(() =>
 *       Effect.match(lookUp, {
 *         onFailure: (error): Endpoints.Update => ({ _tag: "Failed", error }),
 *         onSuccess: (endpoints): Endpoints.Update => ({ _tag: "Listed", endpoints })
 *       })
 *     )
 *   )
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(updates: Source<R>["updates"]): Source<R> =>
  Object.assign(Object.create(Proto) as Source<R>, { updates })

/**
 * Returns whether a value is a source.
 *
 * @example
 * ```ts
 * import { Endpoints } from "effect-rpc-retry"
 *
 * Endpoints.isSource(Endpoints.fromList(["10.0.0.1:1234"])) // true
 * ```
 *
 * @since 0.1.0
 * @category guards
 */
export const isSource = (u: unknown): u is Source<unknown> => Predicate.hasProperty(u, SourceTypeId)

/**
 * Makes a source of endpoints that never change. Text is an address.
 *
 * Throws `InvalidOption` for an empty list, for an endpoint that is wrong, and for an address that is there twice.
 *
 * @example
 * ```ts
 * import { Endpoints } from "effect-rpc-retry"
 *
 * const users = Endpoints.fromList(["10.0.0.1:1234", { address: "10.0.0.2:1234", weight: 2, zone: "eu-1a" }])
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromList = (list: ReadonlyArray<Endpoint | string>): Source => {
  const where = "Endpoints.fromList"
  const endpoints = orThrow(
    Result.mapError(
      checkEndpoints(list),
      ({ endpoint, field, problem }) => new InvalidOption({ where, field: `${endpoint} ${field}`, problem })
    )
  )
  if (endpoints.length < Math.max(1, list.length)) {
    const problem = endpoints.length === 0 ? "must not be empty" : "must not have an address twice"
    throw new InvalidOption({ where, field: "list", problem })
  }
  return make(() => Stream.concat(Stream.make<[Update]>({ _tag: "Listed", endpoints }), Stream.never))
}

/** In milliseconds. */
const backoff = { base: 100, factor: 1.5, cap: 30_000 } as const

/** The delay before retry `failures`, in milliseconds: jittered downwards by up to a half, so that it keeps the cap. */
const delayAfter = (failures: number, base: number, cap: number): Effect.Effect<number> =>
  Effect.map(Random.next, (random) => Math.min(cap, base * backoff.factor ** (failures - 1)) * (1 - random / 2))

const now = Effect.map(Effect.clock, monotonic.now)

/**
 * Makes a source of a stream of lists, each of which replaces the last. Text is an address.
 *
 * - A failure or a defect of the stream is a `Failed` update. The stream is run again after a delay: 100 ms, growing by
 *   half with each failure, at most 30 seconds, jittered down to a half of it. A run of more than 30 seconds starts the
 *   delays over.
 * - A list with a wrong endpoint is a `Failed` update too; the stream goes on.
 * - When the stream ends, its last list stays in use.
 * - Requests to refresh are ignored.
 *
 * @example
 * ```ts
 * import { Endpoints } from "effect-rpc-retry"
 * import * as Stream from "effect/Stream"
 *
 * // such as the instances that a client of Nacos or ZooKeeper tells of
 * declare const instances: Stream.Stream<ReadonlyArray<{ readonly ip: string; readonly port: number }>, Error>
 *
 * const users = Endpoints.fromStream(
 *   Stream.map(instances, (all) => all.map(({ ip, port }) => ({ address: `${ip}:${port}` })))
 * )
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromStream = <E, R>(lists: Stream.Stream<ReadonlyArray<Endpoint | string>, E, R>): Source<R> =>
  make(() =>
    Stream.suspend(() => {
      let failures = 0
      let delay = 0
      const failed = (start: number, cause: Cause.Cause<E>) =>
        Effect.gen(function*() {
          const lasted = (yield* now) - start
          failures = lasted > backoff.cap ? 1 : failures + 1
          delay = yield* delayAfter(failures, backoff.base, backoff.cap)
          return updateOf(Exit.failCause(cause))
        })
      const run = Effect.map(now, (start) =>
        lists.pipe(
          Stream.map((list) => updateOf(Exit.succeed(list))),
          Stream.concat(Stream.never),
          Stream.catchAllCause((cause) => Stream.fromEffect(failed(start, cause)))
        ))
      // a stream of runs, not a run inside of the last one: failures of years take no memory
      return Stream.flatMap(Stream.repeatEffect(Effect.suspend(() => Effect.sleep(delay))), () => Stream.unwrap(run))
    })
  )

/**
 * What {@link poll} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface PollOptions {
  /**
   * The time between two look-ups, give or take 20 %. Default 30 seconds. A `ttlMillis` of the look-up takes its place,
   * but for less than `atMostEvery` and for more than twice this time.
   */
  readonly every?: Duration.DurationInput | undefined
  /** The least time between the starts of two look-ups, whoever asks for them. Default 5 seconds, or `every` if less. */
  readonly atMostEvery?: Duration.DurationInput | undefined
  /** How long a look-up may take; then it is interrupted and has failed. Default 10 seconds. */
  readonly timeout?: Duration.DurationInput | undefined
}

/**
 * Checked {@link PollOptions}, in milliseconds.
 *
 * @internal
 */
export interface PollTimes {
  readonly every: number
  readonly atMostEvery: number
  readonly timeout: number
}

/** The names of {@link PollOptions}. @internal */
export const pollOptions: ReadonlyArray<string> = ["every", "atMostEvery", "timeout"]

/** Checks {@link PollOptions}; other options are not looked at. @internal */
export const checkPoll = (where: string, options: PollOptions): Result.Result<PollTimes, InvalidOption> =>
  Result.gen(function*() {
    const every = Duration.toMillis(yield* checkDuration(where, "every", options.every ?? "30 seconds"))
    const atMostEvery = options.atMostEvery === undefined
      ? Math.min(5_000, every)
      : Duration.toMillis(yield* checkDuration(where, "atMostEvery", options.atMostEvery))
    const timeout = Duration.toMillis(yield* checkDuration(where, "timeout", options.timeout ?? "10 seconds"))
    return atMostEvery > every
      ? yield* Result.fail(
        new InvalidOption({
          where,
          field: "atMostEvery",
          problem: `must not be more than every, got ${atMostEvery} ms`
        })
      )
      : { every, atMostEvery, timeout }
  })

/**
 * Makes a source of an effect that looks the endpoints up, again and again.
 *
 * - The first look-up is made at once, the next ones `every` 30 seconds, give or take 20 %.
 * - A request to refresh is answered at once, but with at most one look-up in `atMostEvery` 5 seconds. Requests in
 *   between are answered by the next look-up together.
 * - A failure, a defect, an endpoint that is wrong and a look-up without an end are `Failed` updates. The next look-up
 *   comes after one to two times `atMostEvery`, growing by half with each failure up to `every`.
 *
 * Throws `InvalidOption` for an option out of range.
 *
 * @example
 * ```ts
 * import { Endpoints } from "effect-rpc-retry"
 * import * as Effect from "effect/Effect"
 *
 * declare const fetchAddresses: Effect.Effect<ReadonlyArray<string>, Error>
 *
 * const users = Endpoints.poll(Effect.map(fetchAddresses, (endpoints) => ({ endpoints })), { every: "10 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const poll = <E, R>(lookup: Effect.Effect<Lookup, E, R>, options: PollOptions = {}): Source<R> => {
  const where = "Endpoints.poll"
  orThrow(checkKnown(where, options, pollOptions))
  return polling(lookup, orThrow(checkPoll(where, options)), "poll")
}

/**
 * {@link poll} with checked options.
 *
 * - `source`: what is asked, for the error of a look-up that takes too long.
 *
 * @internal
 */
export const polling = <E, R>(
  lookup: Effect.Effect<Lookup, E, R>,
  { atMostEvery, every, timeout }: PollTimes,
  source: string
): Source<R> =>
  make((refreshes) =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const requests = yield* Queue.sliding<void>(1)
      yield* Effect.forkScoped(Stream.runForEach(refreshes, () => Queue.offer(requests, undefined)))
      // a look-up that is slow to end is left behind, or there would be no other
      const bounded = Effect.timeoutFail(disconnect(lookup), {
        duration: timeout,
        onTimeout: () => new DiscoveryFailed({ source, problem: `no answer within ${timeout} ms` })
      })
      const interval = (ttl: number | undefined) => {
        const told = ttl === undefined || Number.isNaN(ttl) ? every : ttl
        return Effect.map(
          Random.nextRange(0.8, 1.2),
          (factor) => Math.max(atMostEvery, factor * Math.min(2 * every, Math.max(atMostEvery, told)))
        )
      }
      let started = 0
      let failures = 0
      let wait = 0
      const waited = Effect.gen(function*() {
        yield* Effect.timeoutOption(Queue.take(requests), wait)
        yield* Effect.sleep(Math.max(0, started + atMostEvery - (yield* now)))
        // the look-up that comes answers what was asked meanwhile
        yield* Queue.takeAll(requests)
      })
      return Stream.repeatEffect(Effect.gen(function*() {
        if (wait > 0) {
          yield* waited
        }
        started = yield* now
        // what is no look-up at all is a failure of it
        const exit = yield* Effect.exit(Effect.map(bounded, ({ endpoints, ttlMillis }) => ({ endpoints, ttlMillis })))
        const update = updateOf(Exit.map(exit, ({ endpoints }) => endpoints))
        failures = update._tag === "Failed" ? failures + 1 : 0
        wait = failures > 0
          ? Math.max(atMostEvery, yield* delayAfter(failures, 2 * atMostEvery, every))
          : yield* interval(Exit.isSuccess(exit) ? exit.value.ttlMillis : undefined)
        return update
      }))
    }))
  )
