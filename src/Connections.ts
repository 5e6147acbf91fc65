/**
 * A registry of connections and their states, which `RpcRetry.inspect` shows.
 *
 * `Connection.make` registers each connection until its scope closes. A transport that keeps connections of its own can
 * do the same. All connections share one registry unless another one is provided.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * The state of a connection.
 *
 * - `idle`: not connected, because no call has needed it yet or it was closed after a time without calls.
 * - `connecting`: being dialled.
 * - `ready`: connected; calls are sent at once.
 * - `draining`: finishing the calls in flight, and accepting no new ones.
 * - `broken`: failed, or could not be dialled; the next call dials again.
 * - `closed`: closed by its owner or with its scope.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "idle" | "connecting" | "ready" | "draining" | "broken" | "closed"

/**
 * The status of one connection.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  /** The address, for example `tcp://10.0.0.7:1234`. */
  readonly name: string
  /** The current state. */
  readonly state: State
  /** The number of dials so far. */
  readonly dials: number
  /** The number of dials that failed. */
  readonly failedDials: number
}

/**
 * A registry of connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Registry {
  /** Adds a connection until the scope closes. */
  readonly add: (status: Effect.Effect<Status>) => Effect.Effect<void, never, Scope.Scope>
  /** Returns the status of all connections, in the order they were added. */
  readonly all: Effect.Effect<ReadonlyArray<Status>>
}

/**
 * Makes an empty registry.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): Registry => {
  const entered = new Set<{ readonly status: Effect.Effect<Status> }>()
  return {
    add: (status) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const entry = { status }
          entered.add(entry)
          return entry
        }),
        (entry) => Effect.sync(() => entered.delete(entry))
      ),
    all: Effect.suspend(() => Effect.forEach(entered, ({ status }) => status))
  }
}

/**
 * The registry in use. Provide another one to list the connections of a part of a program separately. Default: one
 * registry for the process.
 *
 * @since 0.1.0
 * @category references
 */
export class Connections extends Context.Reference<Connections>()("effect-rpc-retry/Connections", {
  defaultValue: make
}) {}
