/**
 * What a client of `@grpc/grpc-js` knows of its methods.
 *
 * @internal
 */
import type * as Grpc from "@grpc/grpc-js"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import { InvalidOption } from "../../InvalidOption.js"

/** @internal */
export interface Method {
  /** Its key on the client. */
  readonly key: string
  /** `pkg.Service.Method`, as a service config and a policy name it. */
  readonly name: string
  readonly kind: "unary" | "serverStream" | "other"
  /** As the `.proto` says by `idempotency_level`; `undefined` where it says nothing. */
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

/** On the method itself, where grpc-js puts it, or in the service that the class of the client has. */
const definitionOf = (client: Grpc.Client, key: string): Definition | undefined =>
  [at(client, key), at(at(client.constructor, "service"), key)].find(isDefinition)

/** Only `@grpc/proto-loader` keeps the options of a method. */
const idempotencyOf = (definition: Definition): boolean | undefined => {
  const level = at(at(definition, "options"), "idempotency_level")
  return level === "IDEMPOTENT" || level === "NO_SIDE_EFFECTS" ? true : undefined
}

/** @internal */
export const find = (client: Grpc.Client, key: string): Method | undefined => {
  const definition = definitionOf(client, key)
  const parts = definition === undefined ? null : /^\/([^/]+)\/([^/]+)$/.exec(definition.path)
  if (definition === undefined || parts === null || !Predicate.isFunction(at(client, key))) {
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

/** @internal */
export const get = (
  where: string,
  client: Grpc.Client,
  key: string,
  kind: Method["kind"]
): Either.Either<Method, InvalidOption> => {
  const method = find(client, key)
  if (method?.kind === kind) {
    return Either.right(method)
  }
  const problem = method === undefined
    ? `is no method that this client has a definition of, got ${JSON.stringify(key)}`
    : `is a method with other streams, got ${JSON.stringify(key)}`
  return Either.left(new InvalidOption({ where, field: "method", problem }))
}

/**
 * All methods of a client that are unary or stream their answer, by each of the names they have on it.
 *
 * @internal
 */
export const all = (client: Grpc.Client): ReadonlyArray<Method> => {
  const keys = new Set<string>()
  for (let link: unknown = client; Predicate.isObject(link) && link !== Object.prototype;) {
    Object.getOwnPropertyNames(link).forEach((key) => keys.add(key))
    link = Object.getPrototypeOf(link)
  }
  return Array.from(keys).flatMap((key) => {
    const method = find(client, key)
    return method === undefined || method.kind === "other" ? [] : [method]
  })
}
