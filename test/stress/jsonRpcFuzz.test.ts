/**
 * Whatever bytes a server answers with, each call has a value or a typed error: nothing is thrown, nobody is left out.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Random from "effect/Random"
import { isFatal, isRetryable } from "../../src/RpcError.js"
import type { Reply } from "../../src/transport/http/exchange.js"
import * as JsonRpc from "../../src/transport/jsonRpc/message.js"
import { turn } from "../support/eventually.js"
import { assert, describe, it } from "../support/vitest.js"

const rounds = 30_000

const seeds: ReadonlyArray<string> = [
  "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":[1,2,{\"b\":null}],\"text\":\"z\\u0142o\\\"\"}}",
  "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32601,\"message\":\"no such method\",\"data\":[1,{}]}}",
  "{\"id\":null,\"error\":{\"code\":-32700,\"message\":\"parse error\"}}",
  "{\"result\":null,\"error\":\"rpc: can't find service\",\"id\":1}",
  "[{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1},{\"id\":2,\"error\":{\"code\":5,\"message\":\"five\"}},{\"id\":3,\"result\":[]}]",
  "[]",
  "<html><head></head><body>Service unavailable</body></html>",
  "{\"id\":1,\"result\":" + "[".repeat(990) + "]".repeat(990) + "}",
  ""
]

/** Pieces that mean something to a reader of these messages. */
const pieces: ReadonlyArray<string> = [
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "\"",
  "\\",
  "null",
  "true",
  "1",
  "-1",
  "1e999",
  "\"id\":",
  "\"id\":1,",
  "\"result\":",
  "\"error\":",
  "\"error\":{},",
  "\"code\":",
  "\"message\":7,",
  "\"__proto__\":{\"result\":1},",
  "\\ud800",
  "\u0000",
  "<",
  "[".repeat(2000)
]

const statuses = [200, 200, 200, 200, 201, 204, 301, 400, 401, 404, 408, 429, 500, 503, 599]

const text = new TextEncoder()

const concat = (...parts: ReadonlyArray<Uint8Array>) => new Uint8Array(Buffer.concat(parts))

const mutate = (bytes: Uint8Array, next: (below: number) => number): Uint8Array => {
  const at = next(bytes.length + 1)
  const end = Math.min(bytes.length, at + next(20))
  const [head, middle, tail] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)]
  switch (next(6)) {
    case 0: {
      return concat(head, text.encode(pieces[next(pieces.length)]), middle, tail)
    }
    case 1: {
      return concat(head, tail)
    }
    case 2: {
      return head
    }
    case 3: {
      return concat(head, middle, middle, tail)
    }
    case 4: {
      return concat(head, new Uint8Array([next(256)]), bytes.subarray(Math.min(bytes.length, at + 1)))
    }
    default: {
      return concat(head, text.encode(seeds[next(seeds.length)]), tail)
    }
  }
}

const isTyped = (outcome: Either.Either<unknown, unknown>): boolean =>
  Either.isRight(outcome) || isRetryable(outcome.left) || isFatal(outcome.left)

const messageOf = (outcome: Either.Either<unknown, unknown>): string =>
  Either.isLeft(outcome) && isFatal(outcome.left) ? outcome.left.message : ""

describe("answers of JSON-RPC, fuzzed", () => {
  it.effect(`${rounds} mutated bodies each give a value or a typed error`, () =>
    Effect.gen(function*() {
      const random = Random.make("json-rpc")
      const run = Effect.runSync
      const next = (below: number) => below === 0 ? 0 : run(random.nextIntBetween(0, below))
      const ids = [1, 2, 3]
      const counts = { values: 0, errors: 0, found: 0 }
      let body: Uint8Array = text.encode(seeds[0])
      for (let i = 0; i < rounds; i++) {
        if (i % 1_000 === 0) {
          // the runner of the tests has to hear of this process now and then
          yield* turn
        }
        // some mutate what was mutated already, most start from a sound message
        body = mutate(next(3) === 0 && body.length < 100_000 ? body : text.encode(seeds[next(seeds.length)]), next)
        const reply: Reply = {
          status: statuses[next(statuses.length)]!,
          retryAfter: undefined,
          encoding: undefined,
          body: Either.right(body),
          limit: 4 * 1024 * 1024
        }
        const retryOn = ({ code }: JsonRpc.ErrorObject) => code === 5
        const one = JsonRpc.answer(reply, 1, retryOn)
        const many = JsonRpc.answers(reply, ids, retryOn)
        const none = JsonRpc.acknowledged(reply, retryOn)
        const all = [one, many, none, ...(Either.isRight(many) ? many.right.values() : [])]
        assert.isTrue(all.every(isTyped), `round ${i}`)
        assert.isTrue(all.every((outcome) => messageOf(outcome).length <= 1_100), `round ${i}`)
        if (Either.isRight(many)) {
          assert.deepStrictEqual(Array.from(many.right.keys()), ids)
          counts.found += Array.from(many.right.values()).filter(Either.isRight).length
        }
        counts[Either.isRight(one) ? "values" : "errors"]++
      }
      // the mutations are neither all harmless nor all fatal
      assert.isAbove(counts.values, 100)
      assert.isAbove(counts.found, 100)
      assert.isAbove(counts.errors, rounds / 2)
    }))
})
