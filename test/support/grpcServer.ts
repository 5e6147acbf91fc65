/**
 * A real server of `@grpc/grpc-js`, told what to do with the next requests.
 */
import * as grpc from "@grpc/grpc-js"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Net from "node:net"
import type * as Contract from "./contract.js"
import { Echo, type Text } from "./grpcClient.js"
import * as Loopback from "./loopback.js"

/** What the server does with one request. Of `List` it sends so many words of the text before it. */
export type Step =
  | { readonly _tag: "Answer" | "Stall" | "Reset"; readonly messages?: number }
  | {
    readonly _tag: "Status"
    readonly code: number
    readonly details?: string
    readonly trailers?: Readonly<Record<string, string | Buffer | ReadonlyArray<string>>>
    /** Sends its head before, as servers do whose handlers set a header. */
    readonly head?: boolean
    readonly messages?: number
  }

export const answer: Step = { _tag: "Answer" }
export const stall: Step = { _tag: "Stall" }
export const reset: Step = { _tag: "Reset" }
export const status = (
  code: number | keyof typeof grpc.status,
  more: Partial<Step & { _tag: "Status" }> = {}
): Step => ({
  _tag: "Status",
  code: typeof code === "number" ? code : grpc.status[code],
  details: `status ${code}`,
  ...more
})

export interface Seen extends Contract.Seen {
  readonly method: string
  readonly metadata: grpc.Metadata
  readonly isCancelled: () => boolean
  readonly sent: () => number
}

const metadataOf = (trailers: (Step & { _tag: "Status" })["trailers"] = {}): grpc.Metadata => {
  const metadata = new grpc.Metadata()
  for (const [key, values] of Object.entries(trailers)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      metadata.add(key, value)
    }
  }
  return metadata
}

type Call = grpc.ServerUnaryCall<Text, Text> | grpc.ServerWritableStream<Text, Text>

/** `#3` stands for the numbers to 3, in 60 characters each. */
const wordsOf = (text: string): ReadonlyArray<string> =>
  text === ""
    ? []
    : text.startsWith("#")
    ? Array.from({ length: Number(text.slice(1)) }, (_, i) => String(i).padStart(60, "0"))
    : text.split(" ")

/** Words are sent as the client takes them. */
const sendWords = (
  call: grpc.ServerWritableStream<Text, Text>,
  words: ReadonlyArray<string>,
  sent: () => void,
  done: () => void
) => {
  const from = (start: number): void => {
    for (let i = start; i < words.length && !call.cancelled; i++) {
      const goesOn = call.write({ value: words[i]! })
      sent()
      if (!goesOn) {
        call.once("drain", () => from(i + 1))
        return
      }
    }
    done()
  }
  from(0)
}

export const make = Effect.gen(function*() {
  const seen: Array<Seen> = []
  const steps: Array<Step> = []
  const sockets = new Set<Net.Socket>()

  const received = (method: string, call: Call): { readonly step: Step; readonly sent: () => void } => {
    const cancelled = Deferred.unsafeMake<void>(FiberId.none)
    let isCancelled = false
    let sent = 0
    call.on("cancelled", () => {
      isCancelled = true
      Deferred.unsafeDone(cancelled, Effect.void)
    })
    const deadline = Number(call.getDeadline())
    seen.push({
      method,
      text: call.request.value,
      metadata: call.metadata,
      previousAttempts: Number(call.metadata.get("grpc-previous-rpc-attempts")[0] ?? 0),
      idempotencyKey: call.metadata.get("idempotency-key")[0]?.toString(),
      remaining: deadline === Infinity ? undefined : deadline - Date.now(),
      cancelled: Deferred.await(cancelled),
      isCancelled: () => isCancelled,
      sent: () => sent
    })
    const step = steps.shift() ?? answer
    if (step._tag === "Status" && step.head === true) {
      call.sendMetadata(new grpc.Metadata())
    }
    return { step, sent: () => sent++ }
  }

  const fail = (step: Step & { _tag: "Status" }): Partial<grpc.StatusObject> => ({
    code: step.code,
    details: step.details ?? "",
    metadata: metadataOf(step.trailers)
  })

  const hangUp = () => sockets.forEach((socket) => socket.resetAndDestroy())

  const unary = (method: string): grpc.handleUnaryCall<Text, Text> => (call, respond) => {
    const { step } = received(method, call)
    switch (step._tag) {
      case "Answer":
        return respond(null, { value: call.request.value })
      case "Stall":
        return
      case "Reset":
        return hangUp()
      case "Status":
        return respond(fail(step))
    }
  }

  const list: grpc.handleServerStreamingCall<Text, Text> = (call) => {
    const { sent, step } = received("List", call)
    const words = wordsOf(call.request.value)
    const count = step.messages ?? (step._tag === "Answer" ? words.length : 0)
    sendWords(call, words.slice(0, count), sent, () => {
      switch (step._tag) {
        case "Answer":
          return call.end()
        case "Stall":
          return
        case "Reset":
          // what was written is to arrive before
          return setTimeout(hangUp, 50)
        case "Status":
          return call.emit("error", fail(step))
      }
    })
  }

  const injecting = () => {
    const server = new grpc.Server()
    server.addService(Echo.service, { Echo: unary("Echo"), Read: unary("Read"), List: list })
    return server.createConnectionInjector(grpc.ServerCredentials.createInsecure())
  }
  let injector = injecting()
  const listener = Net.createServer((socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    injector.injectConnection(socket)
  })
  const port = yield* Loopback.listen(listener, hangUp)

  /** New connections go to another server; the old one tells its clients to leave, and ends what it has taken. */
  const rotate = Effect.sync(() => {
    const old = injector
    injector = injecting()
    old.drain(5_000)
  })

  const stop = Effect.async<void>((resume) => {
    listener.close(() => resume(Effect.void))
    hangUp()
    injector.destroy()
  })
  const start = Effect.async<void>((resume) => {
    injector = injecting()
    listener.listen(port, "127.0.0.1", () => resume(Effect.void))
  })

  return {
    address: `127.0.0.1:${port}`,
    script: (...next: ReadonlyArray<Step>) => Effect.sync(() => void steps.push(...next)),
    /** Forgets what it was told. */
    clear: Effect.sync(() => void steps.splice(0)),
    seen: Effect.sync((): ReadonlyArray<Seen> => Array.from(seen)),
    hangUp: Effect.sync(hangUp),
    connections: Effect.sync(() => sockets.size),
    rotate,
    stop,
    start,
    restart: Effect.zipRight(stop, start)
  }
})

/** The steps of the suite that all adapters pass. */
export const ofContract = (step: Contract.Step): Step => {
  switch (step._tag) {
    case "Fatal":
      return status("INVALID_ARGUMENT")
    case "Retryable":
      return status("UNAVAILABLE")
    case "Hint":
      return status("RESOURCE_EXHAUSTED", {
        code: step.delay === "Never" ? grpc.status.UNAVAILABLE : grpc.status.RESOURCE_EXHAUSTED,
        trailers: { "grpc-retry-pushback-ms": step.delay === "Never" ? "-1" : String(step.delay) }
      })
    case "Domain":
      throw new Error("gRPC has no domain errors")
    default:
      return { _tag: step._tag }
  }
}
