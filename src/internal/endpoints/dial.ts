/**
 * The client of one endpoint: made on first use, by one dialler for all who wait for it.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { LazyArg } from "effect/Function"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Classify from "../../Classify.js"
import { Fatal, isFatal, isRetryable, Retryable, withDelivery } from "../../RpcError.js"
import * as Causes from "../effect/cause.js"

/** How far a client is. @internal */
export type DialState = "Idle" | "Connecting" | "Connected"

type Failure = Retryable | Fatal

interface Dialling<Client> {
  readonly client: Deferred.Deferred<Client, Failure>
  fiber: Fiber.RuntimeFiber<void> | undefined
  waiting: number
}

/** The rules that recognise failures of sockets, in any client. */
const rules = [Classify.classified, Classify.socketError, Classify.systemError, Classify.timeout]

/**
 * Returns the error of an attempt whose client could not be made: nothing was sent. An error that is `Retryable` or
 * `Fatal` already is kept.
 */
const errorOf = (failure: unknown): Failure => {
  if (isRetryable(failure) || isFatal(failure)) {
    return failure
  }
  for (const rule of rules) {
    const error = Option.getOrUndefined(rule(failure))
    if (error?._tag === "Retryable") {
      return withDelivery(error, "NotSent")
    }
  }
  return new Retryable({ reason: "Unavailable", delivery: "NotSent", cause: failure })
}

/**
 * The error of calls after the scope of their endpoints has closed.
 *
 * @internal
 */
export const closed = (): Fatal => new Fatal({ reason: "Cancelled", message: "the endpoints are closed" })

/** The error of calls whose dial was interrupted by itself: by the library of the client, or by a server that goes away. */
const interrupted = (): Retryable =>
  new Retryable({ reason: "Unavailable", delivery: "NotSent", cause: "the dial was interrupted" })

/** @internal */
export class Dial<Client> {
  private ready: { readonly client: Client; readonly scope: Scope.CloseableScope } | undefined
  private dialling: Dialling<Client> | undefined

  /**
   * - `connect`: makes the client, in the scope that it is given.
   * - `scope`: the scope of all endpoints.
   * - `isClosed`: whether that is closed, or about to be.
   */
  constructor(
    private readonly connect: Effect.Effect<Client, unknown, Scope.Scope>,
    private readonly scope: Scope.Scope,
    private readonly isClosed: LazyArg<boolean>
  ) {}

  get state(): DialState {
    return this.ready !== undefined ? "Connected" : this.dialling !== undefined ? "Connecting" : "Idle"
  }

  /** Returns the client if it is there. */
  get current(): Client | undefined {
    return this.ready?.client
  }

  /** Waits for the client, and dials it if nobody does. When all who wait have left, the dial is interrupted. */
  readonly client: Effect.Effect<Client, Failure> = Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      this.join(),
      (dialling) =>
        Effect.onExit(restore(Deferred.await(dialling.client)), () =>
          --dialling.waiting === 0 ? this.abandon(dialling) : Effect.void)
    )
  )

  /** Closes the client. It may be dialled again. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    const { ready } = this
    this.ready = undefined
    return ready === undefined ? Effect.void : Scope.close(ready.scope, Exit.void)
  })

  private join(): Effect.Effect<Dialling<Client>> {
    return Effect.suspend(() => {
      if (this.ready !== undefined) {
        return Effect.map(
          Effect.tap(Deferred.make<Client, Failure>(), (client) => Deferred.succeed(client, this.ready!.client)),
          (client) => ({ client, fiber: undefined, waiting: 1 })
        )
      }
      if (this.dialling !== undefined) {
        this.dialling.waiting++
        return Effect.succeed(this.dialling)
      }
      return Effect.flatMap(Effect.fiberId, (id) => {
        const dialling: Dialling<Client> = {
          client: Deferred.unsafeMake<Client, Failure>(id),
          fiber: undefined,
          waiting: 1
        }
        this.dialling = dialling
        return Effect.map(Effect.forkIn(this.dial(dialling), this.scope), (fiber) => {
          dialling.fiber = fiber
          return dialling
        })
      })
    })
  }

  private abandon(dialling: Dialling<Client>): Effect.Effect<void> {
    if (this.dialling !== dialling) {
      return Effect.void
    }
    this.dialling = undefined
    // nobody waits for a dial that cannot be interrupted
    return dialling.fiber === undefined ? Effect.void : Fiber.interruptFork(dialling.fiber)
  }

  private dial(dialling: Dialling<Client>): Effect.Effect<void> {
    return Effect.uninterruptible(
      Effect.flatMap(Scope.fork(this.scope, ExecutionStrategy.sequential), (scope) =>
        Effect.flatMap(
          Effect.exit(Effect.mapError(Effect.interruptible(Scope.extend(this.connect, scope)), errorOf)),
          (exit) => {
            const isWanted = this.dialling === dialling
            if (isWanted) {
              this.dialling = undefined
            }
            if (isWanted && Exit.isSuccess(exit)) {
              this.ready = { client: exit.value, scope }
              return Deferred.succeed(dialling.client, exit.value)
            }
            const answer = Exit.isSuccess(exit) || this.isClosed()
              ? Deferred.fail(dialling.client, closed())
              : Causes.hasInterruption(exit.cause)
              ? Deferred.fail(dialling.client, interrupted())
              : Deferred.failCause(dialling.client, exit.cause)
            // those who wait are answered first: what the dial has to release may hang or die
            return Effect.andThen(answer, Scope.close(scope, exit))
          }
        ))
    )
  }
}
