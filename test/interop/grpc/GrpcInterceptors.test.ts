/**
 * What code of the user's that runs within a call may do: interceptors, predicates, functions of the options.
 */
import * as grpc from "@grpc/grpc-js"
import { Deadline, type Fatal, Retryable } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { eventually, settle } from "../../support/eventually.js"
import { client, type EchoClient } from "../../support/grpcClient.js"
import * as Raw from "../../support/grpcRaw.js"
import { assert, describe, it } from "../../support/vitest.js"

const raw = (options?: grpc.ClientOptions) =>
  Effect.gen(function*() {
    const server = yield* Raw.make
    return { server, client: yield* client(server.address, options) }
  })

const hi = { value: "hi" }

/** The first message and all that follow. */
const listed = (echo: EchoClient, options: Grpc.Options) =>
  Effect.scoped(
    Effect.flatMap(Grpc.serverStream(echo, "list", options)(hi), Stream.runCollect)
  )

const short = (error: Retryable | Fatal) =>
  error._tag === "Retryable" ? [error.reason, error.delivery, error.code] : ["Fatal", error.reason, error.code]

describe("Grpc: predicates", () => {
  const bug = new Error("a bug of ours")
  const retryOn = () => {
    throw bug
  }

  it.scopedLive("what retryOn throws is a defect of the call, unary and stream", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw()
      yield* server.script(...Array.from({ length: 2 }, () => Raw.trailersOnly({ "grpc-status": "13" })))
      const unary = yield* Effect.exit(Grpc.unary(client, "echo", { retryOn })(hi))
      assert.deepStrictEqual(Exit.isFailure(unary) && Cause.squash(unary.cause), bug)
      const stream = yield* Effect.exit(listed(client, { retryOn }))
      assert.deepStrictEqual(Exit.isFailure(stream) && Cause.squash(stream.cause), bug)
    }))

  it.scopedLive("retryOn is not asked about calls that this side has ended", () =>
    Effect.gen(function*() {
      const { client, server } = yield* raw()
      const asked: Array<string> = []
      const ask: Grpc.Options["retryOn"] = ({ details }) => {
        asked.push(details)
        return false
      }
      let reached = false
      yield* server.script(
        (stream) => {
          stream.respond({ ":status": 200, "content-type": "application/grpc" })
          stream.write(Raw.frame(Raw.text("a")))
        },
        () => {
          reached = true
        }
      )
      yield* Effect.scoped(Grpc.serverStream(client, "list", { retryOn: ask })(hi))
      const fiber = yield* Effect.fork(Grpc.unary(client, "echo", { retryOn: ask })(hi))
      yield* eventually(() => reached)
      yield* Fiber.interrupt(fiber)
      // what was cancelled is told in a later turn
      yield* settle()
      assert.deepStrictEqual(asked, [])
    }))
})

describe("Grpc: interceptors", () => {
  const ending = (status: Partial<grpc.StatusObject>, atOnce = false): Grpc.Options => ({
    callOptions: {
      interceptors: [(options, next) =>
        new grpc.InterceptingCall(next(options), {
          start: (metadata, listener, next) =>
            atOnce
              ? listener.onReceiveStatus(status as grpc.StatusObject)
              : next(metadata, { onReceiveStatus: (_, pass) => pass(status as grpc.StatusObject) })
        })]
    }
  })

  const partial: ReadonlyArray<[says: string, status: Partial<grpc.StatusObject>]> = [
    ["without details and metadata", new grpc.StatusBuilder().withCode(14).build()],
    ["without metadata", new grpc.StatusBuilder().withCode(14).withDetails("x").build()],
    ["without details", { code: 14, metadata: new grpc.Metadata() }]
  ]
  for (const [says, status] of partial) {
    it.scopedLive(`a status ${says} is a status`, () =>
      Effect.gen(function*() {
        const { client } = yield* raw()
        const unary = yield* Effect.flip(Grpc.unary(client, "echo", ending(status))(hi))
        assert.deepStrictEqual(short(unary), ["Unavailable", "Unknown", "UNAVAILABLE"])
        for (const atOnce of [false, true]) {
          const stream = yield* Effect.flip(listed(client, ending(status, atOnce)))
          assert.deepStrictEqual(short(stream), ["Unavailable", "Unknown", "UNAVAILABLE"])
        }
      }))
  }

  it.scopedLive("one that answers, and then throws, has answered", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const status = { code: 14, details: "kept from before", metadata: new grpc.Metadata() }
      const interceptor: grpc.Interceptor = (options, next) =>
        new grpc.InterceptingCall(next(options), {
          start: (_, listener) => listener.onReceiveStatus(status),
          sendMessage: () => {
            throw new Error("later")
          }
        })
      const error = yield* Effect.flip(Grpc.unary(client, "echo", { callOptions: { interceptors: [interceptor] } })(hi))
      assert.instanceOf(error, Retryable)
      assert.strictEqual((error.cause as grpc.ServiceError).details, "kept from before")
    }))

  it.scopedLive("an error of one that has a number for its code is no status", () =>
    Effect.gen(function*() {
      const { client } = yield* raw()
      const thrown = Object.assign(new Error("duplicate key"), { code: 14, metadata: new grpc.Metadata(), details: "" })
      const interceptor: grpc.Interceptor = () => {
        throw thrown
      }
      const options = { callOptions: { interceptors: [interceptor] } }
      const errors = [
        yield* Effect.flip(Grpc.unary(client, "echo", options)(hi)),
        yield* Effect.flip(listed(client, options))
      ]
      for (const error of errors) {
        assert.deepStrictEqual([short(error), error.cause], [["Fatal", "Custom", undefined], thrown])
      }
    }))
})

describe("Grpc: functions of the options", () => {
  const bug = new Error("no token")
  const throwing = () => {
    throw bug
  }

  for (const field of ["metadata", "callOptions"] as const) {
    it.scopedLive(`what the function for ${field} throws ends the call: Fatal, with what it threw`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* raw()
        const options = { [field]: throwing }
        const calls: ReadonlyArray<Effect.Effect<unknown, Retryable | Fatal>> = [
          Grpc.unary(client, "echo", options)(hi),
          listed(client, options)
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(call)
          assert.deepStrictEqual([short(error), error.cause], [["Fatal", "Custom", undefined], bug])
          assert.match(error.method!, /^interop\.v1\.Echo\./)
        }
        assert.strictEqual((yield* server.seen).length, 0)
      }))
  }

  const unusable: ReadonlyArray<[says: string, options: unknown, message: RegExp]> = [
    ["a promise of metadata", { metadata: async () => new grpc.Metadata() }, /^metadata must be .*, got a promise$/],
    ["plain metadata", { metadata: () => ({ authorization: "x" }) }, /^metadata must be /],
    ["a promise of options", { callOptions: async () => ({}) }, /^callOptions must be .*, got a promise$/],
    ["no options", { callOptions: () => undefined }, /^callOptions must be .*, got nothing$/],
    [
      "a deadline that is no time",
      { callOptions: () => ({ deadline: NaN }) },
      /^callOptions\.deadline must be .*, got NaN$/
    ]
  ]
  for (const [says, options, message] of unusable) {
    it.scopedLive(`${says} of a function ends the call: Fatal InvalidArgument, by name`, () =>
      Effect.gen(function*() {
        const { client, server } = yield* raw()
        const given = options as Grpc.Options
        const deadline = Deadline.within("10 seconds")
        const calls: ReadonlyArray<Effect.Effect<unknown, Retryable | Fatal>> = [
          Grpc.unary(client, "echo", given)(hi),
          listed(client, given)
        ]
        for (const call of calls) {
          const error = yield* Effect.flip(deadline(call))
          assert.deepStrictEqual(short(error), ["Fatal", "InvalidArgument", undefined])
          assert.match(error.message, message)
        }
        assert.strictEqual((yield* server.seen).length, 0)
      }))
  }
})
