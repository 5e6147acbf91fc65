/**
 * The HTTP CONNECT handshake with which a Go server starts to speak `net/rpc` (`rpc.HandleHTTP`).
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Net from "node:net"
import * as Excerpt from "../../internal/errors/excerpt.js"
import { Fatal, Retryable } from "../../RpcError.js"
import { Inbox } from "./inbox.js"

/** The longest answer to CONNECT that is read, in bytes: more than any server sends before it speaks `net/rpc`. */
const maxAnswer = 8_192

/** The status line of `net/http/rpc`, which Go's own client looks for too. */
const connected = /^HTTP\/1\.[01] 200 Connected to Go RPC\r?$/

/** Statuses of a proxy that has no server at the moment. */
const busy = new Set(["429", "502", "503", "504"])

const refusal = (answer: string): Retryable | Fatal => {
  const [line = ""] = answer.split(/\r?\n/)
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1]
  return status !== undefined && busy.has(status)
    ? new Retryable({ reason: "Unavailable", delivery: "NotSent", code: status })
    : new Fatal({
      reason: "Protocol",
      code: status,
      message: `the peer does not speak net/rpc over HTTP there: it answered CONNECT with ${
        status === undefined ? "what is not HTTP" : `status ${status}`
      }`,
      cause: Excerpt.of(line)
    })
}

const lost = () => new Retryable({ reason: "ConnectionLost", delivery: "NotSent", code: "EOF" })

/** Returns whether a text is the beginning of an HTTP answer that may succeed. */
const isBeginning = (text: string) =>
  /^HTTP\/1\.[01] 2/.test(text) || "HTTP/1.0 ".startsWith(text) || "HTTP/1.1 ".startsWith(text)

/**
 * Judges the answer so far: where it ends when the server agreed, an error when it refused, `undefined` when more is
 * needed. It does not wait for a peer whose first line is not HTTP.
 */
const verdict = (answer: string, hasEnded: boolean): { readonly end: number } | Retryable | Fatal | undefined => {
  const line = answer.includes("\n") ? answer.slice(0, answer.indexOf("\n")) : undefined
  if (line !== undefined && connected.test(line)) {
    const end = /\r?\n\r?\n/.exec(answer)
    if (end !== null) {
      return { end: end.index + end[0].length }
    }
  } else if (line !== undefined || (hasEnded && !isBeginning(answer))) {
    return refusal(answer)
  }
  return hasEnded ? lost() : answer.length > maxAnswer ? refusal(answer) : undefined
}

/** Completes when the peer has agreed. Bytes after its answer stay in the socket. @internal */
export const handshake = (socket: Net.Socket, path: string): Effect.Effect<void, Retryable | Fatal> =>
  Effect.async((resume) => {
    const inbox = new Inbox()
    // do not use "data": bytes after the answer must stay for the next reader
    const onReadable = () => {
      for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
        inbox.push(chunk)
      }
      judge(false)
    }
    const onEnd = () => judge(true)
    const judge = (hasEnded: boolean) => {
      const result = verdict(Buffer.from(inbox.peek()).toString("latin1"), hasEnded)
      if (result !== undefined) {
        stop()
        if ("end" in result) {
          socket.unshift(inbox.peek().slice(result.end))
        }
        resume("end" in result ? Effect.void : Effect.fail(result))
      }
    }
    const stop = () => {
      socket.off("readable", onReadable)
      socket.off("end", onEnd)
      socket.off("close", onEnd)
    }
    socket.on("readable", onReadable)
    socket.on("end", onEnd)
    socket.on("close", onEnd)
    socket.write(`CONNECT ${path} HTTP/1.0\r\n\r\n`)
    return Effect.sync(stop)
  })
