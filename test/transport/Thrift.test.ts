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
  assert.instanceOf(error, Server.Types.Missing)
  assert.deepStrictEqual([error.text, error.code], ["x", 404])
}

for (const [flavour, lacks] of flavours) {
  contract(`Thrift, ${flavour.transport}, ${flavour.protocol}`, { make: Server.subject(flavour), domain, lacks })
}
