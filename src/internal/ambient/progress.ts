/**
 * Tracks whether an attempt has written a request yet. When the attempt timeout or the deadline ends an attempt before
 * anything was written, its error gets the delivery `NotSent` in place of `Unknown`.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Delivery } from "../../RpcError.js"
import { read } from "./context.js"
import { versioned } from "./version.js"

/**
 * The callbacks with which a transport reports the progress of one request. `Deadline.Progress` documents the members.
 *
 * @internal
 */
export interface Progress {
  readonly failed: (error: unknown) => void
  readonly sending: () => boolean
}

/**
 * The method of an `RpcCall`, and whether it may run twice.
 *
 * @internal
 */
export interface CallIdentity {
  readonly method: string
  readonly idempotent: boolean | undefined
}

/**
 * The progress of one attempt that has a timeout or a deadline. An attempt nested in an attempt of an outer call
 * reports to the outer one too: what the inner attempt has sent, the outer one has sent.
 *
 * @internal
 */
export class AttemptProgress {
  private isCut = false
  private isTimedOut = false
  private endpoint: string | undefined
  private isSent = false
  /** The number of requests that have started and of which nothing is written yet. */
  private unsentRequests = 0
  private failure: unknown
  private method: string | undefined
  /** `false` when one of the calls in the attempt must not run twice, `true` when all may, `undefined` when unknown. */
  private idempotent: boolean | undefined

  constructor(private readonly outer: AttemptProgress | undefined) {}

  /** Records that an `RpcCall` starts within the attempt. */
  callStarted({ idempotent, method }: CallIdentity): void {
    const isFirst = this.method === undefined
    this.idempotent = isFirst || this.idempotent === idempotent
      ? idempotent
      : this.idempotent === false || idempotent === false
      ? false
      : undefined
    this.method = method
    this.outer?.callStarted({ idempotent, method })
  }

  /** Returns whether a call within the attempt has said of itself that it must not run twice. */
  mustNotRepeat(): boolean {
    return this.idempotent === false
  }

  /** Records that a request has started of which nothing is written yet. */
  requestStarted(): void {
    this.unsentRequests++
    this.outer?.requestStarted()
  }

  /** Records that a request has ended. */
  requestEnded(): void {
    this.unsentRequests--
    this.outer?.requestEnded()
  }

  /** Remembers why a request could not be sent so far. */
  failed(error: unknown): void {
    this.failure = error
    this.outer?.failed(error)
  }

  /** Returns whether a request may be written now, and if so records that the attempt has sent one. */
  sending(): boolean {
    // the outer attempt is asked first, so that a request that it refuses is not recorded as sent here
    if (this.isCut || this.outer?.sending() === false) {
      return false
    }
    this.isSent = true
    return true
  }

  /** Records the endpoint that the attempt is made at. */
  endpointChosen(address: string): void {
    this.endpoint = address
    this.outer?.endpointChosen(address)
  }

  /** Returns whether the attempt, or one around it, was ended by its own timeout, which is a failure of the server. */
  hasTimedOut(): boolean {
    return this.isTimedOut || this.outer?.hasTimedOut() === true
  }

  /**
   * Ends the attempt: later calls of {@link sending} return `false`. Returns the fields of its `AttemptTimeout` error.
   *
   * The delivery is `NotSent` only when a request had started and none was written. It is `Unknown` when no transport
   * reported any progress, since a request may then have been sent. The method is that of the call that started last.
   *
   * - `isByDeadline`: whether the deadline of the call ends the attempt, which says nothing of the server.
   */
  cut(isByDeadline: boolean) {
    this.isCut = true
    this.isTimedOut = !isByDeadline
    const isUnsent = !this.isSent && this.unsentRequests > 0
    const delivery: Delivery = isUnsent ? "NotSent" : "Unknown"
    return {
      delivery,
      cause: isUnsent ? this.failure : undefined,
      endpoint: this.endpoint,
      idempotent: this.idempotent,
      method: this.method
    }
  }
}

/**
 * The progress of the current attempt; `undefined` for an attempt without a timeout and without a deadline.
 *
 * @internal
 */
export class CurrentAttemptProgress
  extends Context.Reference<CurrentAttemptProgress>()(versioned("effect-rpc-retry/Deadline/CurrentAttemptProgress"), {
    defaultValue: (): AttemptProgress | undefined => undefined
  })
{}

const unwatched: Progress = { failed: () => {}, sending: () => true }

/**
 * Counts a request of the current attempt as not yet written, until it reports `sending` or ends.
 *
 * @internal
 */
export const whileUnsent = <A, E, R>(f: (progress: Progress) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime(({ currentContext }) => {
    const attempt = read(currentContext, CurrentAttemptProgress, undefined)
    return attempt === undefined ? f(unwatched) : counted(attempt, f)
  })

/** Does what `Effect.acquireUseRelease` does, in a third of the steps. */
const counted = <A, E, R>(
  attempt: AttemptProgress,
  f: (progress: Progress) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.uninterruptibleMask((restore) => {
    attempt.requestStarted()
    const progress: Progress = { failed: (error) => attempt.failed(error), sending: () => attempt.sending() }
    return Effect.matchCauseEffect(restore(Effect.suspend(() => f(progress))), {
      onFailure: (cause) => {
        attempt.requestEnded()
        return Effect.failCause(cause)
      },
      onSuccess: (value) => {
        attempt.requestEnded()
        return Effect.succeed(value)
      }
    })
  })

/**
 * Tells the current attempt which call starts, so that an `AttemptTimeout` names its method.
 *
 * @internal
 */
export const callStarting = <A, E, R>(self: Effect.Effect<A, E, R>, call: CallIdentity): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    read(fiber.currentContext, CurrentAttemptProgress, undefined)?.callStarted(call)
    return self
  })
