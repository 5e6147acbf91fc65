/**
 * A stream of answers, opened until its first message has come.
 *
 * @internal
 */
import type * as Grpc from "@grpc/grpc-js"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Fatal, type Retryable } from "../../RpcError.js"
import * as Call from "./grpcCall.js"
import type { Method } from "./grpcMethod.js"

type Failure = Retryable | Fatal

/** The messages that are there, waiting for the first of them; `None` at the end. */
interface Reader {
  readonly next: Effect.Effect<Chunk.Chunk<unknown>, Option.Option<Failure>>
  readonly close: Effect.Effect<void>
}

/**
 * Messages are taken out of Node's stream, never pushed: it holds 16 and asks the connection for more only when they are
 * taken. What came before a failure is read before it.
 */
const readerOf = (
  { name }: Method,
  call: Grpc.ClientReadableStream<unknown>,
  failureOf: (error: Grpc.ServiceError) => Failure
): Reader => {
  let end: Option.Option<Failure> | undefined
  const nobody = () => {}
  let waiting = nobody
  const ended = (reason: Option.Option<Failure>) => {
    end ??= reason
    waiting()
  }
  call.on("readable", () => waiting())
  call.on("end", () => ended(Option.none()))
  call.on("error", (error: Grpc.ServiceError) => ended(Option.some(failureOf(error))))

  const next: Reader["next"] = Effect.async((resume) => {
    const look = () => {
      waiting = nobody
      const messages: Array<unknown> = []
      for (let message: unknown = call.read(); message !== null; message = call.read()) {
        messages.push(message)
      }
      if (messages.length > 0) {
        resume(Effect.succeed(Chunk.unsafeFromArray(messages)))
      } else if (end !== undefined) {
        resume(Effect.fail(end))
      } else {
        waiting = look
      }
    }
    look()
    return Effect.sync(() => {
      waiting = nobody
    })
  })
  return {
    next,
    close: Effect.sync(() => {
      ended(Option.some(new Fatal({ reason: "Cancelled", method: name, message: "the stream was closed" })))
      call.cancel()
    })
  }
}

/** What grpc-js, and what generates code for it, makes of a method that streams its answer. */
type Invoke = (
  request: unknown,
  metadata: Grpc.Metadata,
  options: Grpc.CallOptions
) => Grpc.ClientReadableStream<unknown>

/**
 * One attempt. Nothing of one that failed stays in the scope; of one that succeeded, what closes it, until it has ended.
 *
 * @internal
 */
export const open = (
  client: Grpc.Client,
  method: Method,
  settings: Call.Settings,
  request: unknown
): Effect.Effect<Stream.Stream<unknown, Failure>, Failure, Scope.Scope> => {
  const methods = client as unknown as Record<string, Invoke>
  return Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const out = yield* Call.outgoing(settings, true)
      const reader = yield* Effect.map(
        Call.start(method, settings, out, () => methods[method.key]!(request, out.metadata, out.options)),
        (call) => readerOf(method, call, Call.failureOf(client, method, settings, out, call))
      )
      const scope = yield* Scope.fork(yield* Effect.scope, ExecutionStrategy.sequential)
      yield* Scope.addFinalizer(scope, reader.close)
      const close = Scope.close(scope, Exit.void)

      const noMessages = Effect.succeed(Chunk.empty<unknown>())
      let first: Chunk.Chunk<unknown> | undefined = yield* reader.next.pipe(
        Effect.catchAll(Option.match({ onNone: () => noMessages, onSome: Effect.fail })),
        restore,
        Effect.onError(() => close)
      )
      const next = Effect.suspend(() => {
        const taken = first
        first = undefined
        return taken === undefined ? reader.next : Effect.succeed(taken)
      })
      return Stream.ensuring(Stream.repeatEffectChunkOption(next), close)
    })
  )
}
