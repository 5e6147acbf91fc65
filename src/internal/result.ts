/**
 * The outcome of a step that does not wait: a success or a typed failure. The names are those of Effect 4's `Result`;
 * in Effect 3 it is an `Either`, which no other file names.
 *
 * @internal
 */
import * as Either from "effect/Either"
import { dual } from "effect/Function"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** A success of `A`, or a failure of `E`. @internal */
export type Result<A, E = never> = Either.Either<A, E>

/** A result that failed. @internal */
export type Failure<A, E> = Either.Left<E, A>

/** A result that succeeded. @internal */
export type Success<A, E> = Either.Right<E, A>

/** @internal */
export const succeed: <A>(value: A) => Result<A> = Either.right

/** @internal */
export const fail: <E>(error: E) => Result<never, E> = Either.left

const void_: Result<void> = Either.void

export {
  /** Succeeds with nothing. @internal */
  void_ as void
}

/** @internal */
export const isSuccess: <A, E>(self: Result<A, E>) => self is Success<A, E> = Either.isRight

/** @internal */
export const isFailure: <A, E>(self: Result<A, E>) => self is Failure<A, E> = Either.isLeft

/** @internal */
export const isResult: (value: unknown) => value is Result<unknown, unknown> = Either.isEither

/** The value of a result that succeeded. @internal */
export const successOf = <A, E>(self: Success<A, E>): A => self.right

/** The error of a result that failed. @internal */
export const failureOf = <A, E>(self: Failure<A, E>): E => self.left

/** @internal */
export const map = Either.map

/** @internal */
export const mapError = Either.mapLeft

/** @internal */
export const flatMap = Either.flatMap

/** @internal */
export const match: {
  <E, B, A, C = B>(
    options: { readonly onFailure: (error: E) => B; readonly onSuccess: (value: A) => C }
  ): (self: Result<A, E>) => B | C
  <A, E, B, C = B>(
    self: Result<A, E>,
    options: { readonly onFailure: (error: E) => B; readonly onSuccess: (value: A) => C }
  ): B | C
} = dual(
  2,
  <A, E, B, C>(
    self: Result<A, E>,
    options: { readonly onFailure: (error: E) => B; readonly onSuccess: (value: A) => C }
  ): B | C => Either.isRight(self) ? options.onSuccess(self.right) : options.onFailure(self.left)
)

/** Fails with what the predicate does not hold for. @internal */
export const filterOrFail = Either.filterOrLeft

/** @internal */
export const getOrElse = Either.getOrElse

/** @internal */
export const getOrUndefined = Either.getOrUndefined

/** @internal */
export const getOrThrowWith = Either.getOrThrowWith

/** The value or the error, whichever there is. @internal */
export const merge = Either.merge

/** Runs steps one after the other, until one fails. @internal */
export const gen = Either.gen

const try_ = Either.try

export {
  /** Runs what may throw. @internal */
  try_ as try
}

/** Decodes a value with a schema. @internal */
export const decodeUnknown = Schema.decodeUnknownEither

/** Decodes a value with a schema, and fails with the issue itself. @internal */
export const decodeUnknownIssue = ParseResult.decodeUnknownEither
