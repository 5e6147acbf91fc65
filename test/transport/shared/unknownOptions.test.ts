/**
 * An option that does not exist is refused where it is given, by each constructor and client, with the one that was meant.
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as grpc from "@grpc/grpc-js"
import { InvalidOption } from "effect-rpc-retry"
import * as Connect from "effect-rpc-retry/Connect"
import * as Connection from "effect-rpc-retry/Connection"
import * as ConnectNode from "effect-rpc-retry/ConnectNode"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as HttpPool from "effect-rpc-retry/HttpPool"
import * as HttpRpc from "effect-rpc-retry/HttpRpc"
import * as JsonRpc from "effect-rpc-retry/JsonRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as ConnectServer from "../../support/connectServer.js"
import * as Server from "../../support/effectRpcServer.js"
import { Echo, type EchoClient } from "../../support/grpcClient.js"
import * as ThriftServer from "../../support/thriftServer.js"
import { assert, describe, it } from "../../support/vitest.js"

/** Gives the options as they are, whatever the types say. */
const any = (options: object) => options as never

const address = { host: "127.0.0.1", port: 1 }

const echo = new Echo("127.0.0.1:1", grpc.credentials.createInsecure()) as EchoClient

const connect = ConnectNode.createConnectTransport({ baseUrl: "http://127.0.0.1:1", httpVersion: "2" })

const http = HttpClient.make(() => Effect.never)

const get = HttpClientRequest.get("http://127.0.0.1:1")

const thrift = { ...address, service: "Probe", client: ThriftServer.generated.es5.Client }

const { EchoService } = ConnectServer

const cases: ReadonlyArray<readonly [make: () => unknown, field: string, meant: string]> = [
  [() => GoRpc.make(any({ ...address, dialTimout: 1 })), "GoRpc.make: dialTimout", "dialTimeout"],
  [() => GoRpc.make(any({ ...address, codec: "gob", maxFrameByte: 1 })), "GoRpc.make: maxFrameByte", "maxFrameBytes"],
  [() => GoRpc.make(any({ ...address, idleTimout: 1 })), "GoRpc.make: idleTimout", "idleTimeout"],
  [() => GoRpc.layer(any({ ...address, pings: {} })), "GoRpc.make: pings", "ping"],
  [
    () => GoRpc.make(any({ ...address, ping: { every: 1, timeuot: 1 } })),
    "GoRpc.make: ping.timeuot",
    "timeout"
  ],
  [
    () =>
      GoRpc.service(
        "Users",
        any({
          Get: { args: Schema.String, reply: Schema.String, idempotnet: true }
        })
      ),
    "GoRpc.service: Get.idempotnet",
    "idempotent"
  ],
  [() => GoRpc.service("Users", {}, any({ clients: 1 })), "GoRpc.service: clients", "client"],
  [
    () => Connection.make(any({ dial: () => Effect.void, closed: () => 1, maxage: 1 })),
    "Connection.make: maxage",
    "maxAge"
  ],
  [() => Gob.map(any({ key: Schema.String, value: Schema.String, vlaue: 1 })), "Gob.map: vlaue", "value"],
  [() => Gob.makeDecoder(any({ maxByte: 1 })), "Gob.makeDecoder: maxByte", "maxBytes"],
  [() => Grpc.unary(echo, "echo", any({ retryon: [14] })), "Grpc.unary: retryon", "retryOn"],
  [() => Grpc.serverStream(echo, "list", any({ metdata: 1 })), "Grpc.serverStream: metdata", "metadata"],
  [() => Grpc.client(echo, any({ method: {} })), "Grpc.client: method", "methods"],
  [
    () => Grpc.client(echo, any({ methods: { echo: { idempotnet: false } } })),
    "Grpc.client: methods.echo.idempotnet",
    "idempotent"
  ],
  [() => Connect.client(EchoService, connect, any({ retryon: [14] })), "Connect.client: retryon", "retryOn"],
  [
    () => Connect.client(EchoService, connect, any({ methods: { echo: { idempotnet: true } } })),
    "Connect.client: methods.echo.idempotnet",
    "idempotent"
  ],
  [
    () => Connect.unary(EchoService.method.echo, connect, any({ idempotnet: 1 })),
    "Connect.unary: idempotnet",
    "idempotent"
  ],
  [
    () => Connect.client(EchoService, connect).echo({ value: "x" }, any({ timeoutMS: 1 })),
    "Connect.call: timeoutMS",
    "timeoutMs"
  ],
  [
    () => ConnectNode.sessionManager("http://127.0.0.1:1", any({ pingInterval: 1 })),
    "ConnectNode.sessionManager: pingInterval",
    "pingIntervalMs"
  ],
  [
    () =>
      ConnectNode.createConnectTransport(any({ baseUrl: "http://127.0.0.1:1", httpVersion: "2", useHttpget: true })),
    "ConnectNode.createConnectTransport: useHttpget",
    "useHttpGet"
  ],
  [
    () => ConnectNode.createGrpcTransport(any({ baseUrl: "http://127.0.0.1:1", pingTimeoutMS: 1 })),
    "ConnectNode.createGrpcTransport: pingTimeoutMS",
    "pingTimeoutMs"
  ],
  [
    () => ConnectNode.createGrpcWebTransport(any({ baseUrl: "http://127.0.0.1:1", httpVersion: "1.1", intercept: [] })),
    "ConnectNode.createGrpcWebTransport: intercept",
    "interceptors"
  ],
  [() => EffectRpc.make(Server.Group, any({ services: "x" })), "EffectRpc.make: services", "service"],
  [
    () => EffectRpc.client(any({}), Server.Group, any({ idempotnet: {} })),
    "EffectRpc.client: idempotnet",
    "idempotent"
  ],
  [
    () => EffectRpc.layerProtocolHttp(any({ url: "http://127.0.0.1:1", transformclient: 1 })),
    "EffectRpc.layerProtocolHttp: transformclient",
    "transformClient"
  ],
  [
    () => EffectRpc.layerProtocolSocket(any({ retrySchedul: 1 })),
    "EffectRpc.layerProtocolSocket: retrySchedul",
    "retrySchedule"
  ],
  [() => Thrift.make(any({ ...thrift, connection: 1 })), "Thrift.make: connection", "connections"],
  [
    () => Thrift.make(any({ ...thrift, methods: { echo: { idempotnet: true } } })),
    "Thrift.make: methods.echo.idempotnet",
    "idempotent"
  ],
  [
    () => HttpRpc.retrying(http, (call) => call as never, any({ retryon: [500] })),
    "HttpRpc.retrying: retryon",
    "retryOn"
  ],
  [() => HttpRpc.call(http, get, any({ idempotnet: true })), "HttpRpc.call: idempotnet", "idempotent"],
  [
    () => HttpRpc.repeatableBody(() => Stream.empty, any({ contentTyp: "x" })),
    "HttpRpc.repeatableBody: contentTyp",
    "contentType"
  ],
  [() => HttpPool.make(any({ conections: 1 })), "HttpPool.make: conections", "connections"],
  [() => JsonRpc.make(any({ url: "http://127.0.0.1:1", header: {} })), "JsonRpc.make: header", "headers"],
  [
    () => JsonRpc.make(any({ url: "http://127.0.0.1:1", batch: { maxCall: 1, window: 1 } })),
    "JsonRpc.make: batch.maxCall",
    "maxCalls"
  ],
  [() => FlakyServer.make(any({ method: {} })), "FlakyServer.make: method", "methods"]
]

const refused = (make: () => unknown): InvalidOption => {
  try {
    make()
  } catch (error) {
    assert.instanceOf(error, InvalidOption)
    return error
  }
  return assert.fail("it was taken")
}

describe("an option that does not exist is refused", () => {
  for (const [make, field, meant] of cases) {
    it(`${field}, did you mean ${meant}`, () => {
      assert.strictEqual(refused(make).message, `${field} is not an option, did you mean ${meant}?`)
    })
  }

  it.scopedLive("by the calls of a client too", () =>
    Effect.gen(function*() {
      const go = yield* GoRpc.make(address)
      const json = yield* Effect.provideService(
        JsonRpc.make({ url: "http://127.0.0.1:1" }),
        HttpClient.HttpClient,
        http
      )
      for (
        const [call, message] of [
          [() => go.call("A.B", 1, any({ idempotnet: true })), "GoRpc.call: idempotnet"],
          [() => json.call("A.B", 1, any({ idempotnet: true })), "JsonRpc.call: idempotnet"],
          [() => json.notify("A.B", 1, any({ idempotnet: true })), "JsonRpc.notify: idempotnet"]
        ] as const
      ) {
        assert.strictEqual(refused(call).message, `${message} is not an option, did you mean idempotent?`)
      }
    }))

  it("what is handed to a library is that library's affair", () => {
    HttpPool.make({ connect: any({ anything: 1 }) })
    ConnectNode.createConnectTransport({
      baseUrl: "http://127.0.0.1:1",
      httpVersion: "1.1",
      nodeOptions: any({ anything: 1 })
    })
    Grpc.unary(echo, "echo", { callOptions: any({ anything: 1 }) })
  })
})
