/**
 * Decodes the options of a layer from JSON and from environment variables.
 *
 * @internal
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { pipe } from "effect/Function"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { InvalidOption } from "../../InvalidOption.js"
import * as RetryBudget from "../../RetryBudget.js"
import { suggestion } from "../options/suggest.js"
import * as RetryPolicy from "../policy/policy.js"
import * as Result from "../result.js"
import type { LayerOptions } from "../service/model.js"
import { checkName } from "../service/policies.js"
import type { SharedKeys } from "../service/service.js"
import * as documents from "./decode.js"
import * as gateDocuments from "./gateDocuments.js"
import * as policyDocument from "./policyDocument.js"

const Document = Schema.Struct({
  default: Schema.optional(policyDocument.Document),
  methods: Schema.optional(Schema.Record({
    key: Schema.String,
    value: Schema.Union(Schema.Literal("off"), policyDocument.Document)
  })),
  budget: Schema.optional(Schema.Union(
    Schema.Literal("off"),
    Schema.Struct({
      ratio: Schema.optional(Schema.Number),
      capacity: Schema.optional(Schema.Union(Schema.Number, Schema.Literal("traffic")))
    })
  )),
  breaker: Schema.optional(Schema.Union(Schema.Literal("off"), gateDocuments.Breaker)),
  bulkhead: Schema.optional(Schema.Union(Schema.Literal("off"), gateDocuments.Bulkhead)),
  throttle: Schema.optional(Schema.Union(Schema.Literal("off"), gateDocuments.Throttle))
})

const where = "RpcRetry.decode"

/** What a document says of something, as text to compare. */
const keyOf = (said: unknown): string | undefined => said === undefined ? undefined : JSON.stringify(said)

/**
 * Decodes a document into the options of a layer, and into texts that identify what destinations share, so that a
 * reload can tell what of it has changed.
 *
 * @internal
 */
export const decodeKeyed = (
  document: unknown
): Result.Result<{ readonly options: LayerOptions; readonly keys: SharedKeys }, InvalidOption> =>
  Result.gen(function*() {
    const input = yield* documents.parsed(where, document)
    yield* withoutProto(input)
    const valid = yield* documents.decode(where, Document, input)
    const checked = (path: string, policy: policyDocument.Document) =>
      pipe(
        policyDocument.toOptions(where, policy),
        Result.flatMap(RetryPolicy.validate),
        Result.mapError((error) => documents.at(where, path, error))
      )
    const methods = new Map<string, RetryPolicy.Options | "off">()
    for (const [name, policy] of Object.entries(valid.methods ?? {})) {
      yield* checkName(where, "methods.", name)
      methods.set(name, policy === "off" ? policy : yield* checked(`methods.${name}`, policy))
    }
    const { breaker, budget, bulkhead, throttle } = valid
    return {
      options: {
        default: yield* checked("default", valid.default ?? {}),
        methods: Object.fromEntries(methods),
        budget: budget === undefined || budget === "off"
          ? budget
          : yield* documents.attempt(where, "budget", () => RetryBudget.make(budget)),
        breaker: breaker === undefined || breaker === "off" ? breaker : yield* gateDocuments.toBreaker(where, breaker),
        bulkhead: bulkhead === undefined || bulkhead === "off"
          ? bulkhead
          : yield* gateDocuments.toBulkhead(where, bulkhead),
        throttle: throttle === undefined || throttle === "off"
          ? throttle
          : yield* gateDocuments.toThrottle(where, throttle)
      },
      keys: { budget: keyOf(budget), breaker: keyOf(breaker), bulkhead: keyOf(bulkhead), throttle: keyOf(throttle) }
    }
  })

/** Rejects a method named `__proto__`, which assigning to an object would silently drop. */
const withoutProto = (input: unknown): Result.Result<void, InvalidOption> =>
  Predicate.hasProperty(input, "methods") && Predicate.isRecord(input.methods) &&
    Object.hasOwn(input.methods, "__proto__")
    ? Result.fail(new InvalidOption({ where, field: "methods.__proto__", problem: "is not a method" }))
    : Result.void

/**
 * Decodes a document into the options of a layer.
 *
 * @internal
 */
export const decode = (document: unknown): Result.Result<LayerOptions, InvalidOption> =>
  Result.map(decodeKeyed(document), ({ options }) => options)

/** Reads `BUDGET`: `off`, `traffic` or a capacity. */
const budget = policyDocument.parsedAs("BUDGET", `"off", "traffic" or a number`, (text) =>
  text === "off"
    ? text
    : text === "traffic"
    ? { capacity: text }
    : Number.isNaN(Number(text))
    ? undefined
    : { capacity: Number(text) })

/** The prefix of all keys. */
const prefix = "RPC_RETRY"

/**
 * Reads the options of a layer from a `ConfigProvider`.
 *
 * @internal
 */
export const config: Config.Config<LayerOptions> = pipe(
  Config.all({
    default: policyDocument.config,
    methods: policyDocument.text("METHODS"),
    budget,
    breaker: policyDocument.json("BREAKER"),
    bulkhead: policyDocument.json("BULKHEAD"),
    throttle: policyDocument.json("THROTTLE")
  }),
  Config.mapOrFail(({ methods = "{}", ...rest }) =>
    pipe(
      Result.mapError(documents.parsed(where, methods), (error) => documents.at(where, "methods", error)),
      Result.flatMap((methods) => decode(policyDocument.withoutUndefined({ ...rest, methods }))),
      Result.mapError(policyDocument.configError)
    )
  ),
  Config.nested(prefix)
)

const keys: ReadonlyArray<string> = [
  ...policyDocument.keys,
  "METHODS",
  "BUDGET",
  "BREAKER",
  "BULKHEAD",
  "THROTTLE"
]

/** The keys of a provider below a name: its own value, and the keys below it. */
interface KeyTree {
  readonly value: Option.Option<string>
  readonly below: HashMap.HashMap<string, KeyTree>
}

/**
 * Reads all keys up to a depth, because a provider may read `RPC_RETRY_RETRY_ON` as one name or as four nested ones.
 */
const below = (depth: number): Config.Config<HashMap.HashMap<string, KeyTree>> =>
  Config.hashMap(Config.all({
    value: Config.option(Config.string()),
    below: depth === 0 ? Config.succeed(HashMap.empty()) : below(depth - 1)
  }))

/** Returns the names of the unknown keys below `path`. */
const unknownIn = (found: HashMap.HashMap<string, KeyTree>, path: string): ReadonlyArray<string> =>
  HashMap.toEntries(found).flatMap(([part, { below, value }]) => {
    const name = `${path}${part.toUpperCase()}`
    const begins = keys.some((key) => key.startsWith(`${name}_`))
    return keys.includes(name)
      ? unknownIn(below, `${name}_`)
      : begins && Option.isNone(value)
      ? unknownIn(below, `${name}_`)
      : [name]
  })

/**
 * Logs a warning for each key that starts with `RPC_RETRY_` and is not an option.
 *
 * @internal
 */
export const warnOfUnknownKeys: Effect.Effect<void> = Effect.forEach(
  [Config.nested(below(3), prefix), pipe(below(3), Config.nested("RETRY"), Config.nested("RPC"))],
  (config) => Effect.map(config, (found) => unknownIn(found, ""))
).pipe(
  Effect.flatMap((unknown) =>
    Effect.forEach(
      new Set(unknown.flat()),
      (key) => Effect.logWarning(`RpcRetry.layerConfig: ${prefix}_${key} is not an option${suggestion(key, keys)}`),
      { discard: true }
    )
  ),
  // a provider that cannot list its keys is not checked
  Effect.catchAllCause(() => Effect.void)
)
