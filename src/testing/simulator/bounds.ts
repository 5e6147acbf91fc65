/**
 * Bounds on the result of a run, as text: `recovery > 60s`.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import { DurationText } from "../../internal/config/decode.js"
import { nearest } from "../../internal/options/suggest.js"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"
import type { Headroom } from "./headroom.js"
import type { Report } from "./recorder.js"

/**
 * What is measured of a run.
 *
 * @internal
 */
export interface Measured extends Report {
  /** Where it was searched for. */
  readonly headroom?: Headroom | undefined
}

type Unit = "time" | "share" | "number"

interface Metric {
  readonly unit: Unit
  readonly of: (measured: Measured) => number
}

/** A latency of no call is longer than any. */
const latency = (name: "p50" | "p95" | "p99"): Metric => ({ unit: "time", of: (result) => result[name] ?? Infinity })

const metrics: Readonly<Record<string, Metric>> = {
  recovery: { unit: "time", of: ({ recovery }) => recovery === "never" ? Infinity : recovery ?? 0 },
  amplification: { unit: "number", of: ({ amplification }) => amplification },
  goodput: { unit: "number", of: ({ goodput }) => goodput },
  success: { unit: "share", of: ({ success }) => success },
  p50: latency("p50"),
  p95: latency("p95"),
  p99: latency("p99"),
  wasted: { unit: "share", of: ({ wasted }) => wasted },
  explained: { unit: "share", of: ({ explained }) => explained },
  headroom: { unit: "number", of: ({ headroom }) => headroom?.load ?? 0 }
}

const names = Object.keys(metrics)

const operators: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b
}

/**
 * A bound that is broken when it holds.
 *
 * @internal
 */
export interface Bound {
  /** The name of what is measured. */
  readonly name: string
  /** Returns what is wrong with a result; `undefined` when it keeps the bound. */
  readonly broken: (measured: Measured) => string | undefined
}

const expected: Readonly<Record<Unit, string>> = {
  time: `a duration, such as "60s"`,
  share: `a share from 0 to 1, such as "99%" or 0.99`,
  number: "a number of at least 0"
}

const parsed = (unit: Unit, text: string): number | undefined => {
  const isPercent = unit === "share" && text.endsWith("%")
  const value = isPercent ? text.slice(0, -1) : text
  // neither 1e3 nor 0x10: what is measured is of everyday size
  const number = /^\d*\.?\d+\s*$/.test(value) ? Number(value) : Number.NaN
  if (unit !== "time") {
    const actual = isPercent ? number / 100 : number
    return Number.isNaN(number) || unit === "share" && actual > 1 ? undefined : actual
  }
  const duration = Number.isNaN(number) ? Result.getOrUndefined(Result.decodeUnknown(DurationText)(text)) : undefined
  return duration === undefined ? undefined : Duration.toMillis(duration)
}

const shown: Readonly<Record<Unit, (value: number) => string>> = {
  time: (value) => value === Infinity ? "never" : Duration.format(Duration.millis(Math.round(value))),
  share: (value) => `${Math.round(value * 10_000) / 100}%`,
  number: (value) => String(Math.round(value * 1000) / 1000)
}

/**
 * Reads a bound.
 *
 * @internal
 */
export const parse = (where: string, text: string): Result.Result<Bound, InvalidOption> => {
  const invalid = (problem: string) => Result.fail(new InvalidOption({ where, field: JSON.stringify(text), problem }))
  const match = /^\s*([^\s<>=]+)\s*([<>]=?)\s*(.*?)\s*$/.exec(text)
  if (match === null) {
    return invalid(`must be a name, a comparison and a value, such as "recovery > 60s"; there are ${names.join(", ")}`)
  }
  const [, name, operator, said] = match as unknown as readonly [string, string, string, string]
  const metric = Object.hasOwn(metrics, name) ? metrics[name] : undefined
  if (metric === undefined) {
    const meant = nearest(name, names)
    return invalid(
      `names no metric${meant === undefined ? "" : `, did you mean ${meant}?`}; there are ${names.join(", ")}`
    )
  }
  const value = parsed(metric.unit, said)
  if (value === undefined) {
    return invalid(`must compare ${name} to ${expected[metric.unit]}, got ${JSON.stringify(said)}`)
  }
  return Result.succeed({
    name,
    broken: (measured) => {
      const actual = metric.of(measured)
      return operators[operator]!(actual, value)
        ? `${name} is ${shown[metric.unit](actual)}, and must not be ${operator} ${said}`
        : undefined
    }
  })
}
