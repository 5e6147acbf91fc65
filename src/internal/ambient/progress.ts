/**
 * How far an attempt has got, for who cuts it: a timed out attempt whose request was never written was not sent.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Delivery } from "../../RpcError.js"
import { read } from "./context.js"

/**
 * What a transport says of one request. `Deadline.Progress` has the documentation of its members.
 *
 * @internal
 */
export interface Progress {
  readonly failed: (error: unknown) => void
  readonly sending: () => boolean
}

/**
 * What a call knows of itself.
 *
 * @internal
 */
export interface CallIdentity {
  readonly method: string
  readonly idempotent: boolean | undefined
}

/**
 * One attempt that may be cut. An attempt inside another one's attempt tells both: what it has sent, the outer one has sent.
 *
 * @internal
 */
export class AttemptProgress {
  private isCut = false
  private isSent = false
  /** How many requests are under way of which nothing is written yet. */
  private unsentRequests = 0
  private failure: unknown
  private method: string | undefined
  /** `false` when one of its calls must not run twice; `true` when all may. */
  private idempotent: boolean | undefined

  constructor(private readonly outer: AttemptProgress | undefined) {}

  /** A call of the attempt starts. */
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

  requestStarted(): void {
    this.unsentRequests++
    this.outer?.requestStarted()
  }

  requestEnded(): void {
    this.unsentRequests--
    this.outer?.requestEnded()
  }

  failed(error: unknown): void {
    this.failure = error
    this.outer?.failed(error)
  }

  sending(): boolean {
    // asked first, so that a request that is turned away further out leaves no mark here
    if (this.isCut || this.outer?.sending() === false) {
      return false
    }
    this.isSent = true
    return true
  }

  /**
   * From now on nothing is sent. What is said of nobody is `Unknown`: a transport that says nothing may have sent it. Of the
   * call that was started last the timeout has the name, as its failure would have.
   */
  cut() {
    this.isCut = true
    const isUnsent = !this.isSent && this.unsentRequests > 0
    const delivery: Delivery = isUnsent ? "NotSent" : "Unknown"
    return { delivery, cause: isUnsent ? this.failure : undefined, idempotent: this.idempotent, method: this.method }
  }
}

/**
 * The attempt that is to be told; `undefined` when nothing would cut it.
 *
 * @internal
 */
export class CurrentAttemptProgress
  extends Context.Reference<CurrentAttemptProgress>()("effect-rpc-retry/Deadline/CurrentAttemptProgress", {
    defaultValue: (): AttemptProgress | undefined => undefined
  })
{}

const unwatched: Progress = { failed: () => {}, sending: () => true }

/** @internal */
export const whileUnsent = <A, E, R>(f: (progress: Progress) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(CurrentAttemptProgress, (attempt) =>
    attempt === undefined
      ? f(unwatched)
      : Effect.acquireUseRelease(
        Effect.sync(() => attempt.requestStarted()),
        () => f({ failed: (error) => attempt.failed(error), sending: () => attempt.sending() }),
        () => Effect.sync(() => attempt.requestEnded())
      ))

/**
 * Says who runs, so that what cuts it knows too.
 *
 * @internal
 */
export const callStarting = <A, E, R>(self: Effect.Effect<A, E, R>, call: CallIdentity): Effect.Effect<A, E, R> =>
  Effect.withFiberRuntime((fiber) => {
    read(fiber.currentContext, CurrentAttemptProgress, undefined)?.callStarted(call)
    return self
  })
