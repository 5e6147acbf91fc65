/**
 * Sends calls that are made within a short window together. An interrupted call leaves its batch; a batch that all
 * calls have left is cancelled, also in flight.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Deadline from "../../Deadline.js"
import * as Runtime from "../../internal/effect/runtime.js"
import { type Fatal, Retryable } from "../../RpcError.js"
import type { Outcome, RawResult } from "./message.js"

/** @internal */
export interface Options {
  readonly maxCalls: number
  readonly window: Duration.Duration
  /** Starts the fibers of batches, which belong to no call. */
  readonly runner: Runtime.Runner
  /** Sends the texts in one request; returns an outcome for each id. */
  readonly send: (
    calls: ReadonlyMap<number, string>
  ) => Effect.Effect<ReadonlyMap<number, Outcome>, Retryable | Fatal>
}

interface Waiting {
  readonly text: string
  readonly progress: Deadline.Progress
  readonly resume: (outcome: Effect.Effect<RawResult, Retryable | Fatal>) => void
}

interface Batch {
  readonly calls: Map<number, Waiting>
  readonly full: Effect.Latch
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
}

/** The failure of a call whose attempt was cut right before its batch was sent. */
const leftOut = Effect.fail(new Retryable({ reason: "AttemptTimeout", delivery: "NotSent" }))

/** @internal */
export const make = ({ maxCalls, runner, send, window }: Options) => {
  const fork = Runtime.fork(runner)
  /** The batch that calls can still join. */
  let open: Batch | undefined

  const shut = (batch: Batch) => {
    if (open === batch) {
      open = undefined
    }
  }

  const settle = (batch: Batch, exit: Exit.Exit<ReadonlyMap<number, Outcome>, Retryable | Fatal>) => {
    shut(batch)
    batch.calls.forEach(({ resume }, id) =>
      resume(Exit.isFailure(exit) ? Effect.failCause(exit.cause) : Effect.suspend(() => exit.value.get(id) ?? leftOut))
    )
    batch.calls.clear()
  }

  const start = (): Batch => {
    const batch: Batch = { calls: new Map(), full: Effect.unsafeMakeLatch(false), fiber: undefined }
    const fiber = fork(
      Effect.raceFirst(Effect.sleep(window), batch.full.await).pipe(
        Effect.andThen(Effect.suspend(() => {
          shut(batch)
          const going = Array.from(batch.calls).filter(([, { progress }]) => progress.sending())
          return going.length === 0
            ? Effect.succeed(new Map())
            : send(new Map(going.map(([id, { text }]) => [id, text])))
        }))
      )
    )
    fiber.addObserver((exit) => settle(batch, exit))
    batch.fiber = fiber
    return batch
  }

  const leave = (batch: Batch, id: number) =>
    Effect.suspend(() => {
      batch.calls.delete(id)
      if (batch.calls.size > 0 || batch.fiber === undefined) {
        return Effect.void
      }
      shut(batch)
      return Fiber.interrupt(batch.fiber)
    })

  return (id: number, text: string): Effect.Effect<RawResult, Retryable | Fatal> =>
    Deadline.whileUnsent((progress) =>
      Effect.async((resume) => {
        const batch = open ??= start()
        batch.calls.set(id, { text, progress, resume })
        if (batch.calls.size >= maxCalls) {
          shut(batch)
          batch.full.unsafeOpen()
        }
        return leave(batch, id)
      })
    )
}
