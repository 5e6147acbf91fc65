/**
 * A protocol of `@effect/rpc` that lets no call wait for an answer that cannot come.
 *
 * @internal
 */
import type * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Fatal, Retryable } from "../../RpcError.js"
import { CurrentAttempt } from "./effectRpcAttempt.js"

type Protocol = RpcClient.Protocol["Type"]

/** The request whose answer is being read, where one connection carries one request. */
class CurrentRequest extends Context.Reference<CurrentRequest>()("effect-rpc-retry/EffectRpc/CurrentRequest", {
  defaultValue: (): string | undefined => undefined
}) {}

const failed = (message: string, cause: unknown) => new RpcClientError({ reason: "Protocol", message, cause })

const unencodable = (cause: unknown) => {
  const message = "the payload cannot be encoded"
  return failed(message, new Fatal({ reason: "InvalidArgument", message, cause }))
}

const unanswered = () =>
  failed("the response ended without an answer", new Retryable({ reason: "Unavailable", delivery: "Unknown" }))

const notAnAnswer = (cause: Cause.Cause<never>) => {
  const message = "the response is not an answer of RPC"
  return failed(message, new Fatal({ reason: "Protocol", message, cause: Cause.squash(cause) }))
}

/** How long the library itself tries to tell the server. */
const goodbye = "1 second"

/**
 * - An interrupt is sent behind the caller's back: while there is no connection the library waits for one.
 * - A request that there is no connection for is known not to be sent.
 * - Over HTTP a response that ends ends its call, and a defect in it is that call's: the library takes it for all calls.
 *
 * `statuses`: responses of errors were sorted out, so what cannot be read is not one of those.
 *
 * @internal
 */
export const make = (
  protocol: Protocol,
  options: { readonly statuses: boolean } = { statuses: false }
): Effect.Effect<Protocol, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    const pending = new Set<string>()

    const encoded = (
      request: RpcMessage.FromClientEncoded,
      transferables: ReadonlyArray<globalThis.Transferable> | undefined
    ) =>
      Effect.flatMap(CurrentAttempt, (attempt) =>
        Effect.flatMap(
          Effect.try({ try: () => protocol.send(request, transferables), catch: unencodable }),
          (send) => {
            if (attempt !== undefined) {
              attempt.sent = true
            }
            return send
          }
        ))

    /** Sent is done when it is written: it fails with a typed error before that. */
    const onSocket = (send: Effect.Effect<void, RpcClientError>) =>
      Effect.tapError(send, () =>
        Effect.map(CurrentAttempt, (attempt) => {
          if (attempt !== undefined) {
            attempt.refused = true
          }
        }))

    /** Sent is done when the whole response was read. */
    const onHttp = (send: Effect.Effect<void, RpcClientError>, id: string) =>
      Effect.suspend(() => {
        pending.add(id)
        return (options.statuses ? Effect.catchAllCause(send, typed) : send).pipe(
          Effect.provideService(CurrentRequest, id),
          Effect.flatMap(() => pending.has(id) ? Effect.fail(unanswered()) : Effect.void),
          Effect.ensuring(Effect.sync(() => pending.delete(id)))
        )
      })

    const received = (message: RpcMessage.FromServerEncoded): Effect.Effect<RpcMessage.FromServerEncoded> =>
      Effect.map(CurrentRequest, (id) => {
        if (message._tag === "Exit") {
          pending.delete(message.requestId)
        }
        if (message._tag !== "Defect" || id === undefined) {
          return message
        }
        pending.delete(id)
        return {
          _tag: "Exit",
          requestId: id,
          exit: { _tag: "Failure", cause: { _tag: "Die", defect: message.defect } }
        }
      })

    return {
      ...protocol,
      run: (f) => protocol.run((message) => Effect.flatMap(received(message), f)),
      send: (request, transferables) => {
        switch (request._tag) {
          case "Request": {
            const send = encoded(request, transferables)
            return protocol.supportsAck ? onSocket(send) : onHttp(send, request.id)
          }
          case "Interrupt":
            return Effect.asVoid(Effect.forkIn(Effect.timeoutOption(protocol.send(request), goodbye), scope))
          default:
            return protocol.send(request, transferables)
        }
      }
    }
  })

const typed = (cause: Cause.Cause<RpcClientError>): Effect.Effect<never, RpcClientError> => {
  const defects = Cause.keepDefects(cause)
  return defects._tag === "Some" && !Cause.isFailure(cause)
    ? Effect.fail(notAnAnswer(defects.value))
    : Effect.failCause(cause)
}
