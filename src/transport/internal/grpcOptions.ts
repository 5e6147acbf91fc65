/**
 * The options of `Grpc`, checked.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { names } from "../../internal/grpcCodes.js"
import { InvalidOption } from "../../InvalidOption.js"
import type { ClientOptions, Options } from "../Grpc.js"
import type { Settings } from "./grpcCall.js"
import type { RetryOn } from "./grpcFailure.js"
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
    return Either.left(new InvalidOption({ where, field, problem }))
  }
  return Either.right(({ code }) => numbers.includes(code))
}

/** @internal */
export const check = (where: string, options: Options, path: string = ""): Either.Either<Checked, InvalidOption> =>
  Either.map(checkRetryOn(where, `${path}retryOn`, options.retryOn), (retryOn) => ({
    metadata: options.metadata,
    callOptions: options.callOptions,
    retryOn,
    idempotent: options.idempotent
  }))

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
    const common = yield* check(where, options)
    const own = new Map<string, Checked>()
    for (const [key, said] of Object.entries(options.methods ?? {})) {
      const path = `methods.${key}`
      const method = methods.find((method) => method.key === key)
      if (method === undefined) {
        return yield* Either.left(new InvalidOption({ where, field: path, problem: "is no method of this client" }))
      }
      const checked = yield* check(where, said ?? {}, `${path}.`)
      own.set(method.name, {
        metadata: checked.metadata ?? common.metadata,
        callOptions: checked.callOptions ?? common.callOptions,
        retryOn: said?.retryOn === undefined ? common.retryOn : checked.retryOn,
        idempotent: checked.idempotent
      })
    }
    return ({ name }: Method) => own.get(name) ?? common
  })
