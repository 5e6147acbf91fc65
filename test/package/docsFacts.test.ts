/**
 * What the documents call by name exists: exports of the package, metrics, and reasons.
 */
import { RetryPolicy, RetrySchedule, RpcError } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import * as Api from "../support/api.js"
import * as Markdown from "../support/markdown.js"
import { assert, describe, it } from "../support/vitest.js"

/** The names that each module exports, by the name of the module. */
const exportsOf = (): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map(
    readFileSync(Api.file, "utf8").split(/^# /m).slice(1).map((section) => {
      const [heading = "", ...lines] = section.split("\n")
      const names = lines.flatMap((line) => /^(?:interface |type )?(\w+)[ :<=]/.exec(line)?.[1] ?? [])
      return [Path.posix.basename(heading), new Set(names)] as const
    })
  )

const modules = exportsOf()

/** The names `Module.member` of this package in the code of a text, that there are none of. */
const unknownIn = (text: string): ReadonlyArray<string> =>
  Markdown.inlineCode(text).flatMap((code) =>
    Array.from(code.matchAll(/(?<![\w./])([A-Z]\w+)\.([a-z]\w*)/g)).flatMap(([name, module, member]) =>
      modules.get(module!)?.has(member!) === false ? [name] : []
    )
  )

const src = Path.join(Markdown.root, "src")

/** The texts in quotes that may be names of metrics, in all sources. */
const metrics = new Set(
  readdirSync(src, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts")).flatMap((path) =>
    readFileSync(Path.join(src, path), "utf8").match(/(?<=")rpc\.client\.[\w.]+(?=")/g) ?? []
  )
)

const reasons = new Set<string>([
  ...RpcError.RetryableReason.literals,
  ...RpcError.FatalReason.literals,
  ...RpcError.ExhaustedReason.literals,
  ...RpcError.RejectedReason.literals
])

describe("the documents", () => {
  it("name every metric and every reason that there is", () => {
    const pages = Markdown.documents().filter((document) => !["CHANGELOG.md", "docs/decisions.md"].includes(document))
    const named = new Set(pages.flatMap((page) => Markdown.inlineCode(Markdown.read(page))))
    assert.isAtLeast(metrics.size, 20)
    assert.deepStrictEqual(Array.from(metrics).filter((metric) => !named.has(metric)), [])
    const words = new Set(Array.from(named).flatMap((code) => code.match(/\w+/g) ?? []))
    assert.deepStrictEqual(Array.from(reasons).filter((reason) => !words.has(reason)), [])
  })

  it("docs/observability.md names every event that there is", () => {
    const events = readFileSync(Path.join(src, "internal/event/event.ts"), "utf8").match(/(?<=_tag: ")\w+/g) ?? []
    const named = new Set(Markdown.inlineCode(Markdown.read("docs/observability.md")))
    assert.isAtLeast(events.length, 18)
    assert.deepStrictEqual(events.filter((event) => !named.has(event)), [])
  })

  it("state the delays that the default policy has", () => {
    const delays = Effect.runSync(RetrySchedule.delays(RetryPolicy.default.schedule, 10))
    const [last, ...others] = Array.from(delays, Duration.toMillis).toReversed()
    const phrase = `${others.toReversed().join(", ")} and ${last} ms`
    const wrong = Markdown.documents().flatMap((document) =>
      (Markdown.read(document).match(/\b100, 150(?: and|,) \d+ ms/g) ?? []).filter((stated) =>
        stated.replace("150, ", "150 and ") !== phrase
      )
    )
    assert.deepStrictEqual(wrong, [])
  })

  for (const document of Markdown.documents().filter((document) => document !== "CHANGELOG.md")) {
    it(`${document}: every function, metric and reason that it names exists`, () => {
      const text = Markdown.read(document)
      assert.deepStrictEqual(unknownIn(text), [])
      const names = Markdown.inlineCode(text)
      assert.deepStrictEqual(
        names.filter((name) => /^rpc\.client(\.\w+)+$/.test(name) && !metrics.has(name)),
        []
      )
      const said = names.flatMap((name) =>
        /^(?:Retryable|Fatal|RetryExhausted|CallRejected) (\w+)$/.exec(name)?.[1] ?? []
      )
      assert.deepStrictEqual(said.filter((reason) => !reasons.has(reason)), [])
    })
  }

  it("are checked: a function that does not exist is found", () => {
    assert.deepStrictEqual(unknownIn("`RetryPolicy.make` and `RetryPolicy.mke`"), ["RetryPolicy.mke"])
  })
})
