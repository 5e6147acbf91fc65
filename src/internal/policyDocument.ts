/**
 * A policy as JSON, and as environment variables.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { InvalidOption } from "../InvalidOption.js"
import type * as RetryPolicy from "../RetryPolicy.js"
import * as RetrySchedule from "../RetrySchedule.js"
import { type Retryable, RetryableReason } from "../RpcError.js"
import * as documents from "./documents.js"

const Jitter = Schema.Union(
  Schema.Literal("none", "full", "equal"),
  Schema.Struct({ proportional: Schema.Number })
)

/** @internal */
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
  maxServerDelay: Schema.optional(documents.DurationText),
  retryOn: Schema.optional(Schema.NonEmptyArray(RetryableReason))
})

/** @internal */
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

const toSchedule = (document: NonNullable<Document["schedule"]>): Schedule.Schedule<unknown> =>
  document === "none"
    ? Schedule.stop
    : RetrySchedule.exponential(document).pipe(
      (schedule) => jittered(schedule, document.jitter ?? "none"),
      RetrySchedule.retries(document.retries ?? 3)
    )

/**
 * The options that a document stands for; they are checked when a policy is made of them.
 *
 * @internal
 */
export const toOptions = (where: string, document: Document): Either.Either<RetryPolicy.Options, InvalidOption> => {
  const { retryOn, schedule, ...rest } = document
  const retryIf = retryOn === undefined ? undefined : (error: Retryable) => retryOn.includes(error.reason)
  return schedule === undefined
    ? Either.right({ ...rest, retryIf })
    : Either.map(
      documents.attempt(where, "schedule", () => toSchedule(schedule)),
      (schedule) => ({ ...rest, retryIf, schedule })
    )
}

const optional = <A>(config: Config.Config<A>) => Config.map(Config.option(config), Option.getOrUndefined)

const text = (name: string) => optional(Config.string(name))

/**
 * The same document from flat keys, as environment variables have them.
 *
 * @internal
 */
export const config: Config.Config<unknown> = Config.all({
  base: text("BASE"),
  factor: optional(Config.number("FACTOR")),
  cap: text("CAP"),
  retries: optional(Config.integer("RETRIES")),
  jitter: text("JITTER"),
  attemptTimeout: text("ATTEMPT_TIMEOUT"),
  deadline: text("DEADLINE"),
  idempotent: optional(Config.boolean("IDEMPOTENT")),
  maxServerDelay: text("MAX_SERVER_DELAY"),
  retryOn: optional(Config.array(Config.string(), "RETRY_ON"))
}).pipe(Config.map((flat) => {
  const { base, cap, factor, jitter, retries, ...rest } = flat
  const schedule = withoutUndefined({ base, cap, factor, jitter, retries })
  return withoutUndefined(Object.assign(rest, { schedule: Object.keys(schedule).length === 0 ? undefined : schedule }))
}))

const withoutUndefined = (record: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

/**
 * An error of ours as the `Config` it came from would say it.
 *
 * @internal
 */
export const configError = (error: InvalidOption): ConfigError.ConfigError =>
  ConfigError.InvalidData(error.field.split("."), error.message)
