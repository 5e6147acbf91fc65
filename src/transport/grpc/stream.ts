/**
 * Opens a stream of answers until its first message.
 *
 * @internal
 */
import type * as Grpc from "@grpc/grpc-js"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Function from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Deadline from "../../Deadline.js"
import * as Result from "../../internal/result.js"
import { Fatal, type Retryable } from "../../RpcError.js"
import { repeatUnprocessed } from "../shared/attempt.js"
import { untilFirst } from "../shared/untilFirst.js"
import * as Call from "./call.js"
import { isUnprocessed } from "./failure.js"
import type { Method } from "./method.js"

type Failure = Retryable | Fatal

/** Reads the messages of a stream: `next` waits for the first, and fails with `None` at the end. */
interface Reader {
  readonly next: Effect.Effect<Chunk.Chunk<unknown>, Option.Option<Failure>>
  readonly close: Effect.Effect<void>
}

/**
 * Pulls messages from Node's stream, which holds 16 and asks the connection for more only when they are read. Messages
 * before a failure are read first.
 */
const readerOf = (
  { name }: Method,
  call: Grpc.ClientReadableStream<unknown>,
  fail: Call.Attempt["fail"]
): Reader => {
  let end: Effect.Effect<never, Option.Option<Failure>> | undefined
  const nobody = () => {}
  let waiting = nobody
  const ended = (how: Effect.Effect<never, Option.Option<Failure>>) => {
    end ??= how
    waiting()
  }
  call.on("readable", () => waiting())
  call.on("end", () => ended(Effect.fail(Option.none())))
  call.on("error", (error: Grpc.ServiceError) => ended(Effect.asSomeError(fail(error))))

  const arrived: Effect.Effect<void> = Effect.async((resume) => {
    waiting = () => {
      waiting = nobody
      resume(Effect.void)
    }
    return Effect.sync(() => {
      waiting = nobody
    })
  })
  // messages are read by the fiber that gets them, so that a wait that is interrupted takes none
  const next: Reader["next"] = Effect.suspend(() => {
    const messages: Array<unknown> = []
    for (let message: unknown = call.read(); message !== null; message = call.read()) {
      messages.push(message)
    }
    return messages.length > 0
      ? Effect.succeed(Chunk.unsafeFromArray(messages))
      : end ?? Effect.andThen(arrived, next)
  })
  return {
    next,
    close: Effect.sync(() => {
      const message = "the stream was closed"
      ended(Effect.fail(Option.some(new Fatal({ reason: "Cancelled", method: name, message }))))
      call.cancel()
    })
  }
}

/** A server-streaming method of a client, generated or loaded. */
type Invoke = (
  request: unknown,
  metadata: Grpc.Metadata,
  options: Grpc.CallOptions
) => Grpc.ClientReadableStream<unknown>

/** Makes one attempt to open a stream. @internal */
export const open = (
  client: Grpc.Client,
  method: Method,
  settings: Call.Settings,
  request: unknown
): Effect.Effect<Stream.Stream<unknown, Failure>, Failure, Scope.Scope> => {
  const methods = client as unknown as Record<string, Invoke>
  const opened = (progress: Deadline.Progress) =>
    Effect.gen(function*() {
      const out = yield* Call.outgoing(method, settings)
      const { fail, start } = Call.attempt(client, method, settings, out, progress)
      const call = yield* Result.match(
        start((options) => methods[method.key]!(request, out.metadata, options)),
        { onFailure: Function.identity, onSuccess: Effect.succeed }
      )
      return readerOf(method, call, fail)
    })
  const once = Deadline.whileUnsent((progress) =>
    untilFirst(
      method.name,
      Effect.map(Effect.acquireRelease(opened(progress), ({ close }) => close), ({ next }) => next)
    )
  )
  return repeatUnprocessed(once, isUnprocessed)
}
