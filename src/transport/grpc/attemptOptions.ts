/**
 * The metadata and call options of an attempt: evaluates those given as functions, and checks them.
 *
 * @internal
 */
import * as Grpc from "@grpc/grpc-js"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal } from "../../RpcError.js"

interface Problem {
  readonly field: string
  readonly problem: string
}

/** @internal */
export type Check = (value: unknown) => Problem | undefined

const got = (value: unknown): string => value instanceof Promise ? "a promise" : Excerpt.kindOf(value)

/** @internal */
export const metadata: Check = (value) =>
  value instanceof Grpc.Metadata
    ? undefined
    : {
      field: "metadata",
      problem: `must be a Metadata of @grpc/grpc-js, or a function that returns one, got ${got(value)}`
    }

const isDeadline = (value: unknown): boolean =>
  (Predicate.isNumber(value) || Predicate.isDate(value)) && !Number.isNaN(Number(value))

/** @internal */
export const callOptions: Check = (value) =>
  !Predicate.isRecord(value) || value instanceof Promise
    ? {
      field: "callOptions",
      problem: `must be CallOptions of @grpc/grpc-js, or a function that returns them, got ${got(value)}`
    }
    : value["deadline"] === undefined || isDeadline(value["deadline"])
    ? undefined
    : {
      field: "callOptions.deadline",
      problem: `must be a number or a valid Date, got ${
        Predicate.isNumber(value["deadline"]) ? value["deadline"] : got(value["deadline"])
      }`
    }

/** Returns whether an error is one of the library that quotes the value of a header. @internal */
export const isOfMetadata = (thrown: unknown): boolean =>
  thrown instanceof Error && /^Metadata (string|key|keys|binary)\b/.test(thrown.message)

/** Redacts an error of the library that quotes the value of a header. */
const hidden = (thrown: unknown): unknown => isOfMetadata(thrown) ? Excerpt.of(thrown) : thrown

/**
 * Returns the value for one attempt. A function that throws, or returns an invalid value, ends the call. A value that is
 * no function was checked when the client was made.
 *
 * @internal
 */
export const forAttempt = <A extends object>(
  method: string,
  field: string,
  check: Check,
  value: A | (() => A) | undefined
): Result.Result<A | undefined, Fatal> =>
  !Predicate.isFunction(value) ? Result.succeed(value) : Result.try({
    try: value,
    catch: (cause) =>
      new Fatal({ reason: "Custom", method, message: `the function for ${field} has thrown`, cause: hidden(cause) })
  }).pipe(Result.filterOrFail(
    (value) => check(value) === undefined,
    (value) => {
      const { field, problem } = check(value)!
      return new Fatal({ reason: "InvalidArgument", method, message: `${field} ${problem}`, cause: Excerpt.of(value) })
    }
  ))
