/**
 * What the runs came to, in a table: a column for each side.
 */
import type * as Simulator from "effect-rpc-retry/testing/Simulator"
import { h, time } from "./dom.js"

const percent = (share: number) => `${Math.round(share * 1000) / 10} %`
const latency = (millis: number | null) => millis === null ? "none" : time(millis)

const rows: ReadonlyArray<readonly [name: string, of: (report: Simulator.Report) => string]> = [
  [
    "recovery after the fault",
    ({ recovery }) =>
      recovery === null ? "no fault" : recovery === "never" ? "never" : recovery === 0 ? "at once" : time(recovery)
  ],
  ["calls that succeed", ({ success }) => percent(success)],
  ["of them, per second", ({ goodput }) => String(Math.round(goodput * 100) / 100)],
  ["attempts for each call", ({ amplification }) => String(Math.round(amplification * 1000) / 1000)],
  ["latency, median", ({ p50 }) => latency(p50)],
  ["latency, 95 %", ({ p95 }) => latency(p95)],
  ["latency, 99 %", ({ p99 }) => latency(p99)],
  ["work for nobody", ({ wasted }) => percent(wasted)],
  ["failures that say why", ({ explained }) => percent(explained)],
  ["failures", ({ failures }) => Object.entries(failures).map(([reason, n]) => `${reason} ${n}`).join(", ") || "none"]
]

export const table = (a: Simulator.Report | undefined, b: Simulator.Report | undefined): HTMLElement =>
  h(
    "table",
    {},
    h("caption", {}, "What the runs come to"),
    h("thead", {}, h("tr", {}, h("td"), h("th", { scope: "col" }, "A"), h("th", { scope: "col" }, "B"))),
    h(
      "tbody",
      {},
      ...rows.map(([name, of]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          ...[a, b].map((report) => h("td", {}, report === undefined ? "…" : of(report)))
        )
      )
    )
  )

/** What a chart shows, in a sentence. */
export const sentence = (name: string, report: Simulator.Report): string =>
  `Policy ${name}, ${report.scenario}: ${percent(report.success)} of ${report.calls} calls succeed, with ` +
  `${rows[3]![1](report)} attempts for each; recovery ${rows[0]![1](report)}.`
