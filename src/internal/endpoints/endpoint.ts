/**
 * One address behind a destination, lists of them, and what is wrong with a list.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Predicate from "effect/Predicate"
import { redactText } from "../errors/redact.js"
import * as Result from "../result.js"

/**
 * One address behind a destination.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  /** The address, as `"host:port"` or whatever the client is made from: a URL, a path. It names the endpoint. */
  readonly address: string
  /** How much of the load it takes in relation to others: a number greater than 0. Default 1. */
  readonly weight?: number | undefined
  /** Endpoints of the lowest priority are used while one of them is healthy. An integer from 0. Default 0. */
  readonly priority?: number | undefined
  /** The zone that it is in, for a preference of near endpoints. Default `undefined`: not known. */
  readonly zone?: string | undefined
  /** What else the source knows of it, for the function that makes its client. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/**
 * A list that replaces the last one, or why there is none: then the last list stays in use.
 *
 * @since 0.1.0
 * @category models
 */
export type Update =
  | {
    readonly _tag: "Listed"
    /** The endpoints, each address once. */
    readonly endpoints: ReadonlyArray<Endpoint>
  }
  | {
    readonly _tag: "Failed"
    /** Why there is no list. */
    readonly error: unknown
  }

/**
 * What one look-up has found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lookup {
  /** The endpoints; text is an address. */
  readonly endpoints: ReadonlyArray<Endpoint | string>
  /** How long they are valid, in milliseconds; `undefined` when the source does not say. */
  readonly ttlMillis?: number | undefined
}

/**
 * Why a source has no list now. The last list stays in use, and the source goes on.
 *
 * @since 0.1.0
 * @category errors
 */
export class DiscoveryFailed extends Data.TaggedError("DiscoveryFailed")<{
  /** What was asked, as in `dns users.internal`. */
  readonly source: string
  /** What went wrong. It quotes no secret and no answer. */
  readonly problem: string
  /** The failure behind it, without the request, whose headers may have secrets. */
  readonly cause?: unknown
}> {
  override get message(): string {
    return `${this.source}: ${this.problem}`
  }
}

/**
 * A list that cannot be used, because one of its endpoints is wrong. The whole list is refused.
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidEndpoint extends Data.TaggedError("InvalidEndpoint")<{
  /** The address of the endpoint, without credentials; its place in the list, from 0, where that is what is wrong. */
  readonly endpoint: string
  /** The field that is wrong. */
  readonly field: string
  /** What is wrong with it. */
  readonly problem: string
}> {
  override get message(): string {
    return `endpoint ${this.endpoint}: ${this.field} ${this.problem}`
  }
}

const knownFields: ReadonlyArray<string> = ["address", "weight", "priority", "zone", "attributes"]

const isName = (value: unknown): value is string => Predicate.isString(value) && value.trim() !== ""

/** Shows a number; of another value only its type. */
const got = (value: unknown): string => `got ${Predicate.isNumber(value) ? value : `a ${typeof value}`}`

const checkEndpoint = (input: unknown, index: number): Result.Result<Endpoint, InvalidEndpoint> => {
  const given: unknown = Predicate.isString(input) ? { address: input } : input
  const invalid = (endpoint: string, field: string, problem: string) =>
    Result.fail(new InvalidEndpoint({ endpoint: redactText(endpoint), field, problem }))
  if (!Predicate.isRecord(given)) {
    return invalid(`#${index}`, "address", "must be text, or a field of an object")
  }
  const { address, attributes, priority, weight, zone } = given
  if (!isName(address)) {
    return invalid(`#${index}`, "address", "must not be empty")
  }
  const unknown = Object.keys(given).find((key) => !knownFields.includes(key))
  return unknown !== undefined
    ? invalid(address, unknown, `is no field of an endpoint: there are ${knownFields.join(", ")}`)
    : weight !== undefined && !(Predicate.isNumber(weight) && Number.isFinite(weight) && weight > 0)
    ? invalid(address, "weight", `must be a number greater than 0, ${got(weight)}`)
    : priority !== undefined && !(Number.isSafeInteger(priority) && Number(priority) >= 0)
    ? invalid(address, "priority", `must be an integer of at least 0, ${got(priority)}`)
    : zone !== undefined && !isName(zone)
    ? invalid(address, "zone", "must be text that is not empty")
    : attributes !== undefined &&
        !(Predicate.isRecord(attributes) && Object.values(attributes).every(Predicate.isString))
    ? invalid(address, "attributes", "must be an object whose values are text")
    : Result.succeed(given as unknown as Endpoint)
}

/**
 * Checks the endpoints of a list, and fails with the first that is wrong. Of several with one address the first is
 * taken.
 *
 * @internal
 */
export const checkEndpoints = (list: unknown): Result.Result<ReadonlyArray<Endpoint>, InvalidEndpoint> =>
  Result.gen(function*() {
    if (!Array.isArray(list)) {
      return yield* Result.fail(
        new InvalidEndpoint({ endpoint: "list", field: "endpoints", problem: "must be an array" })
      )
    }
    const found = new Map<string, Endpoint>()
    for (let i = 0; i < list.length; i++) {
      const endpoint = yield* checkEndpoint(list[i], i)
      if (!found.has(endpoint.address)) {
        found.set(endpoint.address, endpoint)
      }
    }
    return Array.from(found.values())
  })
