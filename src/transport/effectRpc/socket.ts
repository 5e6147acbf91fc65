/**
 * A socket for `@effect/rpc` that reports its state and survives malformed input.
 *
 * @internal
 */
import * as Socket from "@effect/platform/Socket"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type * as Schedule from "effect/Schedule"
import * as Step from "../../internal/effect/step.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { Fatal } from "../../RpcError.js"
import { CurrentProgress } from "./attempt.js"
import * as Guard from "./guard.js"
import { readingInParts } from "./serialization.js"

interface Options {
  readonly retryTransientErrors?: boolean | undefined
  readonly retrySchedule: Schedule.Schedule<unknown, Socket.SocketError>
}

/**
 * The state of a socket.
 *
 * - `opened`: waits until a dial in progress ends, successfully or not.
 * - `served`: whether a connection has brought an answer since this was last reset.
 */
interface Observed {
  readonly socket: Socket.Socket
  readonly opened: Effect.Effect<void>
  readonly served: Ref.Ref<boolean>
}

/** Makes a typed error of a defect: a defect would end the loop of the library that dials, for ever. */
const malformed = (cause: unknown) =>
  new Socket.SocketGenericError({
    reason: "Read",
    cause: new Fatal({
      reason: "Protocol",
      message: "the peer sent what is not a message of RPC",
      cause: Excerpt.of(cause)
    })
  })

type Write = Effect.Effect.Success<Socket.Socket["writer"]>

/**
 * Asks the progress right before a write. The socket may wait for a connection after it was told to write, so asking
 * earlier is too early.
 */
const announcing = (write: Write, connected: Effect.Latch): Write => (chunk) =>
  Effect.flatMap(CurrentProgress, (progress) =>
    progress === undefined
      ? write(chunk)
      // an attempt that was cut is interrupted soon
      : connected.whenOpen(Effect.suspend(() => progress.sending() ? write(chunk) : Effect.never)))

const observe = (socket: Socket.Socket): Effect.Effect<Observed> =>
  Effect.gen(function*() {
    const idle = yield* Effect.makeLatch(true)
    const connected = yield* Effect.makeLatch(false)
    const opened = Effect.andThen(connected.open, idle.open)
    return {
      opened: idle.await,
      served: yield* Ref.make(false),
      socket: {
        ...socket,
        writer: Effect.map(socket.writer, (write) => announcing(write, connected)),
        runRaw: (handler, options) =>
          idle.close.pipe(
            Effect.andThen(
              socket.runRaw((data) => {
                const handled = handler(data)
                return handled && Effect.catchAllDefect(handled, (defect) => Effect.fail(malformed(defect)))
              }, { onOpen: Effect.andThen(options?.onOpen ?? Effect.void, opened) })
            ),
            Effect.ensuring(Effect.andThen(connected.close, idle.open))
          )
      }
    }
  })

/** @internal */
export const makeProtocol = (options: Options) =>
  Effect.gen(function*() {
    const { opened, served, socket } = yield* Effect.flatMap(Socket.Socket, observe)
    const protocol = yield* Effect.provideService(
      readingInParts(RpcClient.makeProtocolSocket({
        ...options,
        // dial at once while the peer answers, however often its connections end
        retrySchedule: Step.startingOver(options.retrySchedule, Ref.getAndSet(served, false))
      })),
      Socket.Socket,
      socket
    )
    return yield* Guard.make(protocol, { _tag: "Socket", opened, served: Ref.set(served, true) })
  })
