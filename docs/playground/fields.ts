/**
 * The controls for the fields of a document, and what each does to it.
 */

export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

export interface Choice {
  readonly label: string
  /** What the field becomes; `undefined` leaves it out. */
  readonly value: Json | undefined
  /** Another field that it needs. */
  readonly needs?: { readonly path: ReadonlyArray<string>; readonly value: Json }
  /** Whether a field is that choice. Default: when it is the value. */
  readonly is?: (field: Json | undefined) => boolean
}

export interface Field {
  readonly label: string
  readonly path: ReadonlyArray<string>
  /** What can be chosen; else the field is text, or a number. */
  readonly choices?: ReadonlyArray<Choice>
  /** Shown in an empty field: its default. */
  readonly hint?: string
  readonly isNumber?: boolean
  /** Whether the field has a meaning in this document. */
  readonly when?: (document: Json) => boolean
}

export interface Group {
  readonly legend: string
  readonly fields: ReadonlyArray<Field>
}

const isObject = (json: Json | undefined): json is { readonly [key: string]: Json } =>
  typeof json === "object" && json !== null && !Array.isArray(json)

export const get = (document: Json | undefined, path: ReadonlyArray<string>): Json | undefined =>
  path.reduce<Json | undefined>(
    (json, key) => isObject(json) && Object.hasOwn(json, key) ? json[key] : undefined,
    document
  )

/** Sets a field, or leaves it out, together with the objects around it that are empty then. */
export const set = (
  document: Json | undefined,
  path: ReadonlyArray<string>,
  value: Json | undefined
): Json | undefined => {
  const [key, ...rest] = path
  if (key === undefined) {
    return value
  }
  const { [key]: old, ...others } = isObject(document) ? document : {}
  const inner = set(old, rest, value)
  const entries = inner === undefined ? others : isObject(document) ? { ...document, [key]: inner } : { [key]: inner }
  return Object.keys(entries).length === 0 ? undefined : entries
}

const has = (...path: ReadonlyArray<string>) => (document: Json) => get(document, path) !== undefined
const isAt = (...path: ReadonlyArray<string>) => (document: Json) => isObject(get(document, path))

const text = (label: string, path: string, hint: string, when?: Field["when"]): Field => ({
  label,
  path: path.split("."),
  hint,
  ...when && { when }
})

const number = (...args: Parameters<typeof text>): Field => ({ ...text(...args), isNumber: true })

/** A hedged call runs twice on purpose. */
const idempotent = { path: ["default", "idempotent"], value: true }

const off: Choice = { label: "off", value: "off" }

/** A choice that stands for all objects. */
const some = (label: string, value: Json): Choice => ({ label, value, is: isObject })

export const groups: ReadonlyArray<Group> = [
  {
    legend: "Retries",
    fields: [
      number("retries", "default.schedule.retries", "3"),
      text("first delay", "default.schedule.base", "100ms"),
      number("factor", "default.schedule.factor", "1.5"),
      text("longest delay", "default.schedule.cap", "1s"),
      {
        label: "jitter",
        path: ["default", "schedule", "jitter"],
        choices: [
          { label: "none", value: undefined, is: (field) => field === undefined || field === "none" },
          { label: "full", value: "full" },
          { label: "equal", value: "equal" },
          { ...some("proportional", { proportional: 0.2 }) }
        ]
      }
    ]
  },
  {
    legend: "Bounds",
    fields: [
      text("attempt timeout", "default.attemptTimeout", "1s here"),
      text("deadline", "default.deadline", "none"),
      {
        label: "may run twice",
        path: ["default", "idempotent"],
        choices: [
          { label: "not said", value: undefined },
          { label: "yes, idempotent", value: true },
          { label: "no", value: false }
        ]
      }
    ]
  },
  {
    legend: "Retry budget",
    fields: [
      {
        label: "budget",
        path: ["budget"],
        choices: [
          { label: "default", value: undefined },
          off,
          some("other", { ratio: 0.1, capacity: 10 })
        ]
      },
      number("share of successes", "budget.ratio", "0.1", isAt("budget")),
      number("capacity", "budget.capacity", "10", isAt("budget"))
    ]
  },
  {
    legend: "Hedge",
    fields: [
      {
        label: "second attempt",
        path: ["default", "hedge"],
        choices: [
          { label: "none", value: undefined },
          {
            label: "after a time",
            value: { after: "150ms", load: 0.05 },
            needs: idempotent,
            is: (field) => isObject(field) && !isObject(field["after"])
          },
          {
            label: "at a quantile",
            value: { after: { quantile: 0.95 }, load: 0.05 },
            needs: idempotent,
            is: (field) => isObject(field) && isObject(field["after"])
          }
        ]
      },
      text(
        "after",
        "default.hedge.after",
        "150ms",
        (document) => isAt("default", "hedge")(document) && !isAt("default", "hedge", "after")(document)
      ),
      number("quantile", "default.hedge.after.quantile", "0.95", isAt("default", "hedge", "after")),
      number("extra load", "default.hedge.load", "0.05", isAt("default", "hedge"))
    ]
  },
  {
    legend: "Circuit breaker",
    fields: [
      {
        label: "opens",
        path: ["breaker"],
        choices: [
          { label: "never", value: undefined, is: (field) => field === undefined || field === "off" },
          {
            label: "after failures in a row",
            value: { trip: { consecutive: 5 } },
            is: (field) => isObject(field) && get(field, ["trip", "rate"]) === undefined
          },
          {
            label: "at a rate of failures",
            value: { trip: { rate: { threshold: 0.5, window: "10s" } } },
            is: has("trip", "rate") as (field: Json | undefined) => boolean
          }
        ]
      },
      number("failures", "breaker.trip.consecutive", "5", has("breaker", "trip", "consecutive")),
      number("rate", "breaker.trip.rate.threshold", "0.5", has("breaker", "trip", "rate")),
      text("open for", "breaker.openFor", "5s", isAt("breaker"))
    ]
  },
  {
    legend: "Bulkhead and throttle",
    fields: [
      {
        label: "bulkhead",
        path: ["bulkhead"],
        choices: [
          { label: "none", value: undefined, is: (field) => field === undefined || field === "off" },
          some("on", { concurrency: 10, queue: 10 })
        ]
      },
      number("at a time", "bulkhead.concurrency", "10", isAt("bulkhead")),
      number("waiting", "bulkhead.queue", "10", isAt("bulkhead")),
      {
        label: "throttle",
        path: ["throttle"],
        choices: [
          { label: "none", value: undefined, is: (field) => field === undefined || field === "off" },
          some("on", { k: 2 })
        ]
      },
      number("k", "throttle.k", "2", isAt("throttle"))
    ]
  }
]
