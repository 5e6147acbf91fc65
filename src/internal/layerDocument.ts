/**
 * The options of a layer as JSON, and as environment variables.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as Either from "effect/Either"
import { pipe } from "effect/Function"
import * as Schema from "effect/Schema"
import type { InvalidOption } from "../InvalidOption.js"
import * as RetryBudget from "../RetryBudget.js"
import type * as RetryPolicy from "../RetryPolicy.js"
import type { LayerOptions } from "../RpcRetry.js"
import * as documents from "./documents.js"
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

/** @internal */
export const decode = (document: unknown): Either.Either<LayerOptions, InvalidOption> =>
  Either.gen(function*() {
    const input = yield* documents.parsed(where, document)
    const valid = yield* documents.decode(where, Document, input)
    const options = (path: string, policy: policyDocument.Document) =>
      Either.mapLeft(policyDocument.toOptions(where, policy), (error) => documents.at(where, path, error))
    const methods: Record<string, RetryPolicy.Options | "off"> = {}
    for (const [name, policy] of Object.entries(valid.methods ?? {})) {
      methods[name] = policy === "off" ? policy : yield* options(`methods.${name}`, policy)
    }
    const { budget } = valid
    return {
      default: yield* options("default", valid.default ?? {}),
      methods,
      budget: budget === undefined || budget === "off"
        ? budget
        : yield* documents.attempt(where, "budget", () => RetryBudget.make(budget))
    }
  })

/** @internal */
export const config: Config.Config<LayerOptions> = pipe(
  Config.all({
    default: policyDocument.config,
    methods: Config.withDefault(Config.string("METHODS"), "{}")
  }),
  Config.mapOrFail(({ methods, ...rest }) =>
    pipe(
      documents.parsed(where, methods),
      Either.flatMap((methods) => decode({ ...rest, methods })),
      Either.mapLeft(policyDocument.configError)
    )
  ),
  Config.nested("RPC_RETRY")
)
