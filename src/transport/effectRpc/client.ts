/**
 * Wraps the calls of a client of `@effect/rpc`.
 *
 * @internal
 */
import * as Headers from "@effect/platform/Headers"
import type * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcSchema from "@effect/rpc/RpcSchema"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Mailbox from "effect/Mailbox"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import * as Deadline from "../../Deadline.js"
import * as FiberRefs from "../../internal/effect/fiberRefs.js"
import * as Runtime from "../../internal/effect/runtime.js"
import * as RpcCall from "../../RpcCall.js"
import { httpHeadersOf } from "../shared/callHeaders.js"
import * as Attempt from "./attempt.js"
import * as Failure from "./failure.js"

/** The options of a call that are used here. */
interface CallOptions {
  readonly headers?: Headers.Input | undefined
  readonly asMailbox?: boolean | undefined
  readonly streamBufferSize?: number | undefined
}

/** A method of the library's client. */
type Method = (payload: unknown, options: CallOptions | undefined) => unknown

/** @internal */
export interface Named {
  readonly tag: string
  readonly method: string
  readonly idempotent: boolean | undefined
}

/** What is known about the client. */
interface Known {
  readonly isClosed: () => boolean
  readonly isGuarded: boolean
}

/** Adds the headers of the attempt. Headers of the caller, for this call or around it, win. */
const withFacts = (options: CallOptions | undefined): Effect.Effect<CallOptions | undefined> =>
  Effect.flatMap(Deadline.facts, (facts) => {
    const headers = httpHeadersOf(facts)
    return Object.keys(headers).length === 0
      ? Effect.succeed(options)
      // the library puts those around the call before those of the call
      : Effect.map(FiberRefs.get(RpcClient.currentHeaders), (current): CallOptions => ({
        ...options,
        headers: Headers.merge(
          Headers.merge(Headers.fromInput(headers), current),
          Headers.fromInput(options?.headers)
        )
      }))
  })

/** Replaces the cause of a failed call by a typed failure when the transport failed. */
const recover = (attempt: Attempt.AttemptState, { method }: Named, known: Known) => (cause: Cause.Cause<unknown>) =>
  Effect.flatMap(Effect.zip(Clock.currentTimeMillis, Effect.fiberId), ([now, self]) =>
    Option.match(
      Failure.ofCause(cause, {
        attempt,
        method,
        now,
        self,
        isClosed: known.isClosed(),
        isGuarded: known.isGuarded
      }),
      { onNone: () => Effect.failCause(cause), onSome: Effect.fail }
    ))

/**
 * Runs an attempt until it ends or is spoiled. It has a fiber of its own, started at once, as a spoiled one is
 * interrupted: `Effect.raceFirst` would start two.
 *
 * - `self`: the attempt, given its state.
 * - `spoiled`: what it ends as when it is spoiled.
 */
const untilSpoiled = <A, E, R>(
  tag: string,
  self: (attempt: Attempt.AttemptState) => Effect.Effect<A, E, R>,
  spoiled: (attempt: Attempt.AttemptState, cause: Cause.Cause<never>) => Effect.Effect<A, E>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiberRuntime((caller, { runtimeFlags }) => {
      let first: Effect.Effect<A, E> | undefined
      let wake: ((end: Effect.Effect<A, E>) => void) | undefined
      const end = (how: Effect.Effect<A, E>) => {
        first ??= how
        wake?.(first)
      }
      const attempt = Attempt.make(tag, (defect) => end(spoiled(attempt, Cause.die(defect))))
      const settings = { context: caller.currentContext, fiberRefs: caller.getFiberRefs(), runtimeFlags }
      const fiber = Runtime.start(
        settings,
        Context.add(settings.context, Attempt.CurrentAttemptState, attempt),
        // `Effect.exit`, as Effect logs the failure of a fiber that nobody waits for. A spoiled attempt has no other end
        // than its interruption, whether the caller can be interrupted or not
        Effect.exit(Effect.interruptible(self(attempt) as Effect.Effect<A, E>))
      )
      fiber.addObserver((exit) => end(Exit.flatten(exit)))
      const ended = Effect.async<A, E>((resume) => first === undefined ? void (wake = resume) : resume(first))
      return Effect.matchCauseEffect(restore(ended), {
        onSuccess: (value) => Effect.as(FiberRefs.inherited(settings.fiberRefs, fiber) ?? Effect.void, value),
        // spoiled, failed, or an interruption of the caller
        onFailure: (cause) => Effect.andThen(Fiber.interrupt(fiber), Effect.failCause(cause))
      })
    })
  )

const effect = (send: Method, named: Named, known: Known) => (payload: unknown, options?: CallOptions) =>
  RpcCall.make(
    untilSpoiled(
      named.tag,
      (attempt) =>
        Effect.catchAllCause(
          Effect.flatMap(
            withFacts(options),
            (options) => send(payload, options) as Effect.Effect<unknown, unknown, unknown>
          ),
          recover(attempt, named, known)
        ),
      (attempt, cause) => recover(attempt, named, known)(cause)
    ),
    named
  )

const stream = (send: Method, named: Named, known: Known) => (payload: unknown, options: CallOptions = {}) => {
  const { asMailbox, ...others } = options
  const elements = Stream.suspend(() => {
    const spoiled = Deferred.unsafeMake<never>(FiberId.none)
    const attempt = Attempt.make(named.tag, (defect) => Deferred.unsafeDone(spoiled, Effect.die(defect)))
    return Stream.unwrap(
      Effect.map(withFacts(others), (options) => send(payload, options) as Stream.Stream<unknown, unknown, unknown>)
    ).pipe(
      Stream.provideService(Attempt.CurrentAttemptState, attempt),
      Stream.interruptWhenDeferred(spoiled),
      Stream.catchAllCause((cause) => Stream.fromEffect(recover(attempt, named, known)(cause)))
    )
  })
  return asMailbox === true
    // the mailbox of the library would read ahead
    ? RpcCall.make(Mailbox.fromStream(elements, { capacity: 0 }), named)
    : elements
}

/** The members of a group that are used here. */
interface Group {
  readonly requests: ReadonlyMap<string, Rpc.Any>
}

/**
 * Wraps a client. The library nests methods: the part of a tag before the first dot names an object with the rest as
 * keys.
 *
 * @internal
 */
export const client = (
  group: Group,
  original: object,
  named: (rpc: Rpc.AnyWithProps) => Named,
  known: Known
): object => {
  const wrapped: Record<string, unknown> = {}
  for (const [tag, rpc] of group.requests) {
    const props = rpc as unknown as Rpc.AnyWithProps
    const wrap = RpcSchema.isStreamSchema(props.successSchema) ? stream : effect
    const dot = tag.indexOf(".")
    const [prefix, name] = dot === -1 ? [undefined, tag] : [tag.slice(0, dot), tag.slice(dot + 1)]
    const source = prefix === undefined ? original : memberOf(original, prefix)
    const target = prefix === undefined ? wrapped : (wrapped[prefix] ??= {}) as Record<string, unknown>
    target[name] = wrap(memberOf(source, name) as Method, named(props), known)
  }
  return wrapped
}

const memberOf = (object: unknown, name: string): unknown =>
  Predicate.hasProperty(object, name) ? object[name] : undefined
