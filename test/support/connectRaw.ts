/**
 * Peers that are no Connect servers: a proxy with a page of HTML, a stream that is reset.
 */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import { isHttp1, type Kind } from "./connectServer.js"
import * as Loopback from "./loopback.js"

const listen = (server: Net.Server) =>
  Effect.suspend(() => {
    const sockets = new Set<Net.Socket>()
    server.on("connection", (socket: Net.Socket) => {
      sockets.add(socket)
      socket.on("close", () => sockets.delete(socket))
    })
    return Loopback.listen(server, () => sockets.forEach((socket) => socket.destroy()))
  })

export interface Page {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

const html: Page["headers"] = { "content-type": "text/html" }

/** Gives each request the next page, and the last one again; counts them. */
export const proxy = (kind: Kind, ...pages: ReadonlyArray<Page>) =>
  Effect.gen(function*() {
    let requests = 0
    const onRequest = (
      request: Http.IncomingMessage | Http2.Http2ServerRequest,
      response: Http.ServerResponse | Http2.Http2ServerResponse
    ) => {
      const { body = "<html>come back later</html>", headers = html, status } =
        pages[Math.min(requests++, pages.length - 1)]!
      request.resume()
      response.writeHead(status, headers)
      response.end(body)
    }
    const port = yield* listen(isHttp1(kind) ? Http.createServer(onRequest) : Http2.createServer(onRequest))
    return { port, requests: () => requests }
  })

/** Does so with each stream of HTTP/2. */
export const http2 = (onStream: (stream: Http2.ServerHttp2Stream) => void) =>
  Effect.gen(function*() {
    let requests = 0
    const server = Http2.createServer()
    server.on("sessionError", () => {})
    server.on("stream", (stream) => {
      requests++
      stream.on("error", () => {})
      stream.resume()
      onStream(stream)
    })
    return { port: yield* listen(server), requests: () => requests }
  })

/** Ends the connection of a stream with an error code of HTTP/2, which the types of Node have forgotten. */
export const destroy = (stream: Http2.ServerHttp2Stream, code: number): void => {
  const session = stream.session as unknown as { readonly destroy: (code: number) => void }
  session.destroy(code)
}

/** Resets a stream at once, where `close` would end it first: Node does so only itself. */
export const reset = (stream: Http2.ServerHttp2Stream, code: number): void => {
  const key = Object.getOwnPropertySymbols(stream).find(({ description }) => description === "kHandle")!
  const fields = stream as unknown as Record<symbol, { readonly rstStream: (code: number) => void }>
  fields[key]!.rstStream(code)
}

/** Says so to whoever connects. */
export const says = (text: string) =>
  Effect.gen(function*() {
    const { createServer } = yield* Effect.promise(() => import("node:net"))
    return yield* listen(createServer((socket) => {
      socket.on("error", () => {})
      socket.end(text)
    }))
  })
