/**
 * Batches of `JsonRpc`: every call stays a call of its own.
 */
import { Fatal, type RpcError, withRpcRetry } from "effect-rpc-retry"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { eventually, settle, turns } from "../../support/eventually.js"
import * as HttpServer from "../../support/httpServer.js"
import { assert, describe, it } from "../../support/vitest.js"
import * as Watch from "../../support/watch.js"

interface Request {
  readonly id: number
  readonly params: { readonly A: number; readonly B: number }
}

const setup = (batch: JsonRpc.Batch, options: Omit<JsonRpc.Options, "url" | "batch"> = {}) =>
  Effect.gen(function*() {
    const server = yield* HttpServer.make
    const rpc = yield* JsonRpc.make({ url: server.url, batch, ...options })
    return { server, rpc, multiply: (A: number, B = 10) => rpc.call("Arith.Multiply", { A, B }) }
  })

const pooled = Effect.provide(HttpPool.layer())

const all = <const T extends ReadonlyArray<Effect.Effect<unknown, unknown>>>(calls: T) =>
  Effect.all(calls, { concurrency: "unbounded" })

const range = (length: number) => Array.from({ length }, (_, i) => i)

const summary = (error: RpcError.RpcError) =>
  error._tag === "Fatal" ? [error.reason, error.message, error.method] : [error._tag, error.reason]

const sizes = (server: { readonly requests: () => ReadonlyArray<unknown> }) =>
  server.requests().map((request) => Array.isArray(request) ? request.length : 1)

const answers = (f: (requests: ReadonlyArray<Request>) => unknown) => HttpServer.json(f)

const right = ({ id, params }: Request) => ({ jsonrpc: "2.0", id, result: params.A * params.B })

describe("JsonRpc in batches", () => {
  it.scopedLive("calls at the same time go out together, calls later do not", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 100, window: "10 millis" })
      assert.deepStrictEqual(yield* all(range(20).map((i) => multiply(i))), range(20).map((i) => i * 10))
      assert.deepStrictEqual(sizes(server), [20])
      assert.strictEqual(yield* multiply(6, 7), 42)
      assert.deepStrictEqual(yield* all([multiply(1), multiply(2)]), [10, 20])
      assert.deepStrictEqual(sizes(server), [20, 1, 2])
      assert.isFalse(Array.isArray(server.requests()[1]))
    }).pipe(pooled))

  it.scopedLive("no batch is larger than maxCalls, and a full one does not wait", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 8, window: "1 hour" })
      assert.deepStrictEqual(yield* all(range(24).map((i) => multiply(i))), range(24).map((i) => i * 10))
      assert.deepStrictEqual(sizes(server), [8, 8, 8])
    }).pipe(pooled))

  it.scopedLive("a window of zero takes what is called in one go", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 100, window: 0 })
      yield* all(range(5).map((i) => multiply(i)))
      assert.deepStrictEqual(sizes(server), [5])
    }).pipe(pooled))

  it.scopedLive("each gets its own answer, whatever the order, or its own error", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 100, window: "5 millis" })
      server.script(answers((requests) => [
        { id: "unknown", result: 1 },
        { id: 999, result: 1 },
        ...requests.toReversed().map((request) =>
          request.params.A === 3
            ? { id: request.id, error: { code: -32602, message: "no threes" } }
            : request.params.A === 5
            ? { id: request.id }
            : right(request)
        ),
        { id: requests[0]!.id, result: "a second answer" },
        7,
        null
      ]))
      const exits = yield* all(range(7).map((i) => Effect.either(multiply(i))))
      assert.deepStrictEqual(
        exits.map((exit) => exit._tag === "Right" ? exit.right : summary(exit.left)),
        [
          0,
          10,
          20,
          ["InvalidArgument", "no threes", "Arith.Multiply"],
          40,
          ["Protocol", "an answer without a result or an error", "Arith.Multiply"],
          60
        ]
      )
    }).pipe(pooled))

  it.scopedLive("a call that the answers leave out is Fatal, and only that one", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 100, window: "5 millis" })
      const stray = { id: null, error: { code: -32600, message: "invalid request" } }
      server.script(answers((requests) => [right(requests[0]!), stray, right(requests[2]!)]))
      const [first, second, third] = yield* all([multiply(1), Effect.flip(multiply(2).pipe(withRpcRetry)), multiply(3)])
      assert.deepStrictEqual([first, third], [10, 30])
      assert.instanceOf(second, Fatal)
      assert.deepStrictEqual(summary(second), ["InvalidArgument", "invalid request", "Arith.Multiply"])
      assert.deepStrictEqual([second.code, second.cause], [-32600, stray.error])
      server.script(answers((requests) => [right(requests[0]!), right(requests[2]!)]))
      const [, left] = yield* all([multiply(1), Effect.flip(multiply(2).pipe(withRpcRetry)), multiply(3)])
      assert.deepStrictEqual(summary(left), [
        "Protocol",
        "no answer to this call in that to its batch",
        "Arith.Multiply"
      ])
    }).pipe(pooled))

  it.scopedLive("a batch that is refused by one error in an array is refused to each call, by its code", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 3, window: "1 hour" })
      const error = { code: -32600, message: "batch too large", data: { limit: 2 } }
      for (const status of [200, 400]) {
        server.script(HttpServer.json([{ jsonrpc: "2.0", id: null, error }], status))
        for (const failure of yield* all(range(3).map((i) => Effect.flip(multiply(i))))) {
          assert.deepStrictEqual(summary(failure), ["InvalidArgument", "batch too large", "Arith.Multiply"])
          assert.deepStrictEqual(failure._tag === "Fatal" && [failure.code, failure.cause], [-32600, error])
        }
      }
    }).pipe(pooled))

  it.scopedLive("a batch that is refused for now is retried where retryOn says so", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 3, window: "1 hour" }, { retryOn: [-32005] })
      server.script(HttpServer.json([{ jsonrpc: "2.0", id: null, error: { code: -32005, message: "limit exceeded" } }]))
      const calls = range(3).map((i) => multiply(i).pipe(withRpcRetry({ schedule: Schedule.recurs(1) })))
      assert.deepStrictEqual(yield* all(calls), [0, 10, 20])
      assert.deepStrictEqual(sizes(server), [3, 3])
    }).pipe(pooled))

  it.scopedLive("errors without an id are those of the calls without an answer, in their order", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 4, window: "1 hour" })
      const error = (code: number) => ({ id: null, error: { code, message: String(code) } })
      server.script(answers((requests) => [error(-32600), right(requests[1]!), error(-32601)]))
      const exits = yield* all(range(4).map((i) => Effect.either(multiply(i))))
      assert.deepStrictEqual(
        exits.map((exit) => exit._tag === "Right" ? exit.right : exit.left._tag === "Fatal" && exit.left.code),
        [-32600, 10, -32601, -32601]
      )
    }).pipe(pooled))

  it.scopedLive("what is no batch of answers is the error of every call, and nothing hangs", () =>
    Effect.gen(function*() {
      const cases: ReadonlyArray<[step: HttpServer.Step, expected: ReadonlyArray<unknown>]> = [
        [HttpServer.respond(200, "[]"), ["Protocol", "no answer to this call in that to its batch"]],
        [HttpServer.respond(200, "[[]]"), ["Protocol", "no answer to this call in that to its batch"]],
        [HttpServer.respond(200, "{}"), ["Protocol", "an object as the answer to a batch"]],
        [HttpServer.respond(200, "{\"id\":1,\"result\":1}"), ["Protocol", "an object as the answer to a batch"]],
        [HttpServer.respond(200, "null"), ["Protocol", "null as the answer to a batch"]],
        [HttpServer.respond(200), ["Protocol", "the answer is an empty body"]],
        [HttpServer.json({ id: null, error: { code: -32600, message: "no batches" } }), [
          "InvalidArgument",
          "no batches"
        ]],
        [HttpServer.respond(404), ["NotFound", "HTTP 404: an empty body"]],
        [HttpServer.respond(500, "[]"), ["ServerError", "HTTP 500: a body of 2 bytes"]],
        [HttpServer.respond(503, "<html>"), ["Retryable", "Unavailable"]],
        [HttpServer.reset, ["Retryable", "ConnectionLost"]]
      ]
      for (const [step, expected] of cases) {
        const { multiply, server } = yield* setup({ maxCalls: 3, window: "1 hour" })
        server.script(step)
        const errors = yield* all(range(3).map((i) => Effect.flip(multiply(i))))
        errors.forEach((error) => assert.deepStrictEqual(summary(error).slice(0, 2), expected))
        assert.deepStrictEqual(errors.map(({ method }) => method), range(3).map(() => "Arith.Multiply"))
        assert.deepStrictEqual(yield* all(range(3).map((i) => multiply(i))), [0, 10, 20])
      }
    }).pipe(pooled))

  it.scopedLive("a batch that failed is retried by its calls, as a batch again", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 4, window: "1 hour" })
      server.script(HttpServer.reset, HttpServer.respond(503))
      const calls = range(4).map((i) => multiply(i).pipe(withRpcRetry({ schedule: Schedule.recurs(3) })))
      assert.deepStrictEqual(yield* all(calls), [0, 10, 20, 30])
      assert.deepStrictEqual(sizes(server), [4, 4, 4])
    }).pipe(pooled))

  it.scopedLive("interrupted before the batch goes, a call is not in it; after that the others go on", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 4, window: "1 hour" })
      const gone = yield* Effect.fork(multiply(99))
      const first = yield* Effect.fork(multiply(1))
      yield* turns(20)
      yield* Fiber.interrupt(gone)
      let answer = () => {}
      server.script((response, seen) => {
        answer = () => HttpServer.serve(response, seen)
      })
      const rest = yield* Effect.fork(all([multiply(2), multiply(3)]))
      const late = yield* Effect.fork(multiply(4))
      yield* eventually(() => server.seen.length === 1)
      yield* Fiber.interrupt(late)
      answer()
      assert.deepStrictEqual([yield* Fiber.join(first), ...(yield* Fiber.join(rest))], [10, 20, 30])
      assert.sameMembers(
        (server.requests()[0] as unknown as ReadonlyArray<Request>).map(({ params }) => params.A),
        [1, 2, 3, 4]
      )
      assert.isFalse(server.seen[0]!.aborted)
    }).pipe(pooled))

  it.scopedLive("a batch that all have left is aborted in flight, and not sent before that", () =>
    Effect.gen(function*() {
      const watch = yield* Watch.make
      yield* Effect.gen(function*() {
        const { multiply, server } = yield* setup({ maxCalls: 3, window: "1 hour" })
        const early = yield* Effect.fork(all([multiply(1), multiply(2)]))
        yield* turns(20)
        yield* Fiber.interrupt(early)
        assert.strictEqual(yield* watch.timers, 0)
        server.script(HttpServer.stall)
        const fibers = yield* Effect.forEach(range(3), (i) => Effect.fork(multiply(i)))
        yield* eventually(() => server.seen.length === 1)
        yield* Fiber.interrupt(fibers[0]!)
        yield* Fiber.interrupt(fibers[1]!)
        yield* settle()
        assert.isFalse(server.seen[0]!.aborted)
        yield* Fiber.interrupt(fibers[2]!)
        yield* eventually(() => server.seen[0]!.aborted)
        assert.deepStrictEqual(yield* all(range(3).map((i) => multiply(i))), [0, 10, 20])
        assert.deepStrictEqual(sizes(server), [3, 3])
        assert.strictEqual(yield* watch.timers, 0)
      }).pipe(watch.watch)
    }).pipe(pooled))

  it.scopedLive("a call with an idempotency key goes alone, and notifications do", () =>
    Effect.gen(function*() {
      const { multiply, rpc, server } = yield* setup({ maxCalls: 100, window: "5 millis" })
      const keyed = multiply(3).pipe(withRpcRetry({ idempotencyKey: "k" }))
      assert.deepStrictEqual(yield* all([multiply(1), multiply(2), keyed, rpc.notify("Log.Write", [])]), [
        10,
        20,
        30,
        undefined
      ])
      assert.sameMembers(sizes(server), [1, 1, 2])
      assert.sameMembers(server.seen.map(({ headers }) => headers["idempotency-key"]), ["k", undefined, undefined])
    }).pipe(pooled))

  it.scopedLive("arguments that cannot be sent fail their call alone", () =>
    Effect.gen(function*() {
      const { multiply, rpc, server } = yield* setup({ maxCalls: 2, window: "1 hour" })
      const [error, ...products] = yield* all([
        Effect.flip(rpc.call("Echo", { big: 1n })),
        Effect.asVoid(multiply(1)),
        Effect.asVoid(multiply(2))
      ])
      assert.strictEqual(error.reason, "InvalidArgument")
      assert.strictEqual(products.length, 2)
      assert.deepStrictEqual(sizes(server), [2])
    }).pipe(pooled))

  it.scopedLive("a predicate that throws is the defect of the calls, and none hangs", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 2, window: "1 hour" }, {
        retryOn: () => {
          throw new Error("a bug")
        }
      })
      server.script(answers((requests) => requests.map(({ id }) => ({ id, error: { code: 1, message: "x" } }))))
      const exits = yield* all([Effect.exit(multiply(1)), Effect.exit(multiply(2))])
      assert.isTrue(exits.every(Exit.isFailure))
    }).pipe(pooled))

  it.scopedLive("1,000 calls in batches of 50, some of them interrupted, all end", () =>
    Effect.gen(function*() {
      const { multiply, server } = yield* setup({ maxCalls: 50, window: "1 millis" })
      const fibers = yield* Effect.forEach(range(1000), (i) => Effect.fork(multiply(i)))
      const gone = fibers.filter((_, i) => i % 7 === 0)
      yield* Fiber.interruptAll(gone)
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      exits.forEach((exit, i) => {
        if (Exit.isSuccess(exit)) {
          assert.strictEqual(exit.value, i * 10)
        } else {
          assert.strictEqual(i % 7, 0)
        }
      })
      assert.isAtMost(Math.max(...sizes(server)), 50)
    }).pipe(pooled))
})
