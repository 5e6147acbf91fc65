/**
 * What `fetch` fails with on other runtimes than Node, as they were seen to: Deno 2.9.6 and Bun 1.4.5, on Linux.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type { Fatal, Retryable } from "effect-rpc-retry"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import { assert, describe, it } from "../../support/vitest.js"

const url = "http://127.0.0.1:33259/p?key=hidden"

const summary = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery, error.code] : [error._tag, error.reason, error.code]

/** What becomes of a call whose `fetch` fails so. */
const becomes = (failure: unknown) =>
  Effect.gen(function*() {
    const rpc = yield* JsonRpc.make({ url })
    const client = yield* HttpClient.HttpClient
    const error = yield* Effect.flip(rpc.call("A.B", {}))
    const get = HttpRpc.call(client, HttpClientRequest.get(url)).pipe(
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
    )
    assert.deepStrictEqual(summary(yield* Effect.flip(get)), summary(error))
    assert.notInclude(error.message, "hidden")
    return summary(error)
  }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.provideService(FetchHttpClient.Fetch, () => Promise.reject(failure))
  )

describe("fetch of Deno 2.9.6", () => {
  const failed = (message: string) => new TypeError("fetch failed", { cause: new Error(message) })
  const connecting = (message: string) =>
    failed(`error sending request for url (${url}): client error (Connect): ${message}`)
  const sending = (message: string) =>
    failed(
      `error sending request from 127.0.0.1:43138 for ${url} (127.0.0.1:33259): client error (SendRequest): ${message}`
    )
  const cases: ReadonlyArray<[name: string, failure: unknown, expected: ReadonlyArray<unknown>]> = [
    [
      "a refused connection",
      connecting("tcp connect error: Connection refused (os error 111)"),
      ["ConnectionRefused", "NotSent", "ECONNREFUSED"]
    ],
    [
      "a name that does not resolve",
      connecting("dns error: failed to lookup address information: Name or service not known"),
      ["Unavailable", "NotSent", "ENOTFOUND"]
    ],
    ["a TLS handshake that is closed", connecting("tls handshake eof"), ["ConnectionLost", "NotSent", "ECONNRESET"]],
    [
      "a TLS handshake that is reset",
      connecting("Connection reset by peer (os error 104)"),
      ["ConnectionLost", "NotSent", "ECONNRESET"]
    ],
    [
      "https to a plain port",
      connecting("received corrupt message of type InvalidContentType"),
      ["Unavailable", "NotSent", "CONNECT"]
    ],
    [
      "a certificate that does not verify",
      connecting("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"),
      ["Fatal", "Protocol", undefined]
    ],
    [
      "a connection that is closed before the answer",
      sending("connection closed before message completed"),
      ["ConnectionLost", "Unknown", "ECONNRESET"]
    ],
    [
      "a connection that is reset before the answer",
      failed("Connection reset by peer (os error 104)"),
      ["ConnectionLost", "Unknown", "ECONNRESET"]
    ],
    ["a peer that speaks no HTTP", sending("invalid HTTP version parsed"), ["Fatal", "Protocol", undefined]],
    [
      "a body that is cut off",
      new TypeError("error reading a body from connection"),
      ["ConnectionLost", "Unknown", "ECONNRESET"]
    ],
    ["another failure", new TypeError("Requests to port 9 are blocked"), ["Fatal", "Custom", undefined]]
  ]
  for (const [name, failure, expected] of cases) {
    it.effect(`${name}: ${expected.join(" ")}`, () =>
      Effect.map(becomes(failure), (is) => assert.deepStrictEqual(is, expected)))
  }
})

describe("fetch of Bun 1.4.5", () => {
  const failed = (code: string, message: string, fields: object = {}) =>
    Object.assign(new TypeError(message), { code, path: url, errno: 0, ...fields })
  const cases: ReadonlyArray<[name: string, failure: unknown, expected: ReadonlyArray<unknown>]> = [
    [
      "a refused connection",
      failed("ECONNREFUSED", "ECONNREFUSED: Unable to connect. Is the computer able to access the url?"),
      ["ConnectionRefused", "NotSent", "ECONNREFUSED"]
    ],
    [
      "a name that does not resolve",
      failed("ENOTFOUND", "getaddrinfo ENOTFOUND no-such-host.invalid", { syscall: "getaddrinfo" }),
      ["Unavailable", "NotSent", "ENOTFOUND"]
    ],
    [
      "a lost connection",
      failed("ECONNRESET", "ECONNRESET: The socket connection was closed unexpectedly."),
      ["ConnectionLost", "Unknown", "ECONNRESET"]
    ],
    [
      "https to a plain port",
      failed("EPROTO", "EPROTO: The TLS handshake failed. Does the server speak TLS on this port?"),
      ["Unavailable", "NotSent", "EPROTO"]
    ],
    [
      "a peer that speaks no HTTP",
      failed("Malformed_HTTP_Response", `Malformed_HTTP_Response fetching "${url}".`),
      ["Fatal", "Protocol", "Malformed_HTTP_Response"]
    ],
    [
      "a certificate that does not verify",
      failed("DEPTH_ZERO_SELF_SIGNED_CERT", "self signed certificate"),
      ["Fatal", "Protocol", "DEPTH_ZERO_SELF_SIGNED_CERT"]
    ]
  ]
  for (const [name, failure, expected] of cases) {
    it.effect(`${name}: ${expected.join(" ")}`, () =>
      Effect.map(becomes(failure), (is) => assert.deepStrictEqual(is, expected)))
  }
})
