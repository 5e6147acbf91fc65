/**
 * The options of a layer as JSON, and as environment variables.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as Either from "effect/Either"
import { pipe } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { InvalidOption } from "../InvalidOption.js"
import * as RetryBudget from "../RetryBudget.js"
import * as RetryPolicy from "../RetryPolicy.js"
import type { LayerOptions } from "../RpcRetry.js"
import * as documents from "./documents.js"
import { checkName } from "./policies.js"
import * as policyDocument from "./policyDocument.js"

const Document = Schema.Struct({
  default: Schema.optional(policyDocument.Document),
  methods: Schema.optional(Schema.Record({
    key: Schema.String,
    value: Schema.Union(Schema.Literal("off"), policyDocument.Document)
  })),
  budget: Schema.optional(Schema.Union(
    Schema.Literal("off"),
    Schema.Struct({ ratio: Schema.optional(Schema.Number), capacity: Schema.optional(Schema.Number) })
  ))
})

const where = "RpcRetry.decode"

/**
 * The options, and what was said of the budget, as text to compare.
 *
 * @internal
 */
export const decodeKeyed = (
  document: unknown
): Either.Either<{ readonly options: LayerOptions; readonly budgetKey: string }, InvalidOption> =>
  Either.gen(function*() {
    const input = yield* documents.parsed(where, document)
    yield* withoutProto(input)
    const valid = yield* documents.decode(where, Document, input)
    const checked = (path: string, policy: policyDocument.Document) =>
      pipe(
        policyDocument.toOptions(where, policy),
        Either.flatMap(RetryPolicy.validate),
        Either.mapLeft((error) => documents.at(where, path, error))
      )
    const methods = new Map<string, RetryPolicy.Options | "off">()
    for (const [name, policy] of Object.entries(valid.methods ?? {})) {
      yield* checkName(where, "methods.", name)
      methods.set(name, policy === "off" ? policy : yield* checked(`methods.${name}`, policy))
    }
    const { budget } = valid
    return {
      options: {
        default: yield* checked("default", valid.default ?? {}),
        methods: Object.fromEntries(methods),
        budget: budget === undefined || budget === "off"
          ? budget
          : yield* documents.attempt(where, "budget", () => RetryBudget.make(budget))
      },
      budgetKey: budget === undefined ? "" : JSON.stringify(budget)
    }
  })

/** A method of that name would be dropped without a word: to an object it is no key like others. */
const withoutProto = (input: unknown): Either.Either<void, InvalidOption> =>
  Predicate.hasProperty(input, "methods") && Predicate.isRecord(input.methods) &&
    Object.hasOwn(input.methods, "__proto__")
    ? Either.left(new InvalidOption({ where, field: "methods.__proto__", problem: "is not a method" }))
    : Either.void

/** @internal */
export const decode = (document: unknown): Either.Either<LayerOptions, InvalidOption> =>
  Either.map(decodeKeyed(document), ({ options }) => options)

/** @internal */
export const config: Config.Config<LayerOptions> = pipe(
  Config.all({
    default: policyDocument.config,
    methods: policyDocument.text("METHODS"),
    budget: policyDocument.text("BUDGET")
  }),
  Config.mapOrFail(({ budget, methods = "{}", ...rest }) =>
    pipe(
      Either.mapLeft(documents.parsed(where, methods), (error) => documents.at(where, "methods", error)),
      Either.flatMap((methods) => decode(budget === undefined ? { ...rest, methods } : { ...rest, methods, budget })),
      Either.mapLeft(policyDocument.configError)
    )
  ),
  Config.nested("RPC_RETRY")
)
