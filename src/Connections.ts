/**
 * The connections that are open, or would be, by name: what `RpcRetry.inspect` shows of them.
 *
 * `Connection.make` enters each connection here for as long as it lives; a transport that keeps connections of its own can
 * do the same. All that was not given a registry of its own shares one.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * - `idle`: none, and none was needed: before the first call, or after the last one was long ago.
 * - `connecting`: it is being dialled.
 * - `ready`: calls go out on it at once.
 * - `draining`: it finishes the calls it has, and takes no others.
 * - `broken`: it failed, or could not be dialled. The next call dials anew.
 * - `closed`: at the end of its scope, or by its owner.
 *
 * @since 0.1.0
 * @category models
 */
export type State = "idle" | "connecting" | "ready" | "draining" | "broken" | "closed"

/**
 * How one connection is now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  /** Where it leads, for example `tcp://10.0.0.7:1234`. */
  readonly name: string
  /** What it does now. */
  readonly state: State
  /** How often it was dialled. */
  readonly dials: number
  /** How many of the dials failed. */
  readonly failedDials: number
}

/**
 * A list of connections.
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
 * The registry in use. Provide another one to keep the connections of a part of a program apart.
 *
 * @since 0.1.0
 * @category references
 */
export class Connections extends Context.Reference<Connections>()("effect-rpc-retry/Connections", {
  defaultValue: make
}) {}
