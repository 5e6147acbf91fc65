/**
 * Decodes a policy from JSON and from environment variables.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Hedge from "../../Hedge.js"
import { InvalidOption } from "../../InvalidOption.js"
import * as RetrySchedule from "../../RetrySchedule.js"
import { type Retryable, RetryableReason } from "../../RpcError.js"
import type * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"
import * as documents from "./decode.js"

const Jitter = Schema.Union(
  Schema.Literal("none", "full", "equal"),
  Schema.Struct({ proportional: Schema.Number })
)

const HedgeOptions = Schema.Struct({
  after: Schema.Union(documents.DurationText, Schema.Struct({ quantile: Schema.Number })),
  max: Schema.optional(Schema.Number),
  load: Schema.optional(Schema.Number)
})

/**
 * The schema of a policy in JSON.
 *
 * @internal
 */
export const Document = Schema.Struct({
  schedule: Schema.optional(Schema.Union(
    Schema.Literal("none"),
    Schema.Struct({
      base: Schema.optional(documents.DurationText),
      factor: Schema.optional(Schema.Number),
      cap: Schema.optional(documents.DurationText),
      retries: Schema.optional(Schema.Number),
      jitter: Schema.optional(Jitter)
    })
  )),
  attemptTimeout: Schema.optional(documents.DurationText),
  deadline: Schema.optional(documents.DurationText),
  idempotent: Schema.optional(Schema.Boolean),
  minServerDelay: Schema.optional(documents.DurationText),
  maxServerDelay: Schema.optional(documents.DurationText),
  retryOn: Schema.optional(Schema.NonEmptyArray(RetryableReason)),
  breaker: Schema.optional(Schema.Literal("off")),
  bulkhead: Schema.optional(Schema.Literal("off")),
  throttle: Schema.optional(Schema.Literal("off")),
  hedge: Schema.optional(Schema.Union(Schema.Literal("off"), HedgeOptions)),
  spans: Schema.optional(Schema.Boolean),
  logs: Schema.optional(Schema.Boolean)
})

/**
 * A decoded policy document.
 *
 * @internal
 */
export type Document = typeof Document.Type

const jittered = (
  schedule: ReturnType<typeof RetrySchedule.exponential>,
  jitter: typeof Jitter.Type
): ReturnType<typeof RetrySchedule.exponential> => {
  switch (jitter) {
    case "none":
      return schedule
    case "full":
      return RetrySchedule.fullJitter(schedule)
    case "equal":
      return RetrySchedule.equalJitter(schedule)
    default:
      return RetrySchedule.proportional(schedule, jitter.proportional)
  }
}

const toSchedule = (document: NonNullable<Document["schedule"]>): Schedule.Schedule<unknown> => {
  if (document === "none") {
    return Schedule.stop
  }
  const { jitter = "none", retries = 3, ...rest } = document
  return RetrySchedule.retries(jittered(RetrySchedule.exponential(rest), jitter), retries)
}

/** Maps the option names of the schedule constructors to the names in a document, for errors. */
const inDocument = new Map([["schedule.n", "schedule.retries"], ["schedule.p", "schedule.jitter.proportional"]])

const scheduleOf = (where: string, document: NonNullable<Document["schedule"]>) =>
  Result.mapError(
    documents.attempt(where, "schedule", () => toSchedule(document)),
    ({ field, problem }) => new InvalidOption({ where, field: inDocument.get(field) ?? field, problem })
  )

/**
 * Converts a document to the options of a policy. `RetryPolicy.validate` checks them afterwards.
 *
 * @internal
 */
export const toOptions = (where: string, document: Document): Result.Result<RetryPolicy.Options, InvalidOption> => {
  const { hedge, retryOn, schedule, ...rest } = document
  const retryIf = retryOn === undefined ? undefined : (error: Retryable) => retryOn.includes(error.reason)
  // that a hedge has `idempotent: true` beside it is checked with the rest
  const options = {
    ...rest,
    retryIf,
    hedge: hedge === undefined || hedge === "off" ? hedge : toHedge(hedge)
  } as RetryPolicy.Options
  return schedule === undefined
    ? Result.succeed(options)
    : Result.map(scheduleOf(where, schedule), (schedule) => ({ ...options, schedule }))
}

const toHedge = ({ after, ...rest }: typeof HedgeOptions.Type): Hedge.Options => ({
  ...rest,
  after: Duration.isDuration(after) ? after : { _tag: "Quantile", quantile: after.quantile }
})

/**
 * Reads an optional key and trims white space. An empty value counts as absent.
 *
 * @internal
 */
export const text = (name: string): Config.Config<string | undefined> =>
  Config.map(
    Config.option(Config.string(name)),
    (value) => Option.getOrUndefined(Option.filter(Option.map(value, (text) => text.trim()), (text) => text !== ""))
  )

/**
 * Reads an optional key and parses its value.
 *
 * - `kind`: what the value must be, for the error.
 * - `parse`: returns `undefined` for a value that is not of that kind.
 *
 * @internal
 */
export const parsedAs = <A>(name: string, kind: string, parse: (text: string) => A | undefined) =>
  Config.mapOrFail(text(name), (value): Result.Result<A | undefined, ConfigError.ConfigError> => {
    const parsed = value === undefined ? undefined : parse(value)
    return value !== undefined && parsed === undefined
      ? Result.fail(ConfigError.InvalidData([name], `must be ${kind}, got ${value}`))
      : Result.succeed(parsed)
  })

const number = (name: string) =>
  parsedAs(name, "a number", (text) => Number.isFinite(Number(text)) ? Number(text) : undefined)

const boolean = (name: string) =>
  parsedAs(name, "true or false", (text) => text === "true" ? true : text === "false" ? false : undefined)

const list = (name: string) => parsedAs(name, "a list", (text) => text.split(",").map((part) => part.trim()))

/**
 * Reads a key with `off` or with JSON, which the decoder of the document checks.
 *
 * @internal
 */
export const json = (name: string) =>
  Config.mapOrFail(
    text(name),
    (text): Result.Result<unknown, ConfigError.ConfigError> =>
      text === undefined || text === "off"
        ? Result.succeed(text)
        : Result.mapError(
          documents.parsed("", text),
          ({ problem }) => ConfigError.InvalidData([name], `must be "off" or options as JSON, but ${problem}`)
        )
  )

/** Reads a jitter: its name, such as `full`, or a number for a proportional one. */
const jitter = (name: string) =>
  Config.map(
    text(name),
    (value) => value === undefined || Number.isNaN(Number(value)) ? value : { proportional: Number(value) }
  )

/**
 * The keys that {@link config} reads, without their prefix.
 *
 * @internal
 */
export const keys = [
  "BASE",
  "FACTOR",
  "CAP",
  "RETRIES",
  "JITTER",
  "ATTEMPT_TIMEOUT",
  "DEADLINE",
  "IDEMPOTENT",
  "MIN_SERVER_DELAY",
  "MAX_SERVER_DELAY",
  "RETRY_ON",
  "HEDGE",
  "SPANS",
  "LOGS"
] as const

/**
 * Reads a policy document from flat keys, such as environment variables.
 *
 * @internal
 */
export const config: Config.Config<unknown> = Config.all({
  base: text("BASE"),
  factor: number("FACTOR"),
  cap: text("CAP"),
  retries: number("RETRIES"),
  jitter: jitter("JITTER"),
  attemptTimeout: text("ATTEMPT_TIMEOUT"),
  deadline: text("DEADLINE"),
  idempotent: boolean("IDEMPOTENT"),
  minServerDelay: text("MIN_SERVER_DELAY"),
  maxServerDelay: text("MAX_SERVER_DELAY"),
  retryOn: list("RETRY_ON"),
  hedge: json("HEDGE"),
  spans: boolean("SPANS"),
  logs: boolean("LOGS")
}).pipe(Config.map((flat) => {
  const { base, cap, factor, jitter, retries, ...rest } = flat
  const schedule = withoutUndefined({ base, cap, factor, jitter, retries })
  return withoutUndefined(Object.assign(rest, { schedule: Object.keys(schedule).length === 0 ? undefined : schedule }))
}))

/**
 * Leaves out the fields that are `undefined`.
 *
 * @internal
 */
export const withoutUndefined = (record: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

/**
 * Converts an `InvalidOption` to a `ConfigError` that names the key.
 *
 * @internal
 */
export const configError = (error: InvalidOption): ConfigError.ConfigError => {
  const field = error.field.replace(/^default\./, "").replace(/^schedule\./, "").replace(/[.[].*$/, "")
  return ConfigError.InvalidData([field.replaceAll(/[A-Z]/g, "_$&").toUpperCase()], error.message)
}
