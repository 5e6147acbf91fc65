/**
 * The options of `Grpc`, checked.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { names } from "../../internal/grpcCodes.js"
import { checkKnown, InvalidOption } from "../../InvalidOption.js"
import type { ClientOptions, Options } from "../Grpc.js"
import type { Settings } from "./grpcCall.js"
import type { RetryOn } from "./grpcFailure.js"
import * as Given from "./grpcGiven.js"
import type { Method } from "./grpcMethod.js"

/** @internal */
export interface Checked extends Settings {
  readonly idempotent: boolean | undefined
}

/** The number of a code; 0 is no failure, and numbers that gRPC does not have are of somebody's own. */
const numberOf = (code: unknown): number | undefined => {
  const number = Predicate.isString(code) ? names.findIndex((name) => name === code) : code
  return Number.isInteger(number) && Number(number) > 0 ? Number(number) : undefined
}

const invalid = (where: string, field: string, problem: string): Either.Either<never, InvalidOption> =>
  Either.left(new InvalidOption({ where, field, problem }))

const checkRetryOn = (
  where: string,
  field: string,
  retryOn: Options["retryOn"]
): Either.Either<RetryOn, InvalidOption> => {
  if (retryOn === undefined) {
    return Either.right(() => false)
  }
  if (Predicate.isFunction(retryOn)) {
    return Either.right(retryOn)
  }
  const codes: unknown = retryOn
  const numbers = Array.isArray(codes) ? codes.map(numberOf) : [undefined]
  if (numbers.includes(undefined)) {
    const problem = `must be a predicate or a list of status codes other than OK, got ${JSON.stringify(codes)}`
    return invalid(where, field, problem)
  }
  return Either.right(({ code }) => numbers.includes(code))
}

/** What a function gives is seen when it is asked. */
const checkGiven = (where: string, path: string, given: unknown, check: Given.Check) => {
  const wrong = given === undefined || Predicate.isFunction(given) ? undefined : check(given)
  return wrong === undefined ? Either.void : invalid(where, `${path}${wrong.field}`, wrong.problem)
}

const fields = ["metadata", "callOptions", "retryOn", "idempotent"] as const

/**
 * - `path`: where among the options they are, with a dot at its end.
 * - `known`: the options that there are.
 *
 * @internal
 */
export const check = (
  where: string,
  options: Options,
  path: string = "",
  known: ReadonlyArray<string> = fields
): Either.Either<Checked, InvalidOption> =>
  Either.gen(function*() {
    const given: unknown = options
    if (!Predicate.isRecord(given)) {
      return yield* invalid(
        where,
        path === "" ? "options" : path.slice(0, -1),
        `must be an object, got ${String(given)}`
      )
    }
    yield* checkKnown(where, given, known, path)
    const { callOptions, idempotent, metadata } = options
    yield* checkGiven(where, path, metadata, Given.metadata)
    yield* checkGiven(where, path, callOptions, Given.callOptions)
    if (idempotent !== undefined && !Predicate.isBoolean(idempotent)) {
      return yield* invalid(where, `${path}idempotent`, `must be true or false, got ${JSON.stringify(idempotent)}`)
    }
    const retryOn = yield* checkRetryOn(where, `${path}retryOn`, options.retryOn)
    return { metadata, callOptions, retryOn, idempotent }
  })

/** What is said of one method by several of its names, together. */
const merge = (
  where: string,
  path: string,
  before: Options,
  said: Options
): Either.Either<Options, InvalidOption> => {
  const twice = fields.find((field) =>
    before[field] !== undefined && said[field] !== undefined && before[field] !== said[field]
  )
  return twice === undefined
    ? Either.right({
      ...before,
      ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
    })
    : invalid(where, `${path}.${twice}`, "is another than what is said of the same method by its other name")
}

/**
 * What holds for each method, whichever of its names it was said of.
 *
 * @internal
 */
export const checkAll = (
  where: string,
  options: ClientOptions,
  methods: ReadonlyArray<Method>
): Either.Either<(method: Method) => Checked, InvalidOption> =>
  Either.gen(function*() {
    const common = yield* check(where, options, "", ["metadata", "callOptions", "retryOn", "methods"])
    const { methods: given = {}, ...shared } = options
    const own = new Map<string, Options>()
    for (const [key, said = {}] of Object.entries(given)) {
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
