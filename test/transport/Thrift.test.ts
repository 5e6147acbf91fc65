/**
 * `Thrift` against real servers of the library `thrift`, and against peers that are none.
 */
import { assert } from "@effect/vitest"
import { contract, type Lack } from "../support/contract.js"
import * as Server from "../support/thriftServer.js"

const flavours: ReadonlyArray<readonly [Server.Flavour, ReadonlyArray<Lack>]> = [
  [{ transport: "buffered", protocol: "binary" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "buffered", protocol: "compact" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "framed", protocol: "binary" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "framed", protocol: "compact" }, ["hint", "remaining", "previousAttempts", "idempotencyKey"]],
  [{ transport: "header", protocol: "binary" }, ["hint"]],
  [{ transport: "header", protocol: "compact" }, ["hint"]]
]

const domain = (error: unknown) => {
  assert.instanceOf(error, Server.generated.types.Missing)
  assert.deepStrictEqual([error.text, error.code], ["x", 404])
}

for (const [flavour, lacks] of flavours) {
  contract(`Thrift, ${flavour.transport}, ${flavour.protocol}`, { make: Server.subject(flavour), domain, lacks })
}

contract("Thrift, generated for ES6", {
  make: Server.subject({ transport: "framed", protocol: "binary" }, Server.generated.es6.Client),
  // each generated module has classes of its own
  domain: (error) => assert.deepStrictEqual([error.name, "code" in error && error.code], ["Missing", 404]),
  lacks: ["hint", "remaining", "previousAttempts", "idempotencyKey"]
})
