/**
 * How far an attempt has got, for who cuts it: a timed out attempt whose request was never written was not sent.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Delivery } from "../RpcError.js"

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
 * One attempt that may be cut. An attempt inside another one's attempt tells both: what it has sent, the outer one has sent.
 *
 * @internal
 */
export class Cell {
  private isCut = false
  private isSent = false
  /** How many requests are under way of which nothing is written yet. */
  private unsent = 0
  private failure: unknown

  constructor(private readonly outer: Cell | undefined) {}

  begin(): void {
    this.unsent++
    this.outer?.begin()
  }

  end(): void {
    this.unsent--
    this.outer?.end()
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
   * From now on nothing is sent. What is said of nobody is `Unknown`: a transport that says nothing may have sent it.
   */
  cut(): { readonly delivery: Delivery; readonly cause: unknown } {
    this.isCut = true
    return !this.isSent && this.unsent > 0
      ? { delivery: "NotSent", cause: this.failure }
      : { delivery: "Unknown", cause: undefined }
  }
}

/**
 * The attempt that is to be told; `undefined` when nothing would cut it.
 *
 * @internal
 */
export class CurrentCell extends Context.Reference<CurrentCell>()("effect-rpc-retry/Deadline/CurrentCell", {
  defaultValue: (): Cell | undefined => undefined
}) {}

const unwatched: Progress = { failed: () => {}, sending: () => true }

/** @internal */
export const whileUnsent = <A, E, R>(f: (progress: Progress) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(CurrentCell, (cell) =>
    cell === undefined
      ? f(unwatched)
      : Effect.acquireUseRelease(
        Effect.sync(() => cell.begin()),
        () => f({ failed: (error) => cell.failed(error), sending: () => cell.sending() }),
        () => Effect.sync(() => cell.end())
      ))
