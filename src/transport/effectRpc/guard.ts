/**
 * Wraps a protocol of `@effect/rpc` so that no call waits for an answer that cannot arrive.
 *
 * @internal
 */
import type * as RpcClient from "@effect/rpc/RpcClient"
import { RpcClientError } from "@effect/rpc/RpcClientError"
import type * as RpcMessage from "@effect/rpc/RpcMessage"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Function from "effect/Function"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { alone, type AttemptState, CallDefect, CurrentAttemptState, unsent } from "./attempt.js"
import * as Message from "./message.js"

type Protocol = RpcClient.Protocol["Type"]
type Request = RpcMessage.RequestEncoded
type FromServer = RpcMessage.FromServerEncoded
type Client = (message: FromServer) => Effect.Effect<void>

/** Marks a protocol that is guarded already. */
const TypeId = "~effect-rpc-retry/EffectRpc/Guarded"

/**
 * The kind of protocol, when it is known:
 *
 * - `Http`: a send completes when the whole response was read, and error responses were handled.
 * - `Socket`: a send completes when it is written, and has a typed failure only before that; a defect of the message
 *   handler closes the connection. `opened` waits for a connection that is being opened. `served` is run when an answer
 *   has arrived. The writer asks `CurrentProgress` before.
 *
 * @internal
 */
export type Kind = { readonly _tag: "Http" } | {
  readonly _tag: "Socket"
  readonly opened: Effect.Effect<void>
  readonly served: Effect.Effect<void>
}

/** A request that waits for its answer. */
interface Pending {
  readonly tag: string
  readonly attempt: AttemptState | undefined
}

/** A request whose response carries its own answer only. */
interface Exchange {
  readonly request: Request
  answered: boolean
  failure: RpcClientError | undefined
}

/** The exchange whose response is being read. */
class CurrentExchange extends Context.Reference<CurrentExchange>()("effect-rpc-retry/EffectRpc/CurrentExchange", {
  defaultValue: (): Exchange | undefined => undefined
}) {}

const failed = (message: string, cause: unknown) => new RpcClientError({ reason: "Protocol", message, cause })

/** Redacts a cause that may quote a message. */
const hidden = (cause: unknown): unknown => cause === undefined ? undefined : Excerpt.of(cause)

const fatal = (reason: Fatal["reason"], message: string, cause?: unknown) =>
  failed(message, new Fatal({ reason, message, cause: hidden(cause) }))

const unavailable = (message: string, cause?: unknown) =>
  failed(message, new Retryable({ reason: "Unavailable", delivery: "Unknown", cause: hidden(cause) }))

const notAMessage = (cause: unknown) => fatal("Protocol", "the peer sent what is not a message of RPC", cause)

const closed = fatal("Cancelled", "the client is closed")

/** How long the library tries to tell the server of an interrupt. */
const goodbye = "1 second"

/**
 * Guards a protocol:
 *
 * - Several clients can share it. Each gets all answers and takes those to its requests. The library's protocol serves
 *   one client.
 * - An interrupt is sent in the background. The library waits for a connection first.
 * - A request waits for a reconnect. The library fails it with the error that ended the last connection.
 * - A request without a connection counts as not sent.
 * - A problem with one answer ends its call only. The library ends all calls.
 * - Bytes that are no message, or an answer to no call, end the calls in flight. The library ignores them, or stops
 *   reading.
 * - Over HTTP the end of a response ends its call, and a defect in it is that of the call. The library ends all calls.
 * - Its end ends the calls in flight.
 *
 * @internal
 */
export const make = (protocol: Protocol, kind?: Kind): Effect.Effect<Protocol, never, Scope.Scope> =>
  Predicate.hasProperty(protocol, TypeId) ? Effect.succeed(protocol) : Effect.gen(function*() {
    const scope = yield* Effect.scope
    const clients = new Set<Client>()
    const pending = new Map<string, Pending>()
    let isClosed = false

    const interrupt = (interrupt: RpcMessage.InterruptEncoded) =>
      Effect.asVoid(Effect.forkIn(Effect.timeoutOption(Effect.exit(protocol.send(interrupt)), goodbye), scope))

    const deliver = (message: FromServer) =>
      Effect.suspend(() => {
        const attempt = message._tag === "Exit" ? pending.get(String(message.requestId))?.attempt : undefined
        settle(pending, message)
        return forEach(Array.from(clients), (client) =>
          Effect.suspend(() => client(message)).pipe(
            Effect.catchAllDefect((defect) => spoiled(client, message, defect, attempt, interrupt))
          ))
      })

    yield* protocol.run((message) =>
      Effect.flatMap(received(message, kind, pending), (messages) => forEach(messages, deliver))
    ).pipe(
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isClosed = true
        return deliver({ _tag: "ClientProtocolError", error: closed })
      })
    )

    /** Removes a request that could not be sent from the library's table, by giving it an exit. */
    const forget = ({ id }: Request) =>
      Effect.withFiberRuntime<void>((fiber) =>
        Fiber.await(fiber).pipe(
          // the caller is gone and does not wait for this
          Effect.timeoutOption(goodbye),
          Effect.andThen(deliver(interrupted(id))),
          Effect.forkIn(scope),
          Effect.asVoid
        )
      )

    const request = (request: Request, transferables: ReadonlyArray<globalThis.Transferable> | undefined) =>
      Effect.withFiberRuntime<void, RpcClientError>(({ currentContext }) => {
        const current = Context.get(currentContext, CurrentAttemptState)
        // a middleware's own calls run before, and their refusal is not that of this call
        const attempt = current?.tag === request.tag ? Object.assign(current, unsent) : undefined
        pending.set(request.id, { tag: request.tag, attempt })
        const send = encode(() => protocol.send(request, transferables), attempt, request)
        return sending(send, kind, attempt, request).pipe(
          Effect.tapError(() => forget(request)),
          // an HTTP response contains everything
          kind?._tag === "Http" ? Effect.ensuring(Effect.sync(() => pending.delete(request.id))) : Function.identity
        )
      })

    return {
      ...protocol,
      [TypeId]: TypeId,
      run: (client) =>
        Effect.andThen(
          Effect.sync(() => clients.add(client)),
          Effect.ensuring(Effect.never, Effect.sync(() => clients.delete(client)))
        ),
      send: (message, transferables) => {
        if (isClosed) {
          return Effect.fail(closed)
        }
        switch (message._tag) {
          case "Request":
            return request(message, transferables)
          case "Interrupt":
            pending.delete(message.requestId)
            return interrupt(message)
          default:
            return protocol.send(message)
        }
      }
    }
  })

/** Encodes a request. The library encodes before it returns an effect. */
const encode = (
  send: () => Effect.Effect<void, RpcClientError>,
  attempt: AttemptState | undefined,
  { id }: Request
): Effect.Effect<void, RpcClientError> =>
  Effect.flatMap(
    Effect.try({ try: send, catch: (cause) => fatal("InvalidArgument", "the payload cannot be encoded", cause) }),
    (send) => {
      if (attempt !== undefined) {
        attempt.id = id
      }
      return send
    }
  )

/** Does what `Effect.forEach` does. Most messages are one, for one client. */
const forEach = <A>(self: ReadonlyArray<A>, f: (value: A) => Effect.Effect<void>): Effect.Effect<void> =>
  self.length === 1 ? f(self[0]!) : Effect.forEach(self, f, { discard: true })

/** Suppresses the library's log of a defect that becomes the error of the call: it would quote the message. */
const quiet = Effect.withUnhandledErrorLogLevel(Option.none())

const sending = (
  send: Effect.Effect<void, RpcClientError>,
  kind: Kind | undefined,
  attempt: AttemptState | undefined,
  request: Request
): Effect.Effect<void, RpcClientError> => {
  switch (kind?._tag) {
    case "Http":
      return alone(onHttp(quiet(send), request))
    case "Socket":
      return Deadline.whileUnsent((progress) =>
        alone(
          Effect.catchAllCause(send, (cause) => onSocket(cause, send, kind, attempt, progress)),
          progress
        )
      )
    default:
      return alone(Effect.catchAllDefect(quiet(send), (defect) => Effect.fail(ofSend(defect))))
  }
}

/** Sends a request again where the socket had no connection, once a dial in progress has ended. */
const onSocket = (
  cause: Cause.Cause<RpcClientError>,
  send: Effect.Effect<void, RpcClientError>,
  { opened }: Extract<Kind, { readonly _tag: "Socket" }>,
  attempt: AttemptState | undefined,
  progress: Deadline.Progress
) =>
  Effect.failCause(cause).pipe(
    Effect.tapErrorTag("RpcClientError", (error) => Effect.sync(() => progress.failed(error.cause))),
    Effect.catchTag("RpcClientError", () => Effect.andThen(opened, send)),
    Effect.tapError(() =>
      Effect.sync(() => {
        if (attempt !== undefined) {
          attempt.refused = true
        }
      })
    ),
    Effect.catchAllDefect((defect) => Effect.fail(failed("the request cannot be written", defect)))
  )

const onHttp = (send: Effect.Effect<void, RpcClientError>, request: Request): Effect.Effect<void, RpcClientError> =>
  Effect.suspend(() => {
    const exchange: Exchange = { request, answered: false, failure: undefined }
    return send.pipe(
      Effect.catchAllDefect((defect) => Effect.fail(fatal("Protocol", "the response is not an answer of RPC", defect))),
      Effect.provideService(CurrentExchange, exchange),
      Effect.flatMap(() =>
        exchange.failure !== undefined
          ? Effect.fail(exchange.failure)
          : exchange.answered
          ? Effect.void
          : Effect.fail(unavailable("the response ended without an answer"))
      )
    )
  })

/**
 * Returns whether the library met an HTTP response that is none of RPC. Its status, such as the 503 of a proxy, is
 * lost.
 */
const isForeignResponse = (defect: unknown): boolean =>
  defect instanceof SyntaxError ||
  (Cause.isRuntimeException(defect) && defect.message.startsWith("Expected an array of responses"))

const ofSend = (defect: unknown): RpcClientError =>
  isForeignResponse(defect)
    ? unavailable("the response is not an answer of RPC", defect)
    : failed("the request cannot be sent", defect)

/** Removes the requests that a message ends. */
const settle = (pending: Map<string, Pending>, message: FromServer): void => {
  if (message._tag === "Exit") {
    pending.delete(String(message.requestId))
  } else if (message._tag === "Defect" || message._tag === "ClientProtocolError") {
    pending.clear()
  }
}

/** Returns the messages that clients get for a received one. */
const received = (
  message: FromServer,
  kind: Kind | undefined,
  pending: ReadonlyMap<string, Pending>
): Effect.Effect<ReadonlyArray<FromServer>> =>
  Effect.flatMap(CurrentExchange, (exchange) =>
    Option.match(Message.fault(message), {
      onNone: () =>
        exchange !== undefined
          ? Effect.sync(() => ofExchange(message, exchange))
          : kind?._tag === "Socket" && isAnswer(message, pending)
          ? Effect.as(kind.served, ofAll(message, pending))
          : Effect.sync(() => ofAll(message, pending)),
      onSome: (fault) => {
        if (exchange !== undefined) {
          exchange.failure = notAMessage(fault)
          return Effect.succeed([])
        }
        const requestId = Message.requestIdOf(message)
        if (requestId !== undefined && pending.has(requestId)) {
          return Effect.succeed([died(requestId, unreadable(requestId, fault, false))])
        }
        return kind?._tag === "Socket"
          ? Effect.die(fault)
          : Effect.succeed<ReadonlyArray<FromServer>>([{ _tag: "ClientProtocolError", error: notAMessage(fault) }])
      }
    }))

/** Returns whether a message answers a pending request. */
const isAnswer = (message: FromServer, pending: ReadonlyMap<string, Pending>): boolean =>
  message._tag === "Exit" || message._tag === "Chunk"
    ? pending.has(String(message.requestId))
    : message._tag === "Defect" && pending.size > 0

const defectOf = (message: RpcMessage.ResponseDefectEncoded): unknown => {
  const unknownTag = Message.unknownTag(message)
  return unknownTag === undefined ? message.defect : new CallDefect(String(message.defect), { unknownTag })
}

const died = (requestId: string, defect: unknown): FromServer => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: { _tag: "Die", defect } }
})

const unreadable = (requestId: string, cause: unknown, isMessage: boolean): CallDefect =>
  new CallDefect("the answer cannot be decoded", { requestId, cause, isMessage })

/**
 * Returns the messages for a defect of no certain call. That of an unknown rpc is for the calls of that rpc; another
 * one is for all.
 */
const ofAll = (message: FromServer, pending: ReadonlyMap<string, Pending>): ReadonlyArray<FromServer> => {
  if (message._tag !== "Defect") {
    return [message]
  }
  const defect = defectOf(message)
  const unknownTag = Message.unknownTag(message)
  const meant = Array.from(pending).filter(([, { tag }]) => tag === unknownTag)
  return meant.length === 0 ? [{ _tag: "Defect", defect }] : meant.map(([id]) => died(id, defect))
}

const ofExchange = (message: FromServer, exchange: Exchange): ReadonlyArray<FromServer> => {
  const { id } = exchange.request
  if (message._tag === "Exit" && String(message.requestId) === id) {
    exchange.answered = true
  }
  if (message._tag !== "Defect") {
    return [message]
  }
  exchange.answered = true
  return [died(id, defectOf(message))]
}

/**
 * Ends the call of an answer that the client cannot decode. For a part of a stream, the call is ended here and at the
 * server. For an exit, the call is ended from outside, as the library has removed half of the request by then. On a
 * client that was not made by `EffectRpc`, a defect ends all calls.
 */
const spoiled = (
  client: Client,
  message: FromServer,
  defect: unknown,
  attempt: AttemptState | undefined,
  interrupt: (interrupt: RpcMessage.InterruptEncoded) => Effect.Effect<void>
): Effect.Effect<void> => {
  if (message._tag !== "Chunk" && message._tag !== "Exit") {
    return Effect.die(defect)
  }
  const { requestId } = message
  const ended = unreadable(requestId, defect, true)
  if (message._tag === "Chunk") {
    return Effect.andThen(client(died(requestId, ended)), interrupt({ _tag: "Interrupt", requestId }))
  }
  return attempt === undefined
    ? client({ _tag: "Defect", defect: ended })
    : Effect.sync(() => attempt.spoil(ended))
}

const interrupted = (requestId: string): FromServer => ({
  _tag: "Exit",
  requestId,
  exit: { _tag: "Failure", cause: { _tag: "Interrupt", fiberId: { _tag: "None" } } }
})
