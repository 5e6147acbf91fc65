/**
 * A real TCP server that misbehaves on cue. It speaks the JSON codec of Go's `net/rpc`, so `GoRpc` can call it.
 *
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as GoRpc from "effect-rpc-retry/GoRpc"
 * import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
 * import * as Effect from "effect/Effect"
 *
 * const test = Effect.gen(function*() {
 *   const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
 *   const rpc = yield* GoRpc.make(server.address)
 *
 *   yield* server.script(FlakyServer.reset, FlakyServer.stall)
 *   // attempt 1 is reset, attempt 2 gets no answer and times out, attempt 3 gets 42
 *   const product = yield* rpc.call("Arith.Multiply", { A: 6, B: 7 }).pipe(
 *     withRpcRetry({ attemptTimeout: "100 millis" })
 *   )
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { checkKnown, orThrow } from "../InvalidOption.js"
import * as JsonFrames from "../transport/goRpc/jsonFrames.js"

/**
 * What the server does with one request, in place of answering it at once.
 *
 * @since 0.1.0
 * @category models
 */
export type Fault = Data.TaggedEnum<{
  /** Answers, as without a fault. */
  Answer: {}
  /** Resets the connection (TCP RST). */
  Reset: {}
  /** Closes the connection properly (TCP FIN). */
  Close: {}
  /** Never answers. */
  Stall: {}
  /** Answers after a while. */
  Late: { readonly after: Duration.DurationInput }
  /** Answers with these bytes. */
  Garbage: { readonly bytes: string | Uint8Array }
  /** Answers with an error string. */
  Error: { readonly message: string }
}>

const { Answer, Close, Error: ErrorFault, Garbage, Late, Reset, Stall } = Data.taggedEnum<Fault>()

/**
 * Answers the request as without a fault.
 *
 * @since 0.1.0
 * @category faults
 */
export const answer: Fault = Answer()

/**
 * Resets the connection while the call is in flight.
 *
 * @since 0.1.0
 * @category faults
 */
export const reset: Fault = Reset()

/**
 * Closes the connection while the call is in flight.
 *
 * @since 0.1.0
 * @category faults
 */
export const close: Fault = Close()

/**
 * Leaves the request without an answer.
 *
 * @since 0.1.0
 * @category faults
 */
export const stall: Fault = Stall()

/**
 * Answers after a while.
 *
 * @since 0.1.0
 * @category faults
 */
export const late = (after: Duration.DurationInput): Fault => Late({ after })

/**
 * Answers with bytes that are no answer, by default the greeting of an HTTP server.
 *
 * @since 0.1.0
 * @category faults
 */
export const garbage = (bytes: string | Uint8Array = "HTTP/1.1 400 Bad Request\r\n\r\n"): Fault => Garbage({ bytes })

/**
 * Answers with an error string, as a Go method that returns an error does.
 *
 * @since 0.1.0
 * @category faults
 */
export const error = (message: string): Fault => ErrorFault({ message })

/**
 * A request as the server received it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Request {
  /** The method: `"Service.Method"`. */
  readonly method: string
  /** The arguments of the call. */
  readonly args: unknown
  /** The number of the connection that it came on, counted from 1 since the server was made. */
  readonly connection: number
}

/**
 * The implementation of a method.
 *
 * @since 0.1.0
 * @category models
 */
export interface Method {
  /** Returns the reply to the arguments, or fails with the error string to answer with. */
  (args: unknown): Effect.Effect<unknown, string>
}

/**
 * A server that misbehaves on cue. It is made with {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface FlakyServer {
  /** The address that the server listens on, as `GoRpc.make` takes it. It stays the same over `stop` and `start`. */
  readonly address: {
    /** The loopback address. */
    readonly host: string
    /** The TCP port. */
    readonly port: number
  }
  /**
   * Sets what the server does with the next requests, in order; it answers later requests. Faults of earlier scripts
   * come first.
   */
  readonly script: (...faults: ReadonlyArray<Fault>) => Effect.Effect<void>
  /** Closes the port and resets all connections: connections are refused until {@link FlakyServer.start}. */
  readonly stop: Effect.Effect<void>
  /** Listens again, on the same port. */
  readonly start: Effect.Effect<void>
  /** Runs `stop`, then `start`. */
  readonly restart: Effect.Effect<void>
  /** Returns all requests that the server has received. */
  readonly requests: Effect.Effect<ReadonlyArray<Request>>
  /** Counts the open connections. */
  readonly connections: Effect.Effect<number>
}

const host = "127.0.0.1"

/**
 * Starts a server on a free port; it stops with the scope.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  /**
   * The methods, by `"Service.Method"`. A request for any other gets the error string that Go's `net/rpc` answers with.
   */
  readonly methods: Readonly<Record<string, Method>>
}): Effect.Effect<FlakyServer, never, Scope.Scope> => {
  orThrow(checkKnown("FlakyServer.make", options, ["methods"]))
  return Effect.gen(function*() {
    const run = yield* FiberSet.makeRuntime<never, void, never>()
    const faults: Array<Fault> = []
    const requests: Array<Request> = []
    const open = new Set<Net.Socket>()
    let accepted = 0

    const serves = (service: string) => Object.keys(options.methods).some((method) => method.startsWith(`${service}.`))

    const call = (method: string, args: unknown): Effect.Effect<unknown, string> =>
      Object.hasOwn(options.methods, method)
        ? options.methods[method]!(args)
        : Effect.fail(`rpc: can't find ${serves(method.split(".")[0]!) ? "method" : "service"} ${method}`)

    const reply = (socket: Net.Socket, id: unknown, result: Effect.Effect<unknown, string>): Effect.Effect<void> =>
      result.pipe(
        Effect.catchAllDefect((defect) => Effect.fail(`panic: ${String(defect)}`)),
        Effect.match({
          onFailure: (error) => ({ id, result: null, error }),
          onSuccess: (value) => ({ id, result: value, error: null })
        }),
        Effect.map((answer) => {
          socket.write(JSON.stringify(answer) + "\n")
        })
      )

    const serve = (socket: Net.Socket, request: Request, id: unknown): Effect.Effect<void> => {
      const result = call(request.method, request.args)
      const fault = faults.shift() ?? answer
      switch (fault._tag) {
        case "Answer":
          return reply(socket, id, result)
        case "Late":
          return Effect.delay(reply(socket, id, result), fault.after)
        case "Error":
          return reply(socket, id, Effect.fail(fault.message))
        case "Garbage":
          return Effect.sync(() => socket.write(fault.bytes))
        case "Reset":
          return Effect.sync(() => socket.resetAndDestroy())
        case "Close":
          return Effect.sync(() => socket.end())
        case "Stall":
          return Effect.void
      }
    }

    const server = Net.createServer({ noDelay: true }, (socket) => {
      const connection = ++accepted
      const splitter = JsonFrames.make(Number.MAX_SAFE_INTEGER)
      open.add(socket)
      socket.on("close", () => open.delete(socket))
      socket.on("error", () => socket.destroy())
      socket.on("data", (chunk) => {
        for (const frame of splitter.push(chunk).frames) {
          const value = "value" in frame ? frame.value : undefined
          if (isRequest(value)) {
            const request = { method: value.method, args: value.params[0], connection }
            requests.push(request)
            run(serve(socket, request, value.id))
          }
        }
      })
    })

    const listen = (port: number) =>
      Effect.async<void>((resume) => {
        const failed = (cause: Error) => resume(Effect.die(cause))
        server.once("error", failed)
        server.listen(port, host, () => {
          server.off("error", failed)
          resume(Effect.void)
        })
      })

    const close = Effect.async<void>((resume) => {
      open.forEach((socket) => socket.resetAndDestroy())
      return server.listening ? void server.close(() => resume(Effect.void)) : resume(Effect.void)
    })

    // a server that is about to listen cannot be closed: one at a time, and each to its end
    const semaphore = yield* Effect.makeSemaphore(1)
    const whole = (effect: Effect.Effect<void>) => Effect.uninterruptible(semaphore.withPermits(1)(effect))
    let closed = false
    const stop = whole(close)

    yield* Effect.acquireRelease(listen(0), () =>
      whole(Effect.suspend(() => {
        closed = true
        return close
      })))
    const bound = server.address()
    const port = Predicate.isObject(bound) && Predicate.hasProperty(bound, "port") ? bound.port as number : 0
    const start = whole(Effect.suspend(() => closed || server.listening ? Effect.void : listen(port)))

    return {
      address: { host, port },
      script: (...next) =>
        Effect.sync(() => {
          faults.push(...next)
        }),
      stop,
      start,
      restart: Effect.andThen(stop, start),
      requests: Effect.sync(() => requests.slice()),
      connections: Effect.sync(() => open.size)
    }
  })
}

const isRequest = Schema.is(Schema.Struct({
  method: Schema.String,
  params: Schema.Array(Schema.Unknown),
  id: Schema.Unknown
}))

const Operands = Schema.Struct({ A: Schema.Int, B: Schema.Int })

const operands = (args: unknown) => Effect.mapError(Schema.decodeUnknown(Operands)(args), (error) => error.message)

/**
 * The methods of the example in the documentation of Go's `net/rpc`: `Arith.Multiply` and `Arith.Divide`, on
 * `{ A: int, B: int }`.
 *
 * @since 0.1.0
 * @category methods
 */
export const arith: Readonly<Record<string, Method>> = {
  "Arith.Multiply": (args) => Effect.map(operands(args), ({ A, B }) => A * B),
  "Arith.Divide": (args) =>
    Effect.flatMap(
      operands(args),
      ({ A, B }) => B === 0 ? Effect.fail("divide by zero") : Effect.succeed({ Quo: Math.trunc(A / B), Rem: A % B })
    )
}
