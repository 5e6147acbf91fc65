/**
 * Finds the methods of a client of `@grpc/grpc-js`.
 *
 * @internal
 */
import * as Grpc from "@grpc/grpc-js"
import * as Predicate from "effect/Predicate"
import * as Result from "../../internal/result.js"
import { InvalidOption } from "../../InvalidOption.js"

/** @internal */
export interface Method {
  /** The name of the method on the client. */
  readonly key: string
  /** `pkg.Service.Method`, the name in policies and service configs. */
  readonly name: string
  readonly kind: "unary" | "serverStream" | "other"
  /** Whether the `.proto` marks it as repeatable (`idempotency_level`); `undefined` when it does not say. */
  readonly idempotent: boolean | undefined
}

interface Definition {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
}

const isDefinition = (u: unknown): u is Definition =>
  Predicate.hasProperty(u, "path") && Predicate.isString(u.path) &&
  Predicate.hasProperty(u, "requestStream") && Predicate.isBoolean(u.requestStream) &&
  Predicate.hasProperty(u, "responseStream") && Predicate.isBoolean(u.responseStream)

const at = (u: unknown, key: string): unknown => Predicate.hasProperty(u, key) ? u[key] : undefined

/** Returns an object and its prototypes. */
const chainOf = (object: object): ReadonlyArray<object> => {
  const links: Array<object> = []
  for (let link: unknown = object; Predicate.isObject(link) && link !== Object.prototype;) {
    links.push(link)
    link = Object.getPrototypeOf(link)
  }
  return links
}

/** Returns the function with a name. Getters are not run. */
const functionOf = (client: Grpc.Client, key: string): unknown => {
  const link = chainOf(client).find((link) => Object.hasOwn(link, key))
  const value: unknown = link === undefined ? undefined : Object.getOwnPropertyDescriptor(link, key)?.value
  return Predicate.isFunction(value) ? value : undefined
}

/**
 * Returns the definition of a method: on the method itself, where grpc-js puts it, or in the `service` of the client's
 * class.
 */
const definitionOf = (client: Grpc.Client, key: string): Definition | undefined => {
  const method = functionOf(client, key)
  return method === undefined
    ? undefined
    : [method, at(at(client.constructor, "service"), key)].find(isDefinition)
}

/** Returns `true` for an idempotent method. Only `@grpc/proto-loader` keeps the options of a method. */
const idempotencyOf = (definition: Definition): boolean | undefined => {
  const level = at(at(definition, "options"), "idempotency_level")
  return level === "IDEMPOTENT" || level === "NO_SIDE_EFFECTS" ? true : undefined
}

/** @internal */
export const find = (client: Grpc.Client, key: string): Method | undefined => {
  const definition = definitionOf(client, key)
  const parts = definition === undefined ? null : /^\/([^/]+)\/([^/]+)$/.exec(definition.path)
  if (definition === undefined || parts === null) {
    return undefined
  }
  const { requestStream, responseStream } = definition
  return {
    key,
    name: `${parts[1]}.${parts[2]}`,
    kind: requestStream ? "other" : responseStream ? "serverStream" : "unary",
    idempotent: idempotencyOf(definition)
  }
}

/**
 * Checks that the client is of this copy of the library. The `Metadata` of another copy is refused by unary methods and
 * ignored by others.
 */
const checkClient = (where: string, client: Grpc.Client): Result.Result<void, InvalidOption> =>
  client instanceof Grpc.Client
    ? Result.void
    : Result.fail(
      new InvalidOption({
        where,
        field: "client",
        problem:
          `must be a client of @grpc/grpc-js; one of another copy of it is none (npm ls @grpc/grpc-js shows them)`
      })
    )

/** @internal */
export const get = (
  where: string,
  client: Grpc.Client,
  key: string,
  kind: Method["kind"]
): Result.Result<Method, InvalidOption> =>
  Result.flatMap(checkClient(where, client), () => {
    const method = find(client, key)
    if (method?.kind === kind) {
      return Result.succeed(method)
    }
    const problem = method === undefined
      ? `is no method that this client has a definition of, got ${JSON.stringify(key)}`
      : `is a method with other streams, got ${JSON.stringify(key)}`
    return Result.fail(new InvalidOption({ where, field: "method", problem }))
  })

/** Returns all unary and server-streaming methods of a client, once for each name. @internal */
export const all = (where: string, client: Grpc.Client): Result.Result<ReadonlyArray<Method>, InvalidOption> =>
  Result.flatMap(checkClient(where, client), () => {
    const keys = new Set(chainOf(client).flatMap((link) => Object.getOwnPropertyNames(link)))
    const methods = Array.from(keys).flatMap((key) => {
      const method = find(client, key)
      return method === undefined || method.kind === "other" ? [] : [method]
    })
    const problem =
      "has no method with a definition that is unary or streams its answer; a class of your own needs a static `service`"
    return methods.length > 0
      ? Result.succeed(methods)
      : Result.fail(new InvalidOption({ where, field: "client", problem }))
  })
