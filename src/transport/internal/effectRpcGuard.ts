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
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import { Fatal, Retryable } from "../../RpcError.js"
import { CurrentAttempt } from "./effectRpcAttempt.js"

type Protocol = RpcClient.Protocol["Type"]

/** Set on a protocol that is guarded: once is enough. */
const TypeId = "~effect-rpc-retry/EffectRpc/Guarded"

/** A request whose response carries its answer and no other's. */
interface Exchange {
  readonly id: string
  answered: boolean
}

/** The exchange whose response is being read. */
class CurrentExchange extends Context.Reference<CurrentExchange>()("effect-rpc-retry/EffectRpc/CurrentExchange", {
  defaultValue: (): Exchange | undefined => undefined
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

const notAMessage = (cause: unknown) => {
  const message = "the peer sent what is not a message of RPC"
  return failed(message, new Fatal({ reason: "Protocol", message, cause }))
}

/** What a server says. */
const tags: ReadonlySet<unknown> = new Set<RpcMessage.FromServerEncoded["_tag"]>([
  "Chunk",
  "Exit",
  "Defect",
  "Pong",
  "ClientProtocolError"
])

/** How long the library itself tries to tell the server. */
const goodbye = "1 second"

/**
 * - `statuses`: responses of errors were sorted out, so what cannot be read is not one of those.
 * - `opened`: waits for the connection while it is being opened.
 *
 * @internal
 */
export interface Options {
  readonly statuses?: boolean
  readonly opened?: Effect.Effect<void>
}

/**
 * - An interrupt is sent behind the caller's back: while there is no connection the library waits for one.
 * - While the connection is dialled again a request waits for that: the library fails it with how the last one ended.
 * - A request that there is no connection for is known not to be sent.
 * - What no server says over a socket ends the calls in flight: the library passes it over.
 * - Over HTTP a response that ends ends its call, and a defect in it is that call's: the library takes it for all calls.
 *
 * @internal
 */
export const make = (
  protocol: Protocol,
  { opened = Effect.void, statuses = false }: Options = {}
): Effect.Effect<Protocol, never, Scope.Scope> =>
  Predicate.hasProperty(protocol, TypeId) ? Effect.succeed(protocol) : Effect.map(Effect.scope, (scope) => ({
    ...protocol,
    [TypeId]: TypeId,
    run: (f) => protocol.run((message) => Effect.flatMap(received(message), f)),
    send: (request, transferables) => {
      switch (request._tag) {
        case "Request": {
          const send = encode(() => protocol.send(request, transferables))
          return protocol.supportsAck
            ? onSocket(Effect.catchTag(send, "RpcClientError", () => Effect.zipRight(opened, send)))
            : onHttp(statuses ? Effect.catchAllCause(send, typed) : send, request.id)
        }
        case "Interrupt":
          return Effect.asVoid(Effect.forkIn(Effect.timeoutOption(protocol.send(request), goodbye), scope))
        default:
          return protocol.send(request)
      }
    }
  }))

/** The library encodes before it gives an effect. */
const encode = (send: () => Effect.Effect<void, RpcClientError>) =>
  Effect.flatMap(CurrentAttempt, (attempt) =>
    Effect.flatMap(Effect.try({ try: send, catch: unencodable }), (send) => {
      if (attempt !== undefined) {
        attempt.sent = true
      }
      return send
    }))

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
    const exchange: Exchange = { id, answered: false }
    return send.pipe(
      Effect.provideService(CurrentExchange, exchange),
      Effect.flatMap(() => exchange.answered ? Effect.void : Effect.fail(unanswered()))
    )
  })

const received = (message: RpcMessage.FromServerEncoded): Effect.Effect<RpcMessage.FromServerEncoded> =>
  Effect.map(CurrentExchange, (exchange) => {
    if (exchange === undefined) {
      return tags.has(message._tag) ? message : { _tag: "ClientProtocolError", error: notAMessage(message) }
    }
    if (message._tag === "Exit" && message.requestId === exchange.id) {
      exchange.answered = true
    }
    return message._tag === "Defect"
      ? {
        _tag: "Exit",
        requestId: exchange.id,
        exit: { _tag: "Failure", cause: { _tag: "Die", defect: message.defect } }
      }
      : message
  })

const typed = (cause: Cause.Cause<RpcClientError>): Effect.Effect<never, RpcClientError> => {
  const defects = Cause.keepDefects(cause)
  return defects._tag === "Some" && !Cause.isFailure(cause)
    ? Effect.fail(notAnAnswer(defects.value))
    : Effect.failCause(cause)
}
