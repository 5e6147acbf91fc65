/**
 * An HTTP server of Node that gives back the text it is sent, and does what the contract of an adapter asks of a server.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Http from "node:http"
import type * as Net from "node:net"
import type { Seen, Step } from "./contract.js"

const once = (listen: (done: () => void) => void) => Effect.async<void>((resume) => listen(() => resume(Effect.void)))

const numberOf = (header: string | ReadonlyArray<string> | undefined): number | undefined =>
  header === undefined ? undefined : Number(header)

const carryOut = (step: Step, text: string, response: Http.ServerResponse): void => {
  switch (step._tag) {
    case "Answer":
      response.writeHead(200, { "content-type": "text/plain" }).end(text)
      return
    case "Fatal":
      response.writeHead(403, { "content-type": "text/plain" }).end("not you")
      return
    case "Domain":
      response.writeHead(200, { "x-no-such-text": text.length }).end()
      return
    case "Retryable":
      response.writeHead(503, { "content-type": "text/html" }).end("<h1>busy</h1>")
      return
    case "Hint":
      response.writeHead(503, { "retry-after": step.delay === "Never" ? "no" : String(step.delay / 1000) }).end()
      return
    case "Reset":
      response.socket!.resetAndDestroy()
      return
    case "Stall":
      return
  }
}

/** How a text is written in a request and in its answer. */
export interface Format {
  readonly read: (body: string) => string
  readonly write: (text: string, body: string) => string
}

const plain: Format = { read: (body) => body, write: (text) => text }

export const make = (format: Format = plain) =>
  Effect.gen(function*() {
    const seen: Array<Seen> = []
    const steps: Array<Step> = []
    const server = Http.createServer((request, response) => {
      const chunks: Array<Buffer> = []
      request.on("data", (chunk: Buffer) => chunks.push(chunk))
      request.on("end", () => {
        const cancelled = Deferred.unsafeMake<void>(FiberId.none)
        const body = Buffer.concat(chunks).toString()
        const text = format.read(body)
        response.on("close", () => {
          if (!response.writableFinished) {
            Deferred.unsafeDone(cancelled, Effect.void)
          }
        })
        seen.push({
          text,
          previousAttempts: numberOf(request.headers["x-retry-attempt"]) ?? 0,
          idempotencyKey: request.headers["idempotency-key"] as string | undefined,
          remaining: numberOf(request.headers["x-envoy-expected-rq-timeout-ms"]),
          cancelled: Deferred.await(cancelled)
        })
        carryOut(steps.shift() ?? { _tag: "Answer" }, format.write(text, body), response)
      })
    })
    const start = (port: number) => once((done) => server.listen(port, "127.0.0.1", done))
    const stop = once((done) => {
      server.close(() => done())
      server.closeAllConnections()
    })
    yield* Effect.acquireRelease(start(0), () => stop)
    const { port } = server.address() as Net.AddressInfo
    return {
      url: `http://127.0.0.1:${port}`,
      script: (...next: ReadonlyArray<Step>) => Effect.sync(() => void steps.push(...next)),
      seen: Effect.sync(() => seen.slice()),
      restart: Effect.zipRight(stop, start(port))
    }
  })
