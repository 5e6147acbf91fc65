/**
 * The options of `Grpc`, checked.
 *
 * @internal
 */
import type * as grpc from "@grpc/grpc-js"
import * as Predicate from "effect/Predicate"
import { names } from "../../internal/errors/grpcCodes.js"
import * as Result from "../../internal/result.js"
import { checkKnown, type InvalidOption } from "../../InvalidOption.js"
import { checkFlag, checkRetryOn, invalid, never } from "../shared/options.js"
import * as AttemptOptions from "./attemptOptions.js"
import type { Settings } from "./call.js"
import type { Method } from "./method.js"

/**
 * A status code of gRPC by its name, or by its number.
 *
 * @since 0.1.0
 * @category models
 */
export type StatusCode = keyof typeof grpc.status | number

/**
 * The options of the calls of a method.
 *
 * A function for `metadata` or `callOptions` that throws ends its call with `Fatal Custom`, as an interceptor that
 * throws does; the `cause` is what it threw. One that returns an unusable value ends its call with
 * `Fatal InvalidArgument`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The metadata that each attempt sends: a value, which is copied and never changed, or a function that runs for each
   * attempt. Default none.
   *
   * Metadata made with `{ waitForReady: true }` waits for a connection where others fail. Work that takes time, such as
   * fetching a token, belongs into call credentials, in {@link Options.callOptions}:
   * `grpc.credentials.createFromMetadataGenerator`.
   */
  readonly metadata?: grpc.Metadata | (() => grpc.Metadata) | undefined
  /**
   * The call options of grpc-js for each attempt, passed on unchanged: a value, or a function that runs for each
   * attempt. Default none.
   *
   * The earlier of their `deadline` and the ambient one holds. A call that exceeds their `deadline` is `Fatal`, as in
   * gRPC: to bound one attempt, use the `attemptTimeout` of a policy.
   */
  readonly callOptions?: grpc.CallOptions | (() => grpc.CallOptions) | undefined
  /**
   * Makes more statuses worth another attempt than the table names, by their codes or by a predicate. To retry less,
   * use the `retryIf` of a policy. Default none. A predicate that throws is a defect.
   */
  readonly retryOn?: ReadonlyArray<StatusCode> | ((error: grpc.ServiceError) => boolean) | undefined
  /**
   * Says whether the method may run twice; see `RpcCall`. Default: what the `idempotency_level` in the `.proto` says,
   * where the client was loaded by `@grpc/proto-loader`.
   */
  readonly idempotent?: boolean | undefined
}

/**
 * The options of all calls of a client, and those of single methods.
 *
 * @since 0.1.0
 * @category models
 */
export interface ClientOptions<Name extends PropertyKey = string> extends Omit<Options, "idempotent"> {
  /**
   * Sets the options of single methods, by their names on the client. They replace those of the client field by field.
   * Options that are given under either name of a method with two names, such as `GetUser` and `getUser`, hold for
   * both. Default none.
   */
  readonly methods?: { readonly [K in Name]?: Options | undefined } | undefined
}

/** @internal */
export interface Checked extends Settings {
  readonly idempotent: boolean | undefined
}

/** Returns the number of a code. 0 is no failure; numbers that gRPC does not define are allowed. */
const numberOf = (code: unknown): number | undefined => {
  const number = Predicate.isString(code) ? names.findIndex((name) => name === code) : code
  return Number.isInteger(number) && Number(number) > 0 ? Number(number) : undefined
}

const checkRetries = (where: string, field: string, retryOn: Options["retryOn"]) =>
  checkRetryOn<grpc.ServiceError>(retryOn, numberOf, (codes) =>
    invalid(
      where,
      field,
      `must be a predicate or a list of status codes other than OK, got ${JSON.stringify(codes)}`
    ))

/** Checks a value; what a function returns is checked when it runs. */
const checkValue = (where: string, path: string, value: unknown, check: AttemptOptions.Check) => {
  const wrong = value === undefined || Predicate.isFunction(value) ? undefined : check(value)
  return wrong === undefined ? Result.void : invalid(where, `${path}${wrong.field}`, wrong.problem)
}

const fields = ["metadata", "callOptions", "retryOn", "idempotent"] as const

/**
 * Checks the options of a method.
 *
 * - `path`: the path of the options, with a dot at its end.
 * - `known`: the names of the options that exist.
 *
 * @internal
 */
export const check = (
  where: string,
  options: Options,
  path: string = "",
  known: ReadonlyArray<string> = fields
): Result.Result<Checked, InvalidOption> =>
  Result.gen(function*() {
    const value: unknown = options
    if (!Predicate.isRecord(value)) {
      return yield* invalid(
        where,
        path === "" ? "options" : path.slice(0, -1),
        `must be an object, got ${String(value)}`
      )
    }
    yield* checkKnown(where, value, known, path)
    const { callOptions, metadata } = options
    yield* checkValue(where, path, metadata, AttemptOptions.metadata)
    yield* checkValue(where, path, callOptions, AttemptOptions.callOptions)
    const idempotent = yield* checkFlag(where, `${path}idempotent`, options.idempotent)
    const retryOn = (yield* checkRetries(where, `${path}retryOn`, options.retryOn)) ?? never
    return { metadata, callOptions, retryOn, idempotent }
  })

/** Merges the options that were given under several names of one method. */
const merge = (
  where: string,
  path: string,
  before: Options,
  said: Options
): Result.Result<Options, InvalidOption> => {
  const twice = fields.find((field) =>
    before[field] !== undefined && said[field] !== undefined && before[field] !== said[field]
  )
  return twice === undefined
    ? Result.succeed({
      ...before,
      ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
    })
    : invalid(where, `${path}.${twice}`, "is another than what is said of the same method by its other name")
}

/**
 * Checks the options of a client; returns those of each method, under whichever of its names they were given.
 *
 * @internal
 */
export const checkAll = (
  where: string,
  options: ClientOptions,
  methods: ReadonlyArray<Method>
): Result.Result<(method: Method) => Checked, InvalidOption> =>
  Result.gen(function*() {
    const common = yield* check(where, options, "", ["metadata", "callOptions", "retryOn", "methods"])
    const { methods: byKey = {}, ...shared } = options
    const own = new Map<string, Options>()
    for (const [key, said = {}] of Object.entries(byKey)) {
      const path = `methods.${key}`
      const method = methods.find((method) => method.key === key)
      if (method === undefined) {
        return yield* invalid(where, path, "is no method of this client")
      }
      yield* check(where, said, `${path}.`)
      own.set(method.name, yield* merge(where, path, own.get(method.name) ?? {}, said))
    }
    const checked = new Map<string, Checked>()
    for (const [name, said] of own) {
      checked.set(name, yield* check(where, { ...shared, ...said }))
    }
    return ({ name }: Method) => checked.get(name) ?? common
  })
