/**
 * The calls of a client of `@effect/rpc`, wrapped one by one.
 *
 * @internal
 */
import * as Headers from "@effect/platform/Headers"
import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Deadline from "../../Deadline.js"
import * as RpcCall from "../../RpcCall.js"
import { type Attempt, CurrentAttempt } from "./effectRpcAttempt.js"
import * as Failure from "./effectRpcFailure.js"
import { httpHeadersOf } from "./facts.js"

/** The options of a call, as far as they matter here. */
interface CallOptions {
  readonly headers?: Headers.Input | undefined
  readonly asMailbox?: boolean | undefined
  readonly streamBufferSize?: number | undefined
}

/** A method of the library's client. */
type Method = (payload: unknown, options: CallOptions) => unknown

/** @internal */
export interface Named {
  readonly tag: string
  readonly method: string
  readonly idempotent: boolean | undefined
}

/** What the caller says of the headers of this call goes before what is said of all attempts. */
const withFacts = (options: CallOptions | undefined, known: Deadline.Facts): CallOptions => ({
  ...options,
  headers: Headers.merge(
    Headers.fromInput(httpHeadersOf(known)),
    Headers.fromInput(options?.headers)
  )
})

/** What is to be said of a failure that is the transport's; the cause as it was otherwise. */
const recover = (cause: Cause.Cause<unknown>, attempt: Attempt, { method, tag }: Named, isClosed: () => boolean) =>
  Effect.flatMap(
    Effect.zip(Clock.currentTimeMillis, Effect.fiberId),
    ([now, self]) =>
      Option.match(Failure.ofCause(cause, { attempt, tag, method, now, self, isClosed: isClosed() }), {
        onNone: () => Effect.failCause(cause),
        onSome: Effect.fail
      })
  )

const newAttempt = (): Attempt => ({ sent: false, refused: false })

const effect = (send: Method, named: Named, isClosed: () => boolean) => (payload: unknown, options?: CallOptions) =>
  RpcCall.make(
    Effect.suspend(() => {
      const attempt = newAttempt()
      return Deadline.facts.pipe(
        Effect.flatMap((known) => send(payload, withFacts(options, known)) as Effect.Effect<unknown, unknown, unknown>),
        Effect.provideService(CurrentAttempt, attempt),
        Effect.catchAllCause((cause) => recover(cause, attempt, named, isClosed))
      )
    }),
    named
  )

const stream =
  (send: Method, named: Named, isClosed: () => boolean) => (payload: unknown, options: CallOptions = {}) => {
    const { asMailbox, ...others } = options
    const elements = Stream.suspend(() => {
      const attempt = newAttempt()
      return Stream.unwrap(
        Effect.map(
          Deadline.facts,
          (known) => send(payload, withFacts(others, known)) as Stream.Stream<unknown, unknown, unknown>
        )
      ).pipe(
        Stream.provideService(CurrentAttempt, attempt),
        Stream.catchAllCause((cause) => Stream.fromEffect(recover(cause, attempt, named, isClosed)))
      )
    })
    return asMailbox === true
      ? RpcCall.make(Mailbox.fromStream(elements, { capacity: options.streamBufferSize ?? 16 }), named)
      : elements
  }

/** What the group says of an rpc. */
interface Group {
  readonly requests: ReadonlyMap<string, Rpc.Any>
}

/**
 * The library keeps what is behind the first dot of a tag in an object named by what is before it.
 *
 * @internal
 */
export const client = (
  group: Group,
  original: object,
  named: (rpc: Rpc.AnyWithProps) => Named,
  isClosed: () => boolean
): object => {
  const wrapped: Record<string, unknown> = {}
  for (const [tag, rpc] of group.requests) {
    const props = rpc as unknown as Rpc.AnyWithProps
    const wrap = RpcSchema.isStreamSchema(props.successSchema) ? stream : effect
    const dot = tag.indexOf(".")
    const [prefix, name] = dot === -1 ? [undefined, tag] : [tag.slice(0, dot), tag.slice(dot + 1)]
    const source = prefix === undefined ? original : memberOf(original, prefix)
    const target = prefix === undefined ? wrapped : (wrapped[prefix] ??= {}) as Record<string, unknown>
    target[name] = wrap(memberOf(source, name) as Method, named(props), isClosed)
  }
  return wrapped
}

const memberOf = (object: unknown, name: string): unknown =>
  Predicate.hasProperty(object, name) ? object[name] : undefined

/**
 * Done when the first elements are there, with a stream of all of them; what was opened for an attempt that failed is closed
 * with it.
 *
 * @internal
 */
export const untilFirst = <A, E, R>(
  self: Stream.Stream<A, E, R>
): Effect.Effect<Stream.Stream<A, E, R>, E, R | Scope.Scope> =>
  Effect.flatMap(
    Effect.scope,
    (parent) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(Scope.fork(parent, ExecutionStrategy.sequential), (scope) =>
          Scope.extend(Stream.toPull(self), scope).pipe(
            Effect.flatMap((pull) =>
              restore(pull).pipe(
                Effect.map((first) =>
                  Stream.concat(Stream.fromChunk(first), Stream.fromPull(Effect.succeed(pull)))
                ),
                Effect.catchAll(Option.match({ onNone: () => Effect.succeed(Stream.empty), onSome: Effect.fail }))
              )
            ),
            Effect.onExit((exit) => Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void)
          ))
      )
  )
