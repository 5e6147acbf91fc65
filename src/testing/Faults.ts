/**
 * Calls that fail on cue, for tests of what is built on this library.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Random from "effect/Random"
import { checkDuration, checkNumber, orThrow } from "../InvalidOption.js"
import { Retryable } from "../RpcError.js"

/**
 * A call whose attempts follow a script. It is made with {@link script}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Script<out A, out E = never, out R = never> extends Effect.Effect<A, E, R> {
  /** Counts the attempts that were started. */
  readonly attempts: Effect.Effect<number>
  /** Counts the attempts that were interrupted. */
  readonly interrupted: Effect.Effect<number>
}

class ScriptImpl<A, E, R> extends Effectable.Class<A, E, R> implements Script<A, E, R> {
  private started = 0
  private cut = 0
  readonly attempts = Effect.sync(() => this.started)
  readonly interrupted = Effect.sync(() => this.cut)

  constructor(private readonly steps: ReadonlyArray<Effect.Effect<A, E, R>>) {
    super()
  }

  private readonly attempt: Effect.Effect<A, E, R> = Effect.suspend(() => {
    const step = this.steps[Math.min(this.started, this.steps.length - 1)]
    this.started++
    return step ?? Effect.dieMessage("Faults.script: the script is empty")
  }).pipe(
    Effect.onInterrupt(() =>
      Effect.sync(() => {
        this.cut++
      })
    )
  )

  override commit(): Effect.Effect<A, E, R> {
    return this.attempt
  }
}

/**
 * Makes a call whose first attempt runs the first step, the second attempt the second step, and so on; attempts after
 * the last step run the last step again. A step is any effect: `Effect.succeed`, `Effect.fail`, `Effect.never` to hang,
 * `Effect.die` to crash, `Effect.delay` to take time.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Faults from "effect-rpc-retry/testing/Faults"
 * import * as Effect from "effect/Effect"
 *
 * const test = Effect.gen(function*() {
 *   const call = yield* Faults.script([Faults.refused, Faults.reset, Effect.succeed("hello")])
 *   const answer = yield* call.pipe(withRpcRetry)
 *   const attempts = yield* call.attempts // 3
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const script = <const Steps extends readonly [Step, ...Array<Step>]>(
  steps: Steps
): Effect.Effect<
  Script<Effect.Effect.Success<Steps[number]>, Effect.Effect.Error<Steps[number]>, Effect.Effect.Context<Steps[number]>>
> => Effect.sync(() => new ScriptImpl(steps as ReadonlyArray<Step> as ReadonlyArray<Effect.Effect<never>>))

type Step = Effect.Effect<unknown, unknown, unknown>

/**
 * An attempt whose connection was refused: `Retryable ConnectionRefused`, not sent.
 *
 * @since 0.1.0
 * @category steps
 */
export const refused: Effect.Effect<never, Retryable> = Effect.failSync(() =>
  new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" })
)

/**
 * An attempt whose connection was reset: `Retryable ConnectionLost`, may have run.
 *
 * @since 0.1.0
 * @category steps
 */
export const reset: Effect.Effect<never, Retryable> = Effect.failSync(() =>
  new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "ECONNRESET" })
)

/**
 * How long attempts take: an effect that draws a duration from Effect's `Random`, so that a test with a seed
 * (`Effect.withRandom(Random.make("seed"))`) sees the same ones each time. Made with {@link constant},
 * {@link lognormal}, {@link pareto} and {@link stragglers}; any other effect that draws one will do.
 *
 * @since 0.1.0
 * @category latency
 */
export type Law = Effect.Effect<Duration.Duration>

const draw = (millis: (uniform: Effect.Effect<number>) => Effect.Effect<number>): Law =>
  // never 0, of which there is no logarithm
  Effect.map(millis(Effect.map(Random.next, (u) => 1 - u)), (millis) => Duration.millis(millis))

const duration = (where: string, field: string, input: Duration.DurationInput): number =>
  Duration.toMillis(orThrow(checkDuration(where, field, input)))

/**
 * Delays each run of a call by a draw of the law.
 *
 * @example
 * ```ts
 * import { Hedge, withRpcRetry } from "effect-rpc-retry"
 * import * as Faults from "effect-rpc-retry/testing/Faults"
 * import * as Effect from "effect/Effect"
 * import * as Random from "effect/Random"
 *
 * // 2 % of the attempts take 50 to 500 ms, the others about 5 ms
 * const law = Faults.lognormal({ median: "5 millis" }).pipe(
 *   Faults.stragglers({ share: 0.02, shortest: "50 millis", longest: "500 millis" })
 * )
 *
 * const test = Effect.succeed("hello").pipe(
 *   Faults.latency(law),
 *   withRpcRetry({ idempotent: true, hedge: { after: Hedge.quantile(0.95) } }),
 *   Effect.withRandom(Random.make("the same each time"))
 * )
 * ```
 *
 * @since 0.1.0
 * @category latency
 */
export const latency = (law: Law) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.andThen(Effect.flatMap(law, Effect.sleep), self)

/**
 * All attempts take the same time. Throws `InvalidOption` for a duration that is not greater than zero.
 *
 * @since 0.1.0
 * @category latency
 */
export const constant = (input: Duration.DurationInput): Law =>
  Effect.succeed(Duration.millis(duration("Faults.constant", "duration", input)))

/**
 * Attempts take about as long as each other, as those of a server that is well: half of them less than the median, and
 * few more than twice that. Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category latency
 */
export const lognormal = (options: {
  /** Half of the attempts take less. */
  readonly median: Duration.DurationInput
  /** How much they differ: the standard deviation of the logarithm, from 0 to 5. Default 0.3: one in a hundred takes twice the median. */
  readonly spread?: number | undefined
}): Law => {
  const median = duration("Faults.lognormal", "median", options.median)
  const spread = orThrow(checkNumber("Faults.lognormal", "spread", options.spread ?? 0.3, { min: 0, max: 5 }))
  return draw((uniform) =>
    Effect.zipWith(
      uniform,
      uniform,
      (a, b) => median * Math.exp(spread * Math.sqrt(-2 * Math.log(a)) * Math.cos(2 * Math.PI * b))
    )
  )
}

/**
 * Attempts with a long tail, as where sizes differ a lot: the share of those that take longer than `t` falls with
 * `(shortest / t) ** alpha`. Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category latency
 */
export const pareto = (options: {
  /** No attempt takes less. */
  readonly shortest: Duration.DurationInput
  /** How fast the tail falls, from 0.5 to 20: at 1.5, one in a hundred takes more than 21 times the shortest. Default 1.5. */
  readonly alpha?: number | undefined
}): Law => {
  const shortest = duration("Faults.pareto", "shortest", options.shortest)
  const alpha = orThrow(checkNumber("Faults.pareto", "alpha", options.alpha ?? 1.5, { min: 0.5, max: 20 }))
  return draw(Effect.map((u) => shortest * u ** (-1 / alpha)))
}

/**
 * Replaces a share of the draws of a law by long ones, evenly spread: attempts that meet a pause of the garbage
 * collector or a full queue. Throws `InvalidOption` for a value out of range.
 *
 * @since 0.1.0
 * @category latency
 */
export const stragglers = (options: {
  /** The share of the attempts that are slow, from 0 to 1. */
  readonly share: number
  /** The least that a slow one takes. */
  readonly shortest: Duration.DurationInput
  /** The most that a slow one takes, at least `shortest`. */
  readonly longest: Duration.DurationInput
}): (law: Law) => Law => {
  const where = "Faults.stragglers"
  const share = orThrow(checkNumber(where, "share", options.share, { min: 0, max: 1 }))
  const shortest = duration(where, "shortest", options.shortest)
  const longest = orThrow(
    checkNumber(where, "longest", duration(where, "longest", options.longest), { min: shortest, max: Infinity })
  )
  const slow = draw(Effect.map((u) => shortest + (longest - shortest) * u))
  return (law) => Effect.flatMap(Random.next, (u) => u < share ? slow : law)
}
