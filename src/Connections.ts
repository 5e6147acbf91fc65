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
 * - `name`: where it leads: `tcp://10.0.0.7:1234`.
 * - `dials`: how often it was dialled; `failedDials`: how many of those failed.
 *
 * @since 0.1.0
 * @category models
 */
export interface Status {
  readonly name: string
  readonly state: State
  readonly dials: number
  readonly failedDials: number
}

/**
 * - `add`: enters a connection until the scope closes.
 * - `all`: how all of them are now, in the order they were entered.
 *
 * @since 0.1.0
 * @category models
 */
export interface Registry {
  readonly add: (status: Effect.Effect<Status>) => Effect.Effect<void, never, Scope.Scope>
  readonly all: Effect.Effect<ReadonlyArray<Status>>
}

/**
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
