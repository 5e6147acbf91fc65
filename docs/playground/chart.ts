/**
 * Draws the calls, attempts and successes of a run over time.
 */
import type * as Simulator from "effect-rpc-retry/testing/Simulator"
import uPlot from "uplot"
import type { Band } from "./protocol.js"

export interface Run {
  readonly report: Simulator.Report
  readonly faults: ReadonlyArray<Band>
}

const height = 230

const colour = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()

/** The most that a chart has to have room for. */
export const mostOf = (runs: ReadonlyArray<Run>): number =>
  runs.flatMap(({ report }) => report.series).reduce(
    // a list of a month of seconds is too long for arguments
    (most, { attempts, offered }) => Math.max(most, attempts, offered),
    1
  )

/** Shades the times in which something is wrong. */
const shade = (faults: ReadonlyArray<Band>) => (plot: uPlot): void => {
  const { ctx, bbox: { height, left, top, width } } = plot
  ctx.save()
  ctx.fillStyle = colour("fault")
  for (const { from, to } of faults) {
    const start = Math.max(left, plot.valToPos(from, "x", true))
    const end = Math.min(left + width, plot.valToPos(to, "x", true))
    ctx.fillRect(start, top, Math.max(0, end - start), height)
  }
  ctx.restore()
}

/** Draws into an element, in place of what is there. The chart keeps its width when the window changes. */
export const draw = (element: HTMLElement, { faults, report }: Run, most: number): () => void => {
  const { series } = report
  const axis: uPlot.Axis = {
    stroke: colour("text"),
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
    font: "12px system-ui, sans-serif"
  }
  element.replaceChildren()
  const plot = new uPlot(
    {
      width: element.clientWidth,
      height,
      scales: { x: { time: false }, y: { range: [0, most * 1.05] } },
      axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => `${tick} s`) }, { ...axis, size: 46 }],
      series: [
        { label: "time", value: (_, at) => at === null ? "" : `${at} s` },
        { label: "succeeded", stroke: colour("ok"), fill: colour("ok-fill"), width: 2, points: { show: false } },
        { label: "calls", stroke: colour("text"), width: 1.5, dash: [6, 4], points: { show: false } },
        { label: "attempts", stroke: colour("failed"), width: 1.5, points: { show: false } }
      ],
      cursor: { sync: { key: "fleet" }, drag: { x: false, y: false } },
      hooks: { drawClear: [shade(faults)] }
    },
    [
      series.map(({ at }) => at / 1000),
      series.map(({ goodput }) => goodput),
      series.map(({ offered }) => offered),
      series.map(({ attempts }) => attempts)
    ],
    element
  )
  const observer = new ResizeObserver(() => {
    if (element.clientWidth > 0 && element.clientWidth !== plot.width) {
      plot.setSize({ width: element.clientWidth, height })
    }
  })
  observer.observe(element)
  return () => {
    observer.disconnect()
    plot.destroy()
  }
}
