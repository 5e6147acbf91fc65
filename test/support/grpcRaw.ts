/**
 * A server of HTTP/2 that is no gRPC server: proxies, resets, and what no library would send.
 */
import * as Effect from "effect/Effect"
import * as Http2 from "node:http2"
import * as Loopback from "./loopback.js"

export type Step = (stream: Http2.ServerHttp2Stream, headers: Http2.IncomingHttpHeaders) => void

export const frame = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** A `StringValue`. */
export const text = (value: string): Buffer => {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes])
}

const grpcHead = { ":status": 200, "content-type": "application/grpc+proto" }

/** Answers, and ends with these trailers. */
export const answer = (
  trailers: Http2.OutgoingHttpHeaders = { "grpc-status": "0" },
  messages: ReadonlyArray<Uint8Array> = [text("raw")]
): Step =>
(stream) => {
  stream.respond(grpcHead, { waitForTrailers: true })
  stream.on("wantTrailers", () => stream.sendTrailers(trailers))
  stream.end(Buffer.concat(messages.map(frame)))
}

/** A status with nothing before it, as a server that fails at once sends it. */
export const trailersOnly = (trailers: Http2.OutgoingHttpHeaders): Step => (stream) =>
  stream.respond({ ...grpcHead, ...trailers }, { endStream: true })

/** What a proxy answers itself. */
export const http =
  (status: number, body: string | undefined, headers: Http2.OutgoingHttpHeaders = {}): Step => (stream) => {
    stream.respond({ ":status": status, "content-type": "text/html", ...headers }, { endStream: body === undefined })
    if (body !== undefined) {
      stream.end(body)
    }
  }

export const rst = (code: number): Step => (stream) => stream.close(code)

/** Breaks the connection. */
export const hangUp: Step = (stream) => stream.session!.destroy()

/** Takes one step for each request; then answers. */
export const make = Effect.gen(function*() {
  const steps: Array<Step> = []
  const seen: Array<Http2.IncomingHttpHeaders> = []
  const sessions = new Set<Http2.ServerHttp2Session>()
  const server = Http2.createServer()
  server.on("session", (session) => {
    sessions.add(session)
    session.on("close", () => sessions.delete(session))
    session.on("error", () => {})
  })
  server.on("stream", (stream, headers) => {
    seen.push(headers)
    stream.on("error", () => {})
    const step = steps.shift() ?? answer()
    step(stream, headers)
  })
  const port = yield* Loopback.listen(server, () => sessions.forEach((session) => session.destroy()))
  return {
    address: `127.0.0.1:${port}`,
    script: (...next: ReadonlyArray<Step>) => Effect.sync(() => void steps.push(...next)),
    seen: Effect.sync((): ReadonlyArray<Http2.IncomingHttpHeaders> => Array.from(seen))
  }
})
