/**
 * A real HTTP server of Node that speaks JSON-RPC, and misbehaves on cue.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type * as Net from "node:net"
import * as Loopback from "./loopback.js"

export interface Seen {
  readonly method: string | undefined
  readonly headers: Http.IncomingHttpHeaders
  readonly text: string
  /** Connections are counted from 1. */
  readonly connection: number
  /** Set when the client closed the connection before the answer was complete. */
  aborted: boolean
}

export type Step = (response: Http.ServerResponse, seen: Seen) => void

/** Answers with these bytes. */
export const respond =
  (status: number, body: string | Uint8Array = "", headers: Http.OutgoingHttpHeaders = {}): Step => (response) => {
    response.writeHead(status, headers).end(body)
  }

/** Answers with this value as JSON; made of the request where it is a function. */
export const json = (value: unknown, status = 200): Step => (response, seen) => {
  const body = typeof value === "function" ? (value as (request: unknown) => unknown)(JSON.parse(seen.text)) : value
  respond(status, JSON.stringify(body), { "content-type": "application/json" })(response, seen)
}

export const stall: Step = () => {}

export const reset: Step = (response) => {
  response.socket!.resetAndDestroy()
}

export const close: Step = (response) => {
  response.socket!.destroy()
}

/** Ends the connection in the middle of the body. */
export const cut = (announced: boolean): Step => (response) => {
  response.writeHead(200, announced ? { "content-length": 1000 } : {})
  response.write("{\"jsonrpc\":\"2.0\",", () => response.socket!.destroy())
}

interface Request {
  readonly id?: number
  readonly method: string
  readonly params: { readonly A: number; readonly B: number }
}

export const answerTo = ({ id, method, params }: Request): unknown =>
  method === "Arith.Multiply"
    ? { jsonrpc: "2.0", id, result: params.A * params.B }
    : { jsonrpc: "2.0", id, result: params ?? null }

const answer = json((request: Request | ReadonlyArray<Request>) =>
  Array.isArray(request) ? request.map(answerTo) : answerTo(request as Request)
)

/** What it does without a script: answers one request, or a batch; to a request without a body it says "ok". */
export const serve: Step = (response, seen) => (seen.text === "" ? respond(200, "ok") : answer)(response, seen)

export const make = Effect.gen(function*() {
  const seen: Array<Seen> = []
  const steps: Array<Step> = []
  const sockets = new Set<Net.Socket>()
  let connections = 0
  const numbers = new WeakMap<Net.Socket, number>()
  const server = Http.createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const one: Seen = {
        method: request.method,
        headers: request.headers,
        text: Buffer.concat(chunks).toString(),
        connection: numbers.get(request.socket)!,
        aborted: false
      }
      seen.push(one)
      response.on("close", () => {
        one.aborted = !response.writableFinished
      })
      const step = steps.shift() ?? serve
      step(response, one)
    })
  })
  server.on("connection", (socket) => {
    numbers.set(socket, ++connections)
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  const port = yield* Loopback.listen(server, () => server.closeAllConnections())
  return {
    port,
    url: `http://127.0.0.1:${port}/rpc`,
    /** All it has received, in order. */
    seen,
    requests: () => seen.map(({ text }) => JSON.parse(text) as Record<string, unknown>),
    /** What it does with the next requests; later ones it answers. */
    script: (...next: ReadonlyArray<Step>) => {
      steps.push(...next)
    },
    open: () => sockets.size,
    accepted: () => connections
  }
})

/** A port that nobody listens at. */
export const refusedPort = Effect.async<number>((resume) => {
  const server = Http.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as Net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})
