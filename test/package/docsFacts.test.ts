/**
 * What the documents call by name exists: exports of the package, metrics, and reasons.
 */
import {
  Bulkhead,
  CircuitBreaker,
  Hedge,
  RetryBudget,
  RetryPolicy,
  RetrySchedule,
  RpcError,
  Throttle
} from "effect-rpc-retry"
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

const units = { ms: "millis", s: "seconds" } as const

/** The defaults that documents state behind a name, as in "`openFor` (5 s)": numbers, and durations in milliseconds. */
const statedDefaults = (text: string): ReadonlyArray<readonly [name: string, value: number]> =>
  Array.from(
    text.matchAll(/`(?:\w+\.)?(\w+)` \((\d[\d.]*)(?: (ms|s)(?: by default)?)?\)/g),
    ([, name, amount, unit]) => {
      const value = Number(amount)
      return [name!, unit === undefined ? value : Duration.toMillis(`${value} ${units[unit as "ms" | "s"]}`)] as const
    }
  )

/** The defaults of the library, as far as it tells them. */
const defaults = Effect.gen(function*() {
  const breaker = yield* CircuitBreaker.make()
  const { breaker: opens } = yield* RetryPolicy.describe(RetryPolicy.make({ breaker }))
  const delays = Array.from(yield* RetrySchedule.delays(RetrySchedule.exponential(), 20), Duration.toMillis)
  const { sustained } = yield* RetryBudget.make()
  return new Map<string, number>([
    ["maxServerDelay", Duration.toMillis(RetryPolicy.default.maxServerDelay)],
    ["base", delays[0]!],
    ["exponential", delays[1]! / delays[0]!],
    ["cap", delays[19]!],
    ["rate", opens!.rate!.threshold],
    ["minimumCalls", opens!.rate!.minimumCalls],
    ["window", Duration.toMillis(opens!.rate!.window as Duration.Duration)],
    ["openFor", Duration.toMillis(opens!.openFor.shortest)],
    ["make", sustained]
  ])
})

/** The pages whose tables state defaults, and the modules whose options these are of. */
const tablesOf = {
  "docs/circuit-breaker.md": "CircuitBreaker",
  "docs/bulkhead.md": "Bulkhead",
  "docs/throttle.md": "Throttle",
  "docs/hedge.md": "Hedge",
  "docs/endpoints.md": "Endpoints",
  "docs/fallback.md": "Fallback"
} as const

/** A number with or without a unit of time at the start of a text, in milliseconds where it has one. */
const valueOf = (text: string): number | undefined => {
  const [, number, unit] = /^(\d[\d.]*\d|\d)(?: (ms|s|min|seconds?|minutes?))?(?![\w%])/.exec(text) ?? []
  const unitOf = new Map([["ms", "millis"], ["s", "seconds"], ["min", "minutes"]]).get(unit ?? "") ?? unit
  return number === undefined
    ? undefined
    : unitOf === undefined
    ? Number(number)
    : Duration.toMillis(Duration.decode(`${Number(number)} ${unitOf}` as Duration.DurationInput))
}

/** The rows of the tables with a column "default" whose default is a number or a time. */
const tabulated = (text: string): ReadonlyArray<readonly [option: string, value: number]> =>
  text.split("\n\n").filter((block) => /^\| *option\b.*\| *default\b/.test(block)).flatMap((table) => {
    const [header = [], , ...rows] = table.split("\n").map((row) =>
      row.split("|").slice(1, -1).map((cell) => cell.trim())
    )
    const column = header.indexOf("default")
    // a row may be of several options, with as many defaults
    return rows.flatMap((cells) => {
      const defaults = cells[column]?.split(", ") ?? []
      return (cells[0] ?? "").split(", ").flatMap((name, i) => {
        const value = valueOf(defaults[i] ?? "")
        const option = /`([\w.]+)`$/.exec(name)?.[1]?.split(".").at(-1)
        return value === undefined || option === undefined ? [] : [[option, value] as const]
      })
    })
  })

/** The defaults that the doc comments of a module state, by the name of the option. */
const commented = (module: string): ReadonlyMap<string, ReadonlyArray<number>> => {
  const stated = new Map<string, ReadonlyArray<number>>()
  const text = readFileSync(Path.join(src, `${module}.ts`), "utf8")
  for (const [, comment = "", option = ""] of text.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s+readonly (\w+)\??:/g)) {
    const value = valueOf(/\bDefault (.*)/.exec(comment.replaceAll(/\s*\n\s*\* ?/g, " "))?.[1] ?? "")
    if (value !== undefined) {
      stated.set(option, [...(stated.get(option) ?? []), value])
    }
  }
  return stated
}

/** The defaults of the options of each module, as the library tells them of what it makes. */
const made = Effect.gen(function*() {
  const policy = RetryPolicy.make({
    breaker: yield* CircuitBreaker.make(),
    bulkhead: yield* Bulkhead.make({ concurrency: 10, queue: 0, adaptive: true }),
    throttle: yield* Throttle.make(),
    hedge: yield* Hedge.make({ after: "1 second" }),
    idempotent: true
  })
  const { breaker, bulkhead, hedge, throttle } = yield* RetryPolicy.describe(policy)
  const { longest, shortest } = breaker!.openFor
  return new Map<string, number>([
    ["CircuitBreaker.threshold", breaker!.rate!.threshold],
    ["CircuitBreaker.window", Duration.toMillis(breaker!.rate!.window as Duration.Duration)],
    ["CircuitBreaker.minimumCalls", breaker!.rate!.minimumCalls],
    ["CircuitBreaker.openFor", Duration.toMillis(shortest)],
    ["CircuitBreaker.jitter", Duration.toMillis(longest) / Duration.toMillis(shortest) - 1],
    ["Bulkhead.floor", bulkhead!.floor],
    ["Throttle.k", throttle!.k],
    ["Throttle.window", Duration.toMillis(throttle!.window)],
    ["Hedge.max", hedge!.max],
    ["Hedge.load", hedge!.load]
  ])
})

describe("the documents", () => {
  for (const [page, module] of Object.entries(tablesOf)) {
    it(`${page}: its table states the defaults that the options have`, () => {
      const rows = tabulated(Markdown.read(page))
      assert.isNotEmpty(rows)
      const comments = commented(module)
      const actual = Effect.runSync(made)
      const wrong = rows.filter(([option, value]) => {
        const known = actual.get(`${module}.${option}`)
        return !(comments.get(option) ?? []).includes(value) || (known !== undefined && Math.abs(known - value) > 1e-9)
      })
      assert.deepStrictEqual(wrong, [])
      const others = Array.from(actual.keys()).filter((name) =>
        name.startsWith(`${module}.`) && !rows.some(([option]) => name === `${module}.${option}`)
      )
      assert.deepStrictEqual(others, [], "has a default that the table does not state")
    })
  }

  it("name every metric and every reason that there is", () => {
    const pages = Markdown.documents().filter((document) => !["CHANGELOG.md", "docs/decisions.md"].includes(document))
    const named = new Set(pages.flatMap((page) => Markdown.inlineCode(Markdown.read(page))))
    assert.isAtLeast(metrics.size, 20)
    assert.deepStrictEqual(Array.from(metrics).filter((metric) => !named.has(metric)), [])
    const words = new Set(Array.from(named).flatMap((code) => code.match(/\w+/g) ?? []))
    assert.deepStrictEqual(Array.from(reasons).filter((reason) => !words.has(reason)), [])
  })

  it("state the defaults that the library has", () => {
    const actual = Effect.runSync(defaults)
    const all = Markdown.documents().flatMap((document) => statedDefaults(Markdown.read(document)))
    const known = all.filter(([name]) => actual.has(name))
    assert.isAtLeast(known.length, 10)
    assert.deepStrictEqual(known.filter(([name, value]) => actual.get(name) !== value), [])
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
