import { readFileSync } from "node:fs"
import * as Api from "../support/api.js"
import { assert, describe, it } from "../support/vitest.js"

describe("the public API", () => {
  it(
    "is the one in test/package/api.txt; after a change that is meant, run `npm run api`",
    { timeout: 600_000 },
    () => {
      assert.strictEqual(Api.print(), readFileSync(Api.file, "utf8"))
    }
  )
})
