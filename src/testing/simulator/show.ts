/**
 * Prints the result of a run, in at most 80 columns.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import type { Headroom } from "./headroom.js"
import type { Point, Report } from "./recorder.js"

const time = (millis: number | null): string =>
  millis === null
    ? "none"
    : millis < 1000
    ? `${Math.round(millis * 10) / 10} ms`
    : Duration.format(Duration.millis(Math.round(millis / 100) * 100))

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`

const number = (n: number): string => String(Math.round(n * 100) / 100)

const recoveryOf = ({ recovery }: Report): string =>
  recovery === null
    ? "no fault"
    : recovery === "never"
    ? "never"
    : recovery === 0
    ? "at once"
    : `after ${time(recovery)}`

const rowsOf = (result: Report, headroom: Headroom | undefined): ReadonlyArray<readonly [string, string]> => [
  ["calls", String(result.calls)],
  ["success", percent(result.success)],
  ["goodput", `${number(result.goodput)} /s`],
  ["amplification", `${number(result.amplification)} attempts for each call`],
  ["latency", `p50 ${time(result.p50)}, p95 ${time(result.p95)}, p99 ${time(result.p99)}`],
  ["recovery", recoveryOf(result)],
  ...headroom === undefined ? [] : [["headroom", headroomOf(headroom)] as const],
  ["wasted work", percent(result.wasted)],
  ["failures", Object.entries(result.failures).map(([reason, n]) => `${reason} ${n}`).join(", ") || "none"],
  ["explained", percent(result.explained)]
]

const headroomOf = ({ capacity, load, of }: Headroom): string =>
  `recovers up to ${number(load)} (here ${number(of)}${
    capacity === null ? "" : `, servers can do ${number(capacity)}`
  })`

const columns = 72
const height = 8

interface Column {
  readonly offered: number
  readonly attempts: number
  readonly goodput: number
}

const mean = (points: ReadonlyArray<Point>, of: (point: Point) => number): number =>
  points.reduce((sum, point) => sum + of(point), 0) / points.length

/** The steps of the series, in so many columns or fewer. */
const columnsOf = ({ series }: Report): ReadonlyArray<Column> => {
  const width = Math.ceil(series.length / columns)
  return Array.from({ length: Math.ceil(series.length / width) }, (_, i) => {
    const points = series.slice(i * width, (i + 1) * width)
    return {
      offered: mean(points, ({ offered }) => offered),
      attempts: mean(points, ({ attempts }) => attempts),
      goodput: mean(points, ({ goodput }) => goodput)
    }
  })
}

const chart = (result: Report): ReadonlyArray<string> => {
  const all = columnsOf(result)
  const most = Math.max(1, ...all.flatMap((column) => Object.values<number>({ ...column })))
  const rows = Array.from({ length: height }, (_, i) => {
    const row = height - i
    const line = all.map(({ attempts, goodput, offered }) => {
      const is = (n: number) => Math.ceil(n / most * height) === row
      return is(attempts) && attempts > 1.05 * Math.max(offered, goodput)
        ? "x"
        : goodput / most * height >= row - 0.5
        ? "█"
        : is(offered)
        ? "-"
        : " "
    }).join("")
    const label = row === height ? String(Math.round(most)) : ""
    return `${label.padStart(6)} |${line}`.trimEnd()
  })
  const end = `${Math.round(result.duration / 1000)} s`
  return [
    "per second: █ calls that succeeded, - calls, x attempts",
    ...rows,
    `${"0".padStart(6)} +${"-".repeat(all.length)}`,
    `${" ".repeat(8)}0${end.padStart(all.length - 1)}`
  ]
}

/**
 * A table and a chart.
 *
 * @internal
 */
export const show = (result: Report, headroom?: Headroom): string =>
  [
    ...rowsOf(result, headroom).map(([name, value]) => `${name.padEnd(14)} ${value}`),
    "",
    ...result.series.length === 0 ? [] : chart(result)
  ].join("\n").trimEnd()
