/**
 * `Thrift` against a real server of Kitex, in `go/kitexthrift`.
 */
import { assert } from "@effect/vitest"
import { contract, type Lack } from "../support/contract.js"
import * as GoProgram from "../support/goProgram.js"
import * as GoServer from "../support/goServer.js"
import * as Kitex from "../support/kitexServer.js"
import { generated } from "../support/thriftServer.js"

const program = GoProgram.make("kitexthrift")

const plain: ReadonlyArray<Lack> = ["hint", "remaining", "previousAttempts", "idempotencyKey"]

for (
  const [transport, lacks] of [["buffered", plain], ["framed", plain], ["ttheader", ["hint"]]] as const
) {
  contract(`Thrift and Kitex, ${transport}`, {
    make: Kitex.subject(program, transport),
    domain: (error) => {
      assert.instanceOf(error, generated.types.Missing)
      assert.deepStrictEqual([error.text, error.code], ["x", 404])
    },
    lacks,
    skipped: GoServer.skipped
  })
}
