/**
 * What a descriptor and the options say of a method.
 *
 * @internal
 */
import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt"
import { Code, type ConnectError } from "@connectrpc/connect"
import * as Either from "effect/Either"
import type * as Predicate from "effect/Predicate"
import { checkKnown, InvalidOption } from "../../InvalidOption.js"
import type { CallOptions, MethodOptions, Options, RetryOn } from "../Connect.js"

/** @internal */
export interface Checked {
  readonly idempotent: boolean | undefined
  readonly retryOn: Predicate.Predicate<ConnectError>
}

/** @internal */
export const isUnary = (method: DescMethod): method is DescMethodUnary => method.methodKind === "unary"

/** @internal */
export const isServerStream = (method: DescMethod): method is DescMethodServerStreaming =>
  method.methodKind === "server_streaming"

/** As a service config names it. @internal */
export const nameOf = (method: DescMethod): string => `${method.parent.typeName}.${method.name}`

/** @internal */
export const idempotencyOf = ({ idempotency }: DescMethod): true | undefined =>
  idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN ? undefined : true

const checkIdempotent = (
  where: string,
  field: string,
  idempotent: unknown
): Either.Either<boolean | undefined, InvalidOption> => {
  if (idempotent === undefined || typeof idempotent === "boolean") {
    return Either.right(idempotent)
  }
  const problem = `must be true or false, got ${JSON.stringify(idempotent)}`
  return Either.left(new InvalidOption({ where, field, problem }))
}

const checkRetryOn = (
  where: string,
  field: string,
  retryOn: RetryOn | undefined
): Either.Either<Predicate.Predicate<ConnectError> | undefined, InvalidOption> => {
  if (retryOn === undefined || typeof retryOn === "function") {
    return Either.right(retryOn)
  }
  if (!Array.isArray(retryOn)) {
    return Either.left(new InvalidOption({ where, field, problem: "must be a list of codes, or a function" }))
  }
  const unknown = retryOn.findIndex((code) => typeof code !== "number" || Code[code] === undefined)
  if (unknown >= 0) {
    const problem = `must be a code from 1 to 16, got ${JSON.stringify(retryOn[unknown])}`
    return Either.left(new InvalidOption({ where, field: `${field}[${unknown}]`, problem }))
  }
  const codes = new Set<Code>(retryOn)
  return Either.right((error) => codes.has(error.code))
}

const never: Predicate.Predicate<ConnectError> = () => false

const checkMethod = (
  where: string,
  options: MethodOptions | undefined,
  path: string = "",
  retryOn: Predicate.Predicate<ConnectError> = never
): Either.Either<Checked, InvalidOption> =>
  Either.gen(function*() {
    yield* checkKnown(where, options ?? {}, ["idempotent", "retryOn"], path)
    const idempotent = yield* checkIdempotent(where, `${path}idempotent`, options?.idempotent)
    const own = yield* checkRetryOn(where, `${path}retryOn`, options?.retryOn)
    return { idempotent, retryOn: own ?? retryOn }
  })

/** Of a method that is given alone, and must be of a kind. @internal */
export const checkOne = (
  where: string,
  method: DescMethod,
  kind: DescMethod["methodKind"],
  options: MethodOptions | undefined
): Either.Either<Checked, InvalidOption> => {
  if (method.methodKind === kind) {
    return checkMethod(where, options)
  }
  const problem = `is no ${kind} method: ${nameOf(method)} is ${method.methodKind}`
  return Either.left(new InvalidOption({ where, field: "method", problem }))
}

/** Of one call. @internal */
export const checkCall = (options: CallOptions): Either.Either<void, InvalidOption> =>
  checkKnown("Connect.call", options, ["timeoutMs", "headers", "contextValues", "onHeader", "onTrailer"])

/** The options of each method, by its name in the client. @internal */
export const check = <S extends DescService>(
  service: S,
  options: Options<S> | undefined
): Either.Either<(localName: string) => Checked, InvalidOption> =>
  Either.gen(function*() {
    const where = "Connect.client"
    yield* checkKnown(where, options ?? {}, ["retryOn", "methods"])
    const common = yield* checkMethod(where, { retryOn: options?.retryOn })
    const methods = new Map<string, Checked>()
    for (const [name, own] of Object.entries<MethodOptions | undefined>(options?.methods ?? {})) {
      const method = service.methods.find(({ localName }) => localName === name)
      if (method === undefined || !(isUnary(method) || isServerStream(method))) {
        const problem = `is no unary or server-streaming method of ${service.typeName}`
        return yield* Either.left(new InvalidOption({ where, field: `methods.${name}`, problem }))
      }
      methods.set(name, yield* checkMethod(where, own, `methods.${name}.`, common.retryOn))
    }
    return (localName) => methods.get(localName) ?? common
  })
