/**
 * A real server of the library `thrift`, with the processor that the Thrift compiler generated, told what to do.
 */
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createRequire } from "node:module"
import type * as Net from "node:net"
import * as thrift from "thrift"
import type { Seen, Step, Subject } from "./contract.js"
import * as Loopback from "./loopback.js"
import type * as Probe from "./thriftGen/es5/Probe.js"
import type * as Types from "./thriftGen/es5/probe_types.js"

// with Node's own loader: the modules of vitest are others than those that these require of each other
const load = createRequire(import.meta.url)

/** As generated with `--gen js:node,ts`, and with `--gen js:node,ts,es6`. */
export const generated = {
  es5: load("./thriftGen/es5/Probe.js") as typeof Probe,
  es6: load("./thriftGen/es6/Probe.js") as typeof Probe,
  types: load("./thriftGen/es5/probe_types.js") as typeof Types
}

export interface Flavour {
  readonly transport: NonNullable<Thrift.Settings<unknown>["transport"]>
  readonly protocol: NonNullable<Thrift.Settings<unknown>["protocol"]>
}

type Callback<A> = (error: unknown, answer?: A) => void

/** What the types of `thrift` leave out. */
interface HeaderTransport extends thrift.TTransport {
  readonly getReadHeaders: () => Readonly<Record<string, string>>
  readonly clearReadHeaders: () => void
  readonly setProtocolId: (id: number) => void
}

const { THeaderProtocol, createMultiplexServer } = thrift as unknown as {
  readonly THeaderProtocol: typeof thrift.TBinaryProtocol
  readonly createMultiplexServer: (processor: object, options: object) => Net.Server
}

/** What the answer is to be, of a method that was given a text. */
export type Behaviour = (text: string, answer: Callback<string>, socket: Net.Socket) => void

export const busy = "busy: come again"

const behaviours: Readonly<Record<Step["_tag"], Behaviour>> = {
  Answer: (text, answer) => answer(null, text),
  Fatal: (_, answer) => answer(new Error("no")),
  Retryable: (_, answer) => answer(new Error(busy)),
  Hint: (_, answer) => answer(new Error("there are no hints")),
  Stall: () => {},
  Reset: (_text, _answer, socket) => socket.resetAndDestroy(),
  Domain: (text, answer) => answer(new generated.types.Missing({ text, code: 404 }))
}

export const makeServer = (flavour: Flavour, options: { readonly multiplexed?: boolean } = {}) =>
  Effect.gen(function*() {
    const seen: Array<Seen & { readonly connection: number }> = []
    const told: Array<string> = []
    const steps: Array<Behaviour> = []
    const sockets = new Map<Net.Socket, number>()
    let connections = 0
    let current: Net.Socket
    let headers: Readonly<Record<string, string>> = {}

    const respond = (text: string, answer: Callback<string>) => {
      const cancelled = Effect.runSync(Deferred.make<void>())
      const socket = current
      // one listener for each request on it
      socket.setMaxListeners(0)
      socket.once("close", () => Effect.runSync(Deferred.succeed(cancelled, undefined)))
      const number = (name: string) => headers[name] === undefined ? undefined : Number(headers[name])
      seen.push({
        text,
        previousAttempts: number("x-retry-attempt") ?? 0,
        idempotencyKey: headers["idempotency-key"],
        remaining: number("client_timeout"),
        cancelled: Deferred.await(cancelled),
        connection: sockets.get(socket)!
      })
      const behaviour = steps.shift() ?? behaviours.Answer
      behaviour(text, answer, socket)
    }
    const processor = new generated.es5.Processor({
      version: (answer: Callback<string>) => answer(null, "1"),
      echo: respond,
      once: respond,
      item: (item: Types.Item, answer: Callback<Types.Item>) => answer(null, item),
      nothing: (answer: Callback<void>) => answer(null),
      tell: (text: string) => {
        told.push(text)
      }
    })
    const withHeaders = {
      process: (input: thrift.TProtocol, output: thrift.TProtocol) => {
        const transport = input.getTransport() as HeaderTransport
        if (flavour.transport === "header" && flavour.protocol === "compact") {
          transport.setProtocolId(2)
        }
        const begin = input.readMessageBegin.bind(input)
        input.readMessageBegin = () => {
          const message = begin()
          headers = { ...transport.getReadHeaders() }
          // the library never does, so they would be those of the next request too
          transport.clearReadHeaders()
          return message
        }
        processor.process(input, output)
      }
    }
    const Multiplexed = thrift.MultiplexedProcessor as unknown as new() => {
      registerProcessor: (name: string, processor: object) => void
    }
    const multiplexed = new Multiplexed()
    multiplexed.registerProcessor("Probe", processor)
    const create = () => {
      const server = createMultiplexServer(options.multiplexed === true ? multiplexed : withHeaders, {
        transport: flavour.transport === "framed" ? thrift.TFramedTransport : thrift.TBufferedTransport,
        protocol: flavour.transport === "header"
          ? THeaderProtocol
          : flavour.protocol === "binary"
          ? thrift.TBinaryProtocol
          : thrift.TCompactProtocol
      })
      server.on("error", () => {})
      server.on("connection", (socket) => {
        sockets.set(socket, ++connections)
        socket.on("error", () => {})
        socket.on("close", () => sockets.delete(socket))
        // before the library, which calls the handler at once
        socket.prependListener("data", () => {
          current = socket
        })
      })
      return server
    }
    let server = create()
    const hangUp = () => sockets.forEach((_, socket) => socket.destroy())
    const port = yield* Loopback.listen(server, hangUp)
    const stop = Effect.async<void>((resume) => {
      server.close(() => resume(Effect.void))
      hangUp()
    })
    const start = Effect.async<void>((resume) => {
      server = create().listen(port, "127.0.0.1", () => resume(Effect.void))
    })
    yield* Effect.addFinalizer(() => stop)
    return {
      port,
      seen,
      told,
      script: (...next: ReadonlyArray<Step["_tag"] | Behaviour>) =>
        Effect.sync(() => {
          steps.push(...next.map((step) => typeof step === "string" ? behaviours[step] : step))
        }),
      stop,
      start,
      /** Closes the connection of this number. */
      hangUp: (connection: number) =>
        sockets.forEach((number, socket) => {
          if (number === connection) {
            socket.destroy()
          }
        }),
      /** How many connections are open. */
      open: () => sockets.size,
      accepted: () => connections
    }
  })

/** For the suite: a client and its server. */
export const subject = (
  flavour: Flavour,
  Client: new(output: never, protocol: never) => Probe.Client = generated.es5.Client
): Effect.Effect<Subject<Types.Missing | Types.Refused>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const server = yield* makeServer(flavour)
    const probe = yield* Thrift.make({
      service: "Probe",
      client: Client,
      host: "127.0.0.1",
      port: server.port,
      ...flavour,
      methods: { once: { idempotent: false } },
      retryOn: ({ message }) => message === busy
    })
    return {
      echo: (text, options) => options?.idempotent === false ? probe.once(text) : probe.echo(text),
      script: (...steps) => server.script(...steps.map(({ _tag }) => _tag)),
      seen: Effect.sync(() => server.seen),
      restart: Effect.zipRight(server.stop, server.start)
    }
  })
