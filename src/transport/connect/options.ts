/**
 * The types and options of `Connect`, and what the descriptor of a method says.
 *
 * @internal
 */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf"
import type { DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService } from "@bufbuild/protobuf"
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt"
import type { ContextValues } from "@connectrpc/connect"
import { Code, type ConnectError } from "@connectrpc/connect"
import type * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Result from "../../internal/result.js"
import { checkKnown, type InvalidOption } from "../../InvalidOption.js"
import type * as RpcCall from "../../RpcCall.js"
import type { Fatal, Retryable } from "../../RpcError.js"
import { checkFlag, checkRetryOn, invalid, never } from "../shared/options.js"

/**
 * A unary method: one request, one answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Unary<I extends DescMessage, O extends DescMessage> {
  /** Makes a call, which is not retried: pipe it through `withRpcRetry`. */
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<MessageShape<O>, Retryable | Fatal>
}

/**
 * A server-streaming method: one request, many answers. The call completes when the first answer or the end of the
 * stream has arrived: it can be retried until then, and never after. A later failure is a failure of the stream.
 *
 * The request ends with the scope, or with the stream if that is earlier. The stream asks for a message when its
 * consumer pulls one. It can be run once: after that it fails with `Fatal Custom`. The deadline bounds the call and not
 * the stream, so it is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServerStream<I extends DescMessage, O extends DescMessage> {
  /** Makes a call that returns the stream of answers. It is not retried: pipe it through `withRpcRetry`. */
  (request: MessageInitShape<I>, options?: CallOptions): RpcCall.RpcCall<
    Stream.Stream<MessageShape<O>, Retryable | Fatal>,
    Retryable | Fatal,
    Scope.Scope
  >
}

/**
 * The unary and the server-streaming methods of a service. The others are left out: they take a stream of requests,
 * which cannot be sent again.
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
 * Makes more errors of the server worth another attempt: a list of codes, or a predicate. They become
 * `Retryable Custom`, delivery `Unknown`; `resource_exhausted` becomes `Throttled`. A predicate must not throw: what it
 * throws is a defect of the call.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryOn = ReadonlyArray<Code> | ((error: ConnectError) => boolean)

/**
 * The options of one method.
 *
 * @since 0.1.0
 * @category models
 */
export interface MethodOptions {
  /**
   * Says whether the method may run twice; see {@link RpcCall.RpcCall}. Default: what the descriptor says, `true` for
   * `IDEMPOTENT` and `NO_SIDE_EFFECTS`, not known for a method without the option `idempotency_level`.
   */
  readonly idempotent?: boolean | undefined
  /** Errors of the server that are worth another attempt; see {@link RetryOn}. Default none. */
  readonly retryOn?: RetryOn | undefined
}

/**
 * The options of a client.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<S extends DescService = DescService> {
  /**
   * Errors of the server that are worth another attempt, for methods without a `retryOn` of their own; see
   * {@link RetryOn}. Default none.
   */
  readonly retryOn?: RetryOn | undefined
  /** Sets the options of single methods, by their names on the client. Default none. */
  readonly methods?: { readonly [K in keyof Client<S>]?: MethodOptions | undefined } | undefined
}

/**
 * The options of a call: those of the library without `signal`. To cancel a call, interrupt its fiber, or give the
 * signal to `Effect.runPromise`.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  /**
   * Bounds one attempt, or the whole life of a stream, in whole milliseconds of at least 1. The smaller of it and the
   * time that remains until the deadline is sent. Default: only the deadline; the `defaultTimeoutMs` of a transport
   * holds for attempts without either.
   *
   * 0, `Infinity` and more than 99999999 are no bound. The call fails with `Fatal InvalidArgument` for a negative
   * value, or one that is no number.
   */
  readonly timeoutMs?: number | undefined
  /** Headers that each attempt sends. Default none. */
  readonly headers?: HeadersInit | undefined
  /** Values that each attempt passes to the interceptors of the transport. Default none. */
  readonly contextValues?: ContextValues | undefined
  /**
   * Called with the response headers by the attempt that is answered. If it throws, the call fails with `Fatal Custom`.
   */
  readonly onHeader?: ((headers: Headers) => void) | undefined
  /** Called with the trailers by the attempt that is answered. If it throws, the call fails with `Fatal Custom`. */
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

/** Returns the name of a method in policies and service configs. @internal */
export const nameOf = (method: DescMethod): string => `${method.parent.typeName}.${method.name}`

/** @internal */
export const idempotencyOf = ({ idempotency }: DescMethod): true | undefined =>
  idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENCY_UNKNOWN ? undefined : true

const isCode = (code: unknown): code is Code => typeof code === "number" && Code[code] !== undefined

const checkRetries = (where: string, field: string, retryOn: RetryOn | undefined) =>
  checkRetryOn<ConnectError>(retryOn, (code) => isCode(code) ? code : undefined, (codes) => {
    if (!Array.isArray(codes)) {
      return invalid(where, field, "must be a list of codes, or a function")
    }
    const at = codes.findIndex((code) => !isCode(code))
    return invalid(where, `${field}[${at}]`, `must be a code from 1 to 16, got ${JSON.stringify(codes[at])}`)
  })

const checkMethod = (
  where: string,
  options: MethodOptions | undefined,
  path: string = "",
  retryOn: Predicate.Predicate<ConnectError> = never
): Result.Result<Checked, InvalidOption> =>
  Result.gen(function*() {
    yield* checkKnown(where, options ?? {}, ["idempotent", "retryOn"], path)
    const idempotent = yield* checkFlag(where, `${path}idempotent`, options?.idempotent)
    const own = yield* checkRetries(where, `${path}retryOn`, options?.retryOn)
    return { idempotent, retryOn: own ?? retryOn }
  })

/** Checks the options of a single method, and its kind. @internal */
export const checkOne = (
  where: string,
  method: DescMethod,
  kind: DescMethod["methodKind"],
  options: MethodOptions | undefined
): Result.Result<Checked, InvalidOption> => {
  if (method.methodKind === kind) {
    return checkMethod(where, options)
  }
  const problem = `is no ${kind} method: ${nameOf(method)} is ${method.methodKind}`
  return invalid(where, "method", problem)
}

/** Checks the options of a call. @internal */
export const checkCall = (options: CallOptions): Result.Result<void, InvalidOption> =>
  checkKnown("Connect.call", options, ["timeoutMs", "headers", "contextValues", "onHeader", "onTrailer"])

/** Checks the options of a client; returns those of each method by its name on the client. @internal */
export const check = <S extends DescService>(
  service: S,
  options: Options<S> | undefined
): Result.Result<(localName: string) => Checked, InvalidOption> =>
  Result.gen(function*() {
    const where = "Connect.client"
    yield* checkKnown(where, options ?? {}, ["retryOn", "methods"])
    const common = yield* checkMethod(where, { retryOn: options?.retryOn })
    const methods = new Map<string, Checked>()
    for (const [name, own] of Object.entries<MethodOptions | undefined>(options?.methods ?? {})) {
      const method = service.methods.find(({ localName }) => localName === name)
      if (method === undefined || !(isUnary(method) || isServerStream(method))) {
        const problem = `is no unary or server-streaming method of ${service.typeName}`
        return yield* invalid(where, `methods.${name}`, problem)
      }
      methods.set(name, yield* checkMethod(where, own, `methods.${name}.`, common.retryOn))
    }
    return (localName) => methods.get(localName) ?? common
  })
