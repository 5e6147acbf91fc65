/**
 * `RpcRetry.client` of the clients of the adapters: all calls of each retried, streams until their first message.
 */
import { type CallRejected, type Fatal, RetryExhausted, RetrySchedule, RpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as ConnectServer from "../../support/connectServer.js"
import type { Step } from "../../support/contract.js"
import { client } from "../../support/grpcClient.js"
import * as GrpcServer from "../../support/grpcServer.js"
import * as ThriftServer from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

const options = { schedule: RetrySchedule.exponential({ base: "2 millis" }).pipe(RetrySchedule.retries(2)) }

const retryable: Step = { _tag: "Retryable" }

type Failure = Fatal | RetryExhausted | CallRejected

describe("RpcRetry.client", () => {
  it.scopedLive("of Grpc.client", () =>
    Effect.gen(function*() {
      const server = yield* GrpcServer.make
      const users = RpcRetry.client(Grpc.client(yield* client(server.address)), options)
      yield* server.script(...[retryable, retryable].map(GrpcServer.ofContract))
      const echo: Effect.Effect<{ readonly value: string }, Failure> = users.echo({ value: "hi" })
      assert.strictEqual((yield* echo).value, "hi")
      yield* server.script(GrpcServer.ofContract(retryable))
      const words = yield* Stream.runCollect(yield* users.list({ value: "a b" }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(words).map(({ value }) => value), ["a", "b"])
      assert.strictEqual((yield* server.seen).length, 5)
      yield* server.script(...[retryable, retryable, retryable].map(GrpcServer.ofContract))
      const error = yield* Effect.flip(users.echo({ value: "hi" }))
      assert.instanceOf(error, RetryExhausted)
      assert.deepStrictEqual([error.attempts, error.method], [3, "interop.v1.Echo.Echo"])
    }))

  it.scopedLive("of Connect.client", () =>
    Effect.gen(function*() {
      const peer = yield* ConnectServer.make("Connect over HTTP/1.1")
      const users = RpcRetry.client(peer.client, options)
      peer.script(ConnectServer.fails(14), ConnectServer.fails(14))
      const echo: Effect.Effect<{ readonly value: string }, Failure> = users.echo({ value: "hi" })
      assert.strictEqual((yield* echo).value, "hi")
      const messages = yield* Stream.runCollect(yield* users.watch({ value: "n" }))
      assert.deepStrictEqual(Chunk.toReadonlyArray(messages).map(({ value }) => value), ["n 1", "n 2", "n 3"])
      assert.strictEqual(peer.seen.length, 4)
    }))

  it.scopedLive("of Thrift.make", () =>
    Effect.gen(function*() {
      const server = yield* ThriftServer.makeServer({ transport: "framed", protocol: "binary" })
      const probe = yield* Thrift.make({
        service: "Probe",
        client: ThriftServer.generated.es5.Client,
        host: "127.0.0.1",
        port: server.port,
        transport: "framed"
      })
      yield* server.script("Reset", "Reset")
      assert.strictEqual(yield* RpcRetry.client(probe, options).echo("hi"), "hi")
      assert.strictEqual(server.seen.length, 3)
    }))
})
