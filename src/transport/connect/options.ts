/**
 * What a descriptor and the options say of a method.
 *
 * @internal
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt"
import type { ContextValues } from "@connectrpc/connect"
import { Code, type ConnectError } from "@connectrpc/connect"
import * as Either from "effect/Either"
import type * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { InvalidOption } from "../../InvalidOption.js"
import type * as RpcCall from "../../RpcCall.js"
import type { Fatal, Retryable } from "../../RpcError.js"

/**
 * One request, one answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unary<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<MessageShape<O>, Retryable | Fatal>
}

/**
 * One request, many answers. The call is done when the first answer has come, or the end: until then it can be retried, and
 * never after. What fails later fails the stream.
 *
 * The request ends with the scope, or with the stream if that is earlier. The stream asks for a message when it is wanted. It can
 * be run once: after that it fails with `Fatal Custom`. The deadline bounds the call and not the stream, so it is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerStream<I extends DescMessage, O extends DescMessage> {
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<
    Stream.Stream<MessageShape<O>, Retryable | Fatal>,
    Retryable | Fatal,
    Scope.Scope
  >
}

/**
 * The unary and the server-streaming methods of a service. The others take a stream of requests, which cannot be sent again.
 *
 * @since 0.1.0
 * @category models
 */
export type Client<S extends DescService> = {
  readonly [
    K in keyof S["method"] as S["method"][K] extends { methodKind: "unary" | "server_streaming" } ? K : never
  ]: S["method"][K] extends DescMethodUnary<infer I, infer O> ? Unary<I, O>
    : S["method"][K] extends DescMethodServerStreaming<infer I, infer O> ? ServerStream<I, O>
    : never
}

/**
 * What else the server may say that is worth another attempt: codes, or a predicate. It becomes `Retryable Custom`, delivery
 * `Unknown`; `resource_exhausted` becomes `Throttled`. A predicate must not throw: what it throws is a defect of the call.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryOn = ReadonlyArray<Code> | ((error: ConnectError) => boolean)

/**
 * - `idempotent`: whether the method may run twice. Without it the descriptor is asked: `true` for `IDEMPOTENT` and
 *   `NO_SIDE_EFFECTS`, nothing for a method without the option `idempotency_level`.
 * - `retryOn`: see `RetryOn`. Default none.
 *
 * @since 0.1.0
 * @category models
 */
export interface MethodOptions {
  readonly idempotent?: boolean | undefined
  readonly retryOn?: RetryOn | undefined
}

/**
 * - `retryOn`: see `RetryOn`. For methods that say nothing else.
 * - `methods`: what is otherwise for single methods, by the names of the client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<S extends DescService = DescService> {
  readonly retryOn?: RetryOn | undefined
  readonly methods?: { readonly [K in keyof Client<S>]?: MethodOptions | undefined } | undefined
}

/**
 * The options of the library, without `signal`: interrupt the fiber, or give the signal to `Effect.runPromise`.
 *
 * - `timeoutMs`: bounds one attempt; of a stream its whole life. Of it and the time that remains the smaller one is sent. The
 *   `defaultTimeoutMs` of a transport holds only for attempts without either. Whole milliseconds, at least 1; 0, `Infinity` and
 *   more than 99999999 are no bound. The call fails with `Fatal InvalidArgument` for what is no number, or negative.
 * - `headers`, `contextValues`: go with each attempt.
 * - `onHeader`, `onTrailer`: called by the attempt that is answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  readonly timeoutMs?: number | undefined
  readonly headers?: HeadersInit | undefined
  readonly contextValues?: ContextValues | undefined
  readonly onHeader?: ((headers: Headers) => void) | undefined
  readonly onTrailer?: ((trailers: Headers) => void) | undefined
}

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
  Either.zipWith(
    checkIdempotent(where, `${path}idempotent`, options?.idempotent),
    checkRetryOn(where, `${path}retryOn`, options?.retryOn),
    (idempotent, own) => ({ idempotent, retryOn: own ?? retryOn })
  )

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

/** The options of each method, by its name in the client. @internal */
export const check = <S extends DescService>(
  service: S,
  options: Options<S> | undefined
): Either.Either<(localName: string) => Checked, InvalidOption> =>
  Either.gen(function*() {
    const where = "Connect.client"
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
