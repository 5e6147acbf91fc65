/**
 * Classifies failures of Deno's `fetch`. They have no codes, only the messages of its HTTP library, hyper.
 *
 * @internal
 */
import * as Option from "effect/Option"
import type * as Classify from "../../Classify.js"
import { Fatal, Retryable } from "../../RpcError.js"

/** Matches a failure of the client. Blanks in a URL are encoded, so that a URL cannot match. */
const clientError = /^error sending request .*client error \((\w+)\): ([^]+)$/

/** Returns whether a text has the error number for a reset on Linux, macOS or Windows. */
const isReset = (text: string): boolean => /\(os error (104|54|10054)\)/.test(text)

const isRefused = (text: string): boolean => /\(os error (111|61|10061)\)/.test(text)

/** Classifies a failure of a dial. */
const ofConnect = (text: string, cause: unknown): Retryable | Fatal => {
  if (text.startsWith("invalid peer certificate")) {
    return new Fatal({ reason: "Protocol", message: "the certificate of the peer does not verify", cause })
  }
  const because = isRefused(text)
    ? { reason: "ConnectionRefused", code: "ECONNREFUSED" } as const
    : text.startsWith("dns error")
    ? { reason: "Unavailable", code: "ENOTFOUND" } as const
    : isReset(text) || text === "tls handshake eof"
    ? { reason: "ConnectionLost", code: "ECONNRESET" } as const
    : { reason: "Unavailable", code: "CONNECT" } as const
  return new Retryable({ ...because, delivery: "NotSent", cause })
}

const lost = (cause: unknown) =>
  new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "ECONNRESET", cause })

/**
 * Classifies a failure by one message in its chain of causes.
 *
 * - `message`: the message of an error in the chain.
 *
 * @internal
 */
export const fromMessage = (message: string, failure: unknown): ReturnType<Classify.Rule> => {
  const [, stage, text = ""] = clientError.exec(message) ?? []
  if (stage === "Connect") {
    return Option.some(ofConnect(text, failure))
  }
  if (stage === "SendRequest" && /^invalid HTTP|parse/.test(text)) {
    return Option.some(new Fatal({ reason: "Protocol", message: "the peer does not speak HTTP", cause: failure }))
  }
  return stage !== undefined || message === "error reading a body from connection" ||
      message.startsWith("Connection reset by peer (")
    ? Option.some(lost(failure))
    : Option.none()
}
