/**
 * The endpoints of all destinations, for `RpcRetry.inspect`.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { DialState } from "./dial.js"

/**
 * What is known of an endpoint at a moment.
 *
 * @since 0.1.0
 * @category models
 */
export interface State {
  /** The address, without credentials. */
  readonly address: string
  /**
   * Whether attempts are made at it:
   *
   * - `Healthy`: yes.
   * - `Ramping`: fewer than its share, more and more.
   * - `Ejected`: none, unless there is a panic: it has failed more than others.
   * - `Open`: none, unless there is a panic: its circuit breaker is open.
   * - `HalfOpen`: the probes of its circuit breaker.
   * - `Leaving`: none: it is not in the set any more, and its calls in flight go on.
   */
  readonly state: "Healthy" | "Ramping" | "Ejected" | "Open" | "HalfOpen" | "Leaving"
  /** Whether its client is made. It is made by the first attempt. */
  readonly client: DialState
  /** The attempts in flight. */
  readonly inFlight: number
  /** What its load is multiplied by in comparisons: 1 without recent failures. */
  readonly penalty: number
  /** Its weight. */
  readonly weight: number
  /** Its priority. */
  readonly priority: number
  /** Its zone; absent when it is not known. */
  readonly zone?: string | undefined
}

/** The endpoints of one destination. @internal */
export interface Entry {
  readonly destination: string
  readonly endpoints: Effect.Effect<ReadonlyArray<State>>
}

/** The destinations in use. Default: one list for the process. @internal */
export class Registry extends Context.Reference<Registry>()("effect-rpc-retry/Endpoints/Registry", {
  defaultValue: () => new Set<Entry>()
}) {}

/** Adds a destination, until the scope closes. @internal */
export const add = (entry: Entry): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(Registry, (registry) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        registry.add(entry)
      }),
      () => Effect.sync(() => registry.delete(entry))
    ))
