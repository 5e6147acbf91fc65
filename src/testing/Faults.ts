/**
 * Calls that fail on cue, for tests of what is built on this library.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
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
