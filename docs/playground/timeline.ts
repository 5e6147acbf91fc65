/**
 * Draws one call: a row for each attempt, and its deadline.
 */
import { h, s, time } from "./dom.js"
import type { Call } from "./protocol.js"

const rowHeight = 26
const left = 28
const width = 560

/** The most attempts that are drawn. */
const most = 100

const marks = { ok: "✓", failed: "✗", cut: "✂" }

const sentence = (call: Call): string =>
  `${call.attempts.length} ${call.attempts.length === 1 ? "attempt" : "attempts"}; ` +
  (call.end === undefined
    ? "the call has no end"
    : `the call ${call.succeeded ? "succeeds" : "fails"} after ${time(call.end)}`)

/** The instant at the right end: a little after the last that there is to show. */
export const spanOf = (calls: ReadonlyArray<Call>): number =>
  Math.max(
    1,
    ...calls.map(({ attempts, deadline, end }) => {
      const last = attempts.reduce((last, { to }) => Math.max(last, to), end ?? 0)
      // a deadline far behind the end would leave no room for the rest
      return 1.12 * (deadline !== undefined && deadline < 2 * last ? Math.max(last, deadline) : last)
    })
  )

const ticksOf = (span: number): ReadonlyArray<number> => {
  const least = span / 5
  const power = 10 ** Math.floor(Math.log10(least))
  const step = [1, 2, 5, 10].map((n) => n * power).find((step) => step >= least)!
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => i * step)
}

export const draw = (call: Call, span: number): HTMLElement => {
  const attempts = call.attempts.slice(0, most)
  const height = rowHeight * attempts.length + 22
  const x = (millis: number) => left + (width - left) * millis / span
  const bottom = height - 20
  const svg = s(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": sentence(call) },
    ...ticksOf(span).flatMap((tick) => [
      s("line", { class: "tick", x1: x(tick), x2: x(tick), y1: 0, y2: bottom }),
      s(
        "text",
        { class: "label", x: x(tick), y: height - 5, "text-anchor": tick === 0 ? "start" : "middle" },
        time(tick)
      )
    ]),
    ...attempts.flatMap(({ end, from, reason, to }, i) => {
      const y = i * rowHeight + 4
      const end_ = Math.max(x(to), x(from) + 3)
      const says = `${marks[end]} ${reason}, ${time(to - from)}`
      const isRoomBehind = end_ + 7.2 * says.length < width
      return [
        s("text", { class: "label", x: 4, y: y + 13 }, String(i + 1)),
        s("rect", { class: end, x: x(from), y, width: end_ - x(from), height: rowHeight - 8, rx: 3 }),
        s(
          "text",
          isRoomBehind
            ? { class: "says", x: end_ + 6, y: y + 13 }
            : end_ - x(from) > 7.2 * says.length
            ? { class: "says inside", x: end_ - 6, y: y + 13, "text-anchor": "end" }
            : { class: "says", x: x(from) - 6, y: y + 13, "text-anchor": "end" },
          says
        )
      ]
    }),
    ...call.deadline === undefined || call.deadline > span ? [] : [
      s("line", { class: "deadline", x1: x(call.deadline), x2: x(call.deadline), y1: 0, y2: bottom })
    ]
  )
  return h(
    "div",
    {},
    h(
      "p",
      { class: "sentence" },
      `${sentence(call)}${
        call.deadline === undefined
          ? ""
          : `; deadline ${time(call.deadline)}${call.deadline > span ? "" : ", the dashed line"}`
      }.`
    ),
    h("div", { class: "scroll" }, svg),
    ...call.attempts.length > most ? [h("p", {}, `These are the first ${most} attempts.`)] : [],
    h("pre", {}, call.story)
  )
}
