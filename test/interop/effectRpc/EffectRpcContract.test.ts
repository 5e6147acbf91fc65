/**
 * The contract of an adapter, over each protocol of `@effect/rpc`.
 */
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Effect from "effect/Effect"
import { contract } from "../../support/contract.js"
import * as Server from "../../support/effectRpcServer.js"
import { assert } from "../../support/vitest.js"

for (const way of [Server.ndjson, Server.json, Server.tcp, Server.webSocket]) {
  contract(`@effect/rpc over ${way.name}`, {
    make: Effect.gen(function*() {
      const server = yield* way.server
      const rpc = yield* Server.connect(way.protocol(server.port), EffectRpc.make(Server.Group, { service: "Texts" }))
      return {
        echo: (text: string, options?: { readonly idempotent?: false }) =>
          options?.idempotent === false ? rpc.Once({ text }) : rpc.Echo({ text }),
        script: server.script,
        seen: server.seen,
        restart: Effect.zipRight(server.stop, server.start)
      }
    }),
    domain: (error) => {
      assert.instanceOf(error, Server.Gone)
      assert.strictEqual(error.text, "x")
    }
  })
}
