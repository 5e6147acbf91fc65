/**
 * Makes one attempt over the network: what is sent with it, how it is cancelled, and how its failure is classified.
 *
 * @internal
 */
import * as Grpc from "@grpc/grpc-js"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Classify from "../../Classify.js"
import * as Deadline from "../../Deadline.js"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { Fatal, isRetryable, type Retryable, withMethod } from "../../RpcError.js"
import { repeatUnprocessed, sleepUntil } from "../shared/attempt.js"
import * as AttemptOptions from "./attemptOptions.js"
import * as Failure from "./failure.js"
import type { Method } from "./method.js"

/** @internal */
export interface Settings {
  readonly metadata: Grpc.Metadata | (() => Grpc.Metadata) | undefined
  readonly callOptions: Grpc.CallOptions | (() => Grpc.CallOptions) | undefined
  readonly retryOn: Failure.RetryOn
}

/** @internal */
export interface Outgoing {
  readonly metadata: Grpc.Metadata
  /** The call options of the user. */
  readonly options: Grpc.CallOptions
  readonly clock: Clock.Clock
  /** The ambient deadline that is sent, on the scale of `Deadline.now`. */
  readonly deadline: number
}

/**
 * The longest deadline that is passed on, in milliseconds: 24 days. grpc-js has no longer timer, its servers misread
 * longer ones, and much longer ones break it.
 */
const farthest = 2 ** 31 - 1

/** Tells wall time, whatever the clock of the program. */
const wall = Clock.make()

/**
 * Returns the deadline for grpc-js, which counts in wall time whatever the clock of the program. It converts the
 * deadline to a duration when the call is made, so that is when this runs, and a wall clock that is set meanwhile has
 * no effect.
 */
const earlier = (own: Grpc.CallOptions["deadline"], { clock, deadline }: Outgoing): number => {
  const now = wall.unsafeCurrentTimeMillis()
  const remaining = Math.max(1, Math.floor(deadline - Deadline.unsafeNow(clock)))
  const earliest = Math.min(Number(own ?? Infinity), now + remaining)
  return earliest - now < farthest ? earliest : Infinity
}

const cut = () => new Error("the attempt was cut before its request was written")

/**
 * Makes call credentials that tell the progress right before the headers are written. Those of the user and of the
 * channel run before, as they may take long.
 */
const announced = (own: Grpc.CallCredentials | undefined, progress: Deadline.Progress): Grpc.CallCredentials => {
  const credentials = Grpc.credentials.createFromMetadataGenerator((options, callback) => {
    const send = (metadata: Grpc.Metadata) => progress.sending() ? callback(null, metadata) : callback(cut())
    // credentials that fail without an error would end the process
    const fail = (error: Error | null) => callback(error ?? new Error("the credentials gave no metadata"))
    return own === undefined ? send(nothing) : void own.generateMetadata(options).then(send, fail)
  })
  // the library adds those of the channel, and then runs all of them at once
  const compose: Grpc.CallCredentials["compose"] = (other) =>
    isEmpty(other) ? credentials : announced(own === undefined ? other : own.compose(other), progress)
  return Object.assign(credentials, { compose })
}

const some = Grpc.credentials.createFromMetadataGenerator(() => {})

/** Returns whether credentials are those of a channel that has none. */
const isEmpty = (credentials: Grpc.CallCredentials): boolean => some.compose(credentials) === some

/** The metadata of credentials that add none. The library copies it. */
const nothing = new Grpc.Metadata()

/** Returns the metadata of the user, which wins, with the ambient facts. */
const withFacts = (
  method: string,
  own: Grpc.Metadata | undefined,
  facts: Deadline.Facts
): Result.Result<Grpc.Metadata, Fatal> => {
  const sent = own?.clone() ?? new Grpc.Metadata()
  const add = (key: string, value: string) => sent.get(key).length === 0 ? sent.set(key, value) : undefined
  if (facts.previousAttempts > 0) {
    add("grpc-previous-rpc-attempts", String(facts.previousAttempts))
  }
  const { idempotencyKey } = facts
  return idempotencyKey === undefined ? Result.succeed(sent) : Result.try({
    try: () => {
      add("idempotency-key", idempotencyKey)
      return sent
    },
    catch: (cause) =>
      new Fatal({
        reason: "InvalidArgument",
        method,
        message: "the idempotency key cannot be written as metadata",
        cause: Excerpt.of(cause)
      })
  })
}

/**
 * Returns what is sent with an attempt. A stream outlives its call, so the deadline of the call is not sent with it.
 *
 * @internal
 */
export const outgoing = ({ kind, name }: Method, settings: Settings): Effect.Effect<Outgoing, Fatal> =>
  Effect.flatMap(Deadline.facts, (facts) =>
    Effect.withFiberRuntime(({ currentContext, currentDefaultServices }) => {
      const optionsOf = () =>
        AttemptOptions.forAttempt(name, "callOptions", AttemptOptions.callOptions, settings.callOptions)
      return Result.flatMap(
        AttemptOptions.forAttempt(name, "metadata", AttemptOptions.metadata, settings.metadata),
        (own) =>
          Result.flatMap(optionsOf(), (options = {}) =>
            Result.map(withFacts(name, own, facts), (metadata): Outgoing => ({
              metadata,
              options,
              clock: Context.get(currentDefaultServices, Clock.Clock),
              deadline: kind === "serverStream" ? Infinity : Context.get(currentContext, Deadline.CurrentDeadline)
            })))
      )
    }))

/** Returns whether an error is one that grpc-js made of a status, by its message. */
const isServiceError = (u: unknown): u is Grpc.ServiceError =>
  u instanceof Error && Predicate.hasProperty(u, "code") && Predicate.isNumber(u.code) &&
  u.message.startsWith(`${u.code} ${Grpc.status[u.code]}: `)

/**
 * Returns whether the channel has retries turned off. grpc-js keeps its options in private fields; another kind of
 * channel has none.
 */
const isSingle = (client: Grpc.Client): boolean => {
  const channel: unknown = client.getChannel()
  const inner = Predicate.hasProperty(channel, "internalChannel") ? channel.internalChannel : undefined
  const options: unknown = Predicate.hasProperty(inner, "options") ? inner.options : undefined
  return Predicate.hasProperty(options, "grpc.enable_retries") && options["grpc.enable_retries"] === 0
}

type Failing = Effect.Effect<never, Retryable | Fatal>

/** @internal */
export interface Attempt {
  /**
   * Makes the call, or fails with what was thrown. An interceptor that fails a stream before anything was sent throws
   * its status, as no listener exists yet.
   */
  readonly start: <A extends Grpc.ClientUnaryCall>(
    make: (options: Grpc.CallOptions) => A
  ) => Result.Result<A, Failing>
  /** Classifies an error. It runs the user's `retryOn`, and what that throws is a defect. */
  readonly fail: (error: Grpc.ServiceError) => Failing
}

/** @internal */
export const attempt = (
  client: Grpc.Client,
  { name }: Method,
  { retryOn }: Settings,
  out: Outgoing,
  progress: Deadline.Progress
): Attempt => {
  const { clock, deadline, options } = out
  // an interceptor may answer, or throw, before there is a call
  let call: Grpc.ClientUnaryCall | undefined
  let head: Grpc.Metadata | undefined
  const fail: Attempt["fail"] = (error) =>
    Effect.suspend(() => {
      const now = Deadline.unsafeNow(clock)
      const today = clock.unsafeCurrentTimeMillis()
      // until a call has a connection, its peer is the target of the channel
      const isUnsent = call?.getPeer() === client.getChannel().getTarget()
      const failed = { error, head, isUnsent, isSingle: isSingle(client), deadline, now, today }
      return Effect.fail(withMethod(Failure.classify(failed, retryOn), name))
    })
  return {
    start: (make) =>
      Result.try({
        try: () => {
          const made = make({
            ...options,
            deadline: earlier(options.deadline, out),
            credentials: announced(options.credentials, progress)
          })
          made.on("metadata", (metadata) => {
            head = metadata
          })
          call = made
          return made
        },
        catch: (error) =>
          isServiceError(error)
            ? fail(error)
            : Effect.fail(
              error instanceof Error && error.message === "Channel has been shut down"
                ? new Fatal({ reason: "Cancelled", method: name, message: "the client is closed", cause: error })
                : AttemptOptions.isOfMetadata(error)
                ? new Fatal({
                  reason: "Custom",
                  method: name,
                  message: "an interceptor has set metadata that cannot be written",
                  cause: Excerpt.of(error)
                })
                : withMethod(Classify.unknown(error), name)
            )
      }),
    fail
  }
}

/**
 * Delays an `AttemptTimeout` until the ambient deadline, as the timers of grpc-js and of the server may end a little
 * earlier.
 */
const untilDeadline = ({ clock, deadline }: Outgoing) => (error: Retryable | Fatal) =>
  isRetryable(error) && error.reason === "AttemptTimeout"
    ? Effect.andThen(sleepUntil(clock, deadline), Effect.fail(error))
    : Effect.fail(error)

/** A unary method of a client, generated or loaded. */
type Invoke = (
  request: unknown,
  metadata: Grpc.Metadata,
  options: Grpc.CallOptions,
  callback: Grpc.requestCallback<unknown>
) => Grpc.ClientUnaryCall

/** @internal */
export const unary = (
  client: Grpc.Client,
  method: Method,
  settings: Settings,
  request: unknown
): Effect.Effect<unknown, Retryable | Fatal> => {
  const methods = client as unknown as Record<string, Invoke>
  const once = Deadline.whileUnsent((progress) =>
    Effect.flatMap(outgoing(method, settings), (out) =>
      Effect.async<unknown, Retryable | Fatal>((resume) => {
        const { fail, start } = attempt(client, method, settings, out, progress)
        const failed = (failure: Failing) => resume(Effect.catchAll(failure, untilDeadline(out)))
        const started = start((options) =>
          methods[method.key]!(request, out.metadata, options, (error, answer) =>
            error === null ? resume(Effect.succeed(answer)) : failed(fail(error)))
        )
        return Result.isFailure(started)
          ? failed(Result.failureOf(started))
          : Effect.sync(() =>
            Result.successOf(started).cancel()
          )
      }))
  )
  return repeatUnprocessed(once, Failure.isUnprocessed)
}
