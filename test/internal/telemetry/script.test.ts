import * as Effect from "effect/Effect"
import * as Lab from "../../support/lab.js"
import { assert, it } from "../../support/vitest.js"
import * as expected from "./expected.js"
import { options, script } from "./script.js"

it.effect("a scripted run gives exactly these events, spans, log lines and metrics", () =>
  Effect.gen(function*() {
    const seen = yield* Lab.watching(script, options)
    assert.deepStrictEqual(seen.events, expected.events)
    assert.deepStrictEqual(seen.spans, expected.spans)
    assert.deepStrictEqual(seen.logs, expected.logs)
    assert.deepStrictEqual(yield* Lab.metrics("Run"), expected.metrics)
  }))
