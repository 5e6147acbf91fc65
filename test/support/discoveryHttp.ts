/** What tests of discovery over HTTP share: a server in memory and one at a port, and what they both note. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import * as Loopback from "./loopback.js"

/** Where the token of a test is. */
export const tokenFile = "/run/token"

/** A file system whose files are read from an object. */
export const files = (contents: Record<string, string>) =>
  FileSystem.layerNoop({
    readFileString: (path) => Effect.succeed(contents[path] ?? "")
  })

export interface Asked {
  readonly path: string
  readonly params: URLSearchParams
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
  readonly body: string
  /** Set when the client gave the request up, or has read its answer. */
  isOver: boolean
}

/** Answers a request; the answer may be a stream that goes on. */
export type Handler = (asked: Asked) => Promise<Response> | Response

const noted = (url: URL, headers: Asked["headers"], body: string): Asked => ({
  path: url.pathname,
  params: url.searchParams,
  headers,
  body,
  isOver: false
})

/** An `HttpClient` that asks a handler, and no network. A handler that throws is a connection that is refused. */
export const memory = (handler: { handle: Handler }) => {
  const seen: Array<Asked> = []
  const client = HttpClient.make((request, url, signal) => {
    const body = request.body._tag === "Uint8Array" ? new TextDecoder().decode(request.body.body) : ""
    const asked = noted(url, request.headers, body)
    seen.push(asked)
    signal.addEventListener("abort", () => {
      asked.isOver = true
    })
    return Effect.map(
      Effect.tryPromise({
        try: async () => handler.handle(asked),
        catch: (cause) => new HttpClientError.RequestError({ request, reason: "Transport", cause })
      }),
      (response) => HttpClientResponse.fromWeb(request, response)
    )
  })
  return { seen, layer: Layer.succeed(HttpClient.HttpClient, client) }
}

/** A handler at a port of this machine, and `fetch` for it. */
export const served = (handler: { handle: Handler }) =>
  Effect.gen(function*() {
    const seen: Array<Asked> = []
    const server = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const url = new URL(request.url!, "http://127.0.0.1")
        const asked = noted(url, request.headers, Buffer.concat(chunks).toString())
        seen.push(asked)
        response.on("close", () => {
          asked.isOver = true
        })
        void Promise.resolve(handler.handle(asked)).then(async (answer) => {
          response.writeHead(answer.status, Object.fromEntries(answer.headers))
          response.flushHeaders()
          await answer.body?.pipeTo(
            new WritableStream({
              write: async (part: Uint8Array) => {
                response.write(part)
                // a chunk on the wire for each
                await new Promise((resolve) => setImmediate(resolve))
              }
            })
          )
          response.end()
        }).catch(() => response.destroy())
      })
    })
    const port = yield* Loopback.listen(server, () => server.closeAllConnections())
    return { seen, url: `http://127.0.0.1:${port}`, layer: FetchHttpClient.layer }
  })

/** A body that is written piece by piece, and ends when it is told. */
export const body = () => {
  const encoder = new TextEncoder()
  let controller!: ReadableStreamDefaultController<Uint8Array>
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given
    }
  })
  return {
    stream,
    write: (bytes: string | Uint8Array) =>
      controller.enqueue(typeof bytes === "string" ? encoder.encode(bytes) : bytes),
    /** Each byte in a chunk of its own: lines and characters are split in the middle. */
    drip: (text: string) => encoder.encode(text).forEach((byte) => controller.enqueue(Uint8Array.of(byte))),
    end: () => controller.close(),
    cut: () => controller.error(new Error("cut"))
  }
}

export const json = (value: unknown, headers: Record<string, string> = {}, status = 200): Response =>
  new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } })
