/**
 * The defaults that the documents state are those of the doc comments, and those are what the code has.
 */
import { Bulkhead, CircuitBreaker, Hedge, RetryBudget, RetryPolicy, RetrySchedule, Throttle } from "effect-rpc-retry"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import * as Limit from "../../src/transport/shared/limit.js"
import * as Markdown from "../support/markdown.js"
import { assert, describe, it } from "../support/vitest.js"

const src = Path.join(Markdown.root, "src")

const source = (path: string): string => readFileSync(Path.join(src, path), "utf8")

const sources = readdirSync(src, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".ts"))

/** An option of an interface, as its doc comment says. */
interface Option {
  readonly name: string
  readonly isRequired: boolean
  /** What the comment says from "Default" on, without parentheses. */
  readonly stated: string | undefined
}

const plain = (text: string): string =>
  text.replaceAll(/\{@link ([\w.]+)\}/g, "$1").replaceAll(/[`"]|\(\)/g, "").replaceAll(/ \([^()]*\)/g, "")
    .replaceAll(/(\d) s\b/g, "$1 seconds").replaceAll(/(\d) min\b/g, "$1 minutes")
    .replaceAll(/(?<![\d.])1 (second|minute)s/g, "1 $1").trim()

const optionsOf = (text: string): ReadonlyArray<Option> =>
  Array.from(
    text.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\/\s+readonly (\w+)(\??):/g),
    ([, comment = "", name = "", optional]) => {
      const stated = /\bDefault:? (.*)/.exec(comment.replaceAll(/\s*\n\s*\* ?/g, " "))?.[1]
      return { name, isRequired: optional === "", stated: stated === undefined ? undefined : plain(stated) }
    }
  )

const units = new Map([["ms", "millis"], ["s", "seconds"], ["min", "minutes"]])

/** The number at the start of a text: of milliseconds where it has a unit of time, of bytes where it has one of these. */
const valueOf = (text: string): number | undefined => {
  const [, number, unit] =
    /^(\d[\d_.]*\d|\d)(?: (ms|s|min|millis|seconds?|minutes?|hours?|MiB))?(?![\w%]|\.\d| %)/.exec(text) ?? []
  const value = Number(number?.replaceAll("_", ""))
  return number === undefined
    ? undefined
    : unit === undefined
    ? value
    : unit === "MiB"
    ? value * 1024 * 1024
    : Duration.toMillis(Duration.decode(`${value} ${units.get(unit) ?? unit}` as Duration.DurationInput))
}

/** What stands behind `option ??` or `option =` in the code: numbers as numbers, and text. */
const literalsOf = (text: string): ReadonlyMap<string, ReadonlySet<number | string>> => {
  const found = new Map<string, Set<number | string>>()
  const code = text.replaceAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*/gm, "")
  const literal =
    /(?<=\boptions\??\.|\b\w+\.|[{,]\s*)\b(\w+) (?:\?\?|=|=== undefined\s+\? Math\.m\w+\() ?("[^"\n]*"|[\d_.]+(?: \* [\d_.]+)*|[A-Z]\w+\.default\w+)/g
  for (const [, name = "", written = ""] of code.matchAll(literal)) {
    const value = written === "Limit.defaultBytes"
      ? Limit.defaultBytes
      : written.startsWith("\"")
      ? valueOf(written.slice(1, -1)) ?? written.slice(1, -1)
      : written.split(" * ").reduce((product, factor) => product * Number(factor.replaceAll("_", "")), 1)
    found.set(name, (found.get(name) ?? new Set()).add(value))
  }
  return found
}

/** The options of a file whose comment says another default than the code of that file has. */
const contradictions = (text: string): ReadonlyArray<string> => {
  const code = literalsOf(text)
  return optionsOf(text).flatMap(({ name, stated }) => {
    const values = code.get(name)
    const value = stated === undefined ? undefined : valueOf(stated) ?? /^\S+?(?=[.,:;]?(?:\s|$))/.exec(stated)?.[0]
    return values === undefined || value === undefined || values.has(value)
      ? []
      : [`${name}: ${stated}, and ${Array.from(values).join(" or ")} in the code`]
  })
}

/** The pages, or sections of pages, whose tables state defaults, and the files whose options these are of. */
const tablesOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  "docs/circuit-breaker.md": ["CircuitBreaker.ts"],
  "docs/bulkhead.md": ["Bulkhead.ts"],
  "docs/throttle.md": ["Throttle.ts"],
  "docs/hedge.md": ["Hedge.ts"],
  "docs/endpoints.md": ["Endpoints.ts"],
  "docs/fallback.md": ["Fallback.ts"],
  "docs/discovery.md#DNS": ["transport/Dns.ts", "internal/endpoints/source.ts"],
  "docs/discovery.md#Kubernetes": ["transport/Kubernetes.ts"],
  "docs/discovery.md#Consul": ["transport/Consul.ts"],
  "docs/discovery.md#etcd": ["transport/Etcd.ts"],
  "docs/discovery.md#File": ["transport/EndpointsFile.ts"],
  "docs/transports/go-net-rpc.md": ["transport/Connection.ts", "transport/goRpc/options.ts"]
}

const textOf = (place: string): string => {
  const [page = "", section] = place.split("#")
  const text = Markdown.read(page)
  return section === undefined
    ? text
    : text.split(/^## /m).find((part) => part.startsWith(`${section}\n`)) ?? ""
}

/** The options of the tables that have a column of defaults, each with what it states. */
const tabulated = (text: string): ReadonlyArray<readonly [option: string, stated: string]> =>
  text.split("\n\n").filter((block) => /^\| *option\b.*\| *default\b/.test(block)).flatMap((table) => {
    const [header = [], , ...rows] = table.split("\n").filter((row) => row.startsWith("|")).map((row) =>
      row.split("|").slice(1, -1).map((cell) => cell.trim())
    )
    return rows.flatMap((cells) => {
      const names = (cells[0] ?? "").split(", ")
      const cell = cells[header.indexOf("default")] ?? ""
      // a row may be of several options, with as many defaults
      const defaults = cell.split(", ")
      return names.map((name, i) =>
        [
          /`([\w.-]+)`$/.exec(name)?.[1]?.split(".").at(-1) ?? name,
          names.length > 1 && defaults.length === names.length ? defaults[i]! : cell
        ] as const
      )
    })
  })

/** Whether a cell says the same as a doc comment, up to what it adds behind a colon or a semicolon. */
const agrees = (cell: string, { isRequired, stated = "" }: Option): boolean => {
  const said = plain(cell.split(/[:;] /)[0]!)
  return isRequired
    ? said === "required"
    : said !== "" && stated.startsWith(said) && /^(?:[.,:;](?:\s|$)|$)/.test(stated.slice(said.length))
}

/** The rows of tables that agree with no option of that name. */
const wrongRows = (text: string, options: ReadonlyArray<Option>) =>
  tabulated(text).filter(([name, cell]) => !options.some((option) => option.name === name && agrees(cell, option)))

/** The values that the documents state behind a name, as in "`openFor` (5 s)" and "`dialTimeout`, 5 s by default". */
const inWords = (text: string): ReadonlyArray<readonly [name: string, stated: string]> =>
  Array.from(
    text.matchAll(/`(?:\w+\.)?(\w+)`(?: \(([^()]*)\)|, (\d[^,.;:()]*) by default)/g),
    ([, name = "", inParentheses, byDefault]) =>
      [name, (inParentheses ?? byDefault ?? "").replace(/ by default$/, "")] as const
  ).filter(([, stated]) => valueOf(stated) !== undefined && /^[\d.]+(?: \w+)?$/.test(stated))

/** What the library tells of what it makes with its defaults. */
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
  const delays = Array.from(yield* RetrySchedule.delays(RetrySchedule.exponential(), 20), Duration.toMillis)
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
    ["Hedge.load", hedge!.load],
    ["RetryBudget.make", (yield* RetryBudget.make()).sustained],
    ["RetryPolicy.maxServerDelay", Duration.toMillis(RetryPolicy.default.maxServerDelay)],
    ["RetrySchedule.base", delays[0]!],
    ["RetrySchedule.exponential", delays[1]! / delays[0]!],
    ["RetrySchedule.cap", delays[19]!]
  ])
})

/** All values that are the default of an option of that name somewhere. */
const known = Effect.gen(function*() {
  const values = new Map<string, Set<number>>()
  const add = (name: string, value: number) => values.set(name, (values.get(name) ?? new Set()).add(value))
  for (const [name, value] of yield* made) {
    add(name.split(".")[1]!, value)
  }
  for (const { name, stated } of sources.flatMap((path) => optionsOf(source(path)))) {
    const value = valueOf(stated ?? "")
    if (value !== undefined) {
      add(name, value)
    }
  }
  add("rate", values.get("threshold")!.values().next().value!)
  return values
})

describe("the defaults in the documents", () => {
  for (const [place, files] of Object.entries(tablesOf)) {
    it(`${place}: the table says what the doc comment of each option says, and what the library tells`, () => {
      const rows = tabulated(textOf(place))
      assert.isNotEmpty(rows)
      const options = files.flatMap((file) => optionsOf(source(file)))
      assert.deepStrictEqual(wrongRows(textOf(place), options), [])
      const module = Path.posix.basename(files[0]!, ".ts")
      const told = Array.from(Effect.runSync(made)).filter(([name]) => name.startsWith(`${module}.`))
      assert.deepStrictEqual(
        told.filter(([name, value]) =>
          !rows.some(([option, cell]) => name === `${module}.${option}` && Math.abs(valueOf(cell)! - value) < 1e-9)
        ),
        []
      )
      const named = new Set(Markdown.inlineCode(textOf(place)).flatMap((code) => code.match(/\w+/g) ?? []))
      const unnamed = options.filter(({ name, stated }) => valueOf(stated ?? "") !== undefined && !named.has(name))
      assert.deepStrictEqual(unnamed.map(({ name }) => name), [], "has a default that the page does not state")
    })
  }

  it("every table that states the default of options is compared with the code", () => {
    const pages = Markdown.documents().filter((page) => tabulated(Markdown.read(page)).length > 0)
    const compared = new Set(Object.keys(tablesOf).map((place) => place.split("#")[0]!).concat("docs/simulator.md"))
    assert.deepStrictEqual(pages.filter((page) => !compared.has(page)), [])
    for (const page of pages.filter((page) => page !== "docs/simulator.md")) {
      const places = Object.keys(tablesOf).filter((place) => place.split("#")[0] === page)
      assert.strictEqual(
        places.flatMap((place) => tabulated(textOf(place))).length,
        tabulated(Markdown.read(page)).length
      )
    }
  })

  it("docs/simulator.md: its table says what the help of the program says", () => {
    const [, help = ""] = /^const help = `([^`]*)`/m.exec(source("testing/simulator/command.ts")) ?? []
    const options = help.split(/^ {2}--/m).slice(1).map((entry): Option => ({
      name: `--${/^[\w-]+/.exec(entry)![0]}`,
      isRequired: false,
      stated: plain(/Default: (.*)/.exec(entry.split("\n\n")[0]!.replaceAll(/\s+/g, " "))?.[1] ?? "")
    }))
    const rows = tabulated(Markdown.read("docs/simulator.md"))
    const wrong = rows.filter(([name, cell]) =>
      !options.some((option) => option.name === name && (cell === "" ? option.stated === "" : agrees(cell, option)))
    )
    assert.isAtLeast(rows.length, 9)
    assert.deepStrictEqual(wrong, [])
  })

  it("in words, behind the name of an option, are the defaults of the library", () => {
    const values = Effect.runSync(known)
    const all = Markdown.documents().flatMap((page) =>
      inWords(Markdown.read(page)).map(([name, stated]) => ({ page, name, stated }))
    )
    const checked = all.filter(({ name }) => values.has(name))
    assert.isAtLeast(checked.length, 15)
    assert.deepStrictEqual(checked.filter(({ name, stated }) => !values.get(name)!.has(valueOf(stated)!)), [])
  })

  it("in doc comments are those of the code beside them", () => {
    const wrong = sources.flatMap((path) => contradictions(source(path)).map((problem) => `${path} ${problem}`))
    assert.deepStrictEqual(wrong, [])
    const compared = sources.flatMap((path) => {
      const code = literalsOf(source(path))
      return optionsOf(source(path)).filter(({ name, stated }) => stated !== undefined && code.has(name))
    })
    assert.isAtLeast(compared.length, 40)
  })

  it("are checked: a default that is not that of the comment, or not that of the code, is found", () => {
    const text = (comment: string, code: string) =>
      `/** Waits. Default ${comment}. */\n  readonly slowStart?: number\nconst x = options.slowStart ?? ${code}`
    const table = (cell: string) => `| option | default |\n| --- | --- |\n| \`slowStart\` | ${cell} |`
    const options = optionsOf(text("10 seconds", "\"10 seconds\""))
    assert.deepStrictEqual(wrongRows(table("10 s: short"), options), [])
    for (const cell of ["1 s", "10", "10 min", "never", "required", ""]) {
      assert.deepStrictEqual(wrongRows(table(cell), options), [["slowStart", cell]])
    }
    assert.deepStrictEqual(contradictions(text("10 seconds", "\"10 seconds\"")), [])
    assert.lengthOf(contradictions(text("10 seconds", "\"15 seconds\"")), 1)
    assert.lengthOf(contradictions(text("2", "3")), 1)
  })
})
