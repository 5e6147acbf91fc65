/**
 * The tables of the bench.
 */
// oxlint-disable oxc/no-map-spread -- a few rows
import { readFileSync, writeFileSync } from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Group, Row } from "./case.js"

/** The figures of each round by case. */
export type Rounds = ReadonlyArray<ReadonlyMap<string, number>>

const median = (sorted: ReadonlyArray<number>) => sorted[sorted.length >> 1]!

const spread = (values: ReadonlyArray<number>, show: (n: number) => string) => {
  const sorted = values.toSorted((a, b) => a - b)
  return [median(sorted), sorted[0]!, sorted.at(-1)!].map(show)
}

const ratio = (n: number) => n >= 100 ? n.toFixed(0) : n.toFixed(n < 0.1 ? 3 : 2)
const whole = (n: number) => Math.round(n).toLocaleString("en-US")

const goal = ({ atLeast, atMost }: Row) =>
  atMost !== undefined ? `at most ${atMost}` : atLeast !== undefined ? `at least ${atLeast}` : ""

const reached = ({ atLeast, atMost }: Row, value: number) =>
  atMost === undefined && atLeast === undefined
    ? ""
    // the difference of two figures that are alike
    : value <= 0
    ? "lost in the noise"
    : value <= (atMost ?? Infinity) && value >= (atLeast ?? -Infinity)
    ? "reached"
    : "not reached"

/** Lines of a Markdown table, with columns as wide as their widest cell. */
const lines = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows[0]!.map((_, column) => Math.max(3, ...rows.map((row) => row[column]!.length)))
  const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  return [line(rows[0]!), line(widths.map((width) => "-".repeat(width))), ...rows.slice(1).map(line)]
}

/** The ratios of a group, and below them the figures that they are made of. */
export const table = (group: Group, rounds: Rounds): string => {
  const heading = `### ${group.title}\n`
  if (rounds.length === 0) {
    return `${heading}\nNot measured: ${group.skipped}.\n`
  }
  const rows = group.rows.map((row) => {
    const ratios = rounds.map((figures) =>
      row.ratio((name) => {
        const figure = figures.get(name)
        if (figure === undefined) {
          throw new Error(`the case "${name}" has no figure`)
        }
        return figure
      })
    )
    const sorted = ratios.toSorted((a, b) => a - b)
    return [row.what, ...spread(ratios, ratio), goal(row), reached(row, median(sorted))]
  })
  const figures = [...rounds[0]!.keys()].toSorted().map((name) => [
    name,
    ...spread(rounds.map((figures) => figures.get(name)!), whole)
  ])
  return [
    heading,
    ...lines([["ratio", "median", "min", "max", "target", ""], ...rows]),
    "",
    `The figures, ${group.unit}; ${rounds.length} round${rounds.length === 1 ? "" : "s"}:`,
    "",
    ...lines([["case", "median", "min", "max"], ...figures]),
    ""
  ].join("\n")
}

const version = (name: string) =>
  (JSON.parse(
    readFileSync(Path.join(import.meta.dirname, "../../node_modules", name, "package.json"), "utf8")
  ) as { version: string }).version

const peers = ["effect", "@effect/platform", "@effect/rpc", "@grpc/grpc-js", "@connectrpc/connect", "thrift"]
const others = ["cockatiel", "opossum", "p-retry"]

const begin = "<!-- written by npm run bench -->"
const end = "<!-- end -->"

/** Puts the tables into the page between its two marks. */
export const write = (page: string, tables: ReadonlyArray<string>): void => {
  const text = readFileSync(page, "utf8")
  const [before, after] = [text.slice(0, text.indexOf(begin)), text.slice(text.indexOf(end))]
  const versions = [...peers, ...others].map((name) => `${name} ${version(name)}`).join(", ")
  const machine = `Node ${process.version}, ${Os.availableParallelism()} × ${Os.cpus()[0]?.model ?? "unknown"}`
  const made = `Measured with ${machine}: ${versions}.`
  writeFileSync(page, [before + begin, "", made, "", ...tables, end].join("\n") + after.slice(end.length))
}
