/**
 * Where the endpoints of a destination come from: lists that replace each other over time.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type { Pipeable } from "effect/Pipeable"
import type * as Stream from "effect/Stream"

/**
 * One address behind a destination.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  /** The address, as `"host:port"` or whatever the client is made from: a URL, a path. It names the endpoint. */
  readonly address: string
  /** How much of the load it takes in relation to others: a number greater than 0. Default 1. */
  readonly weight?: number | undefined
  /** Endpoints of the lowest priority are used while one of them is healthy. An integer from 0. Default 0. */
  readonly priority?: number | undefined
  /** The zone that it is in, for a preference of near endpoints. Default `undefined`: not known. */
  readonly zone?: string | undefined
  /** What else the source knows of it, for the function that makes its client. */
  readonly attributes?: Readonly<Record<string, string>> | undefined
}

/**
 * A list that replaces the last one, or why there is none: then the last list stays in use.
 *
 * @since 0.1.0
 * @category models
 */
export type Update =
  | { readonly _tag: "Listed"; readonly endpoints: ReadonlyArray<Endpoint> }
  | { readonly _tag: "Failed"; readonly error: unknown }

/**
 * @since 0.1.0
 * @category type ids
 */
export const SourceTypeId = "~effect-rpc-retry/Endpoints/Source"

/**
 * @since 0.1.0
 * @category type ids
 */
export type SourceTypeId = typeof SourceTypeId

/**
 * Where the endpoints of a destination come from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Source<out R = never> extends Pipeable {
  readonly [SourceTypeId]: SourceTypeId
  /**
   * Returns the updates, for as long as the destination is used. They do not end by an error: that is an update.
   *
   * - `refreshes`: an element asks for a new list now, because a connection failed. A source that is told of changes by
   *   itself ignores it.
   */
  readonly updates: (refreshes: Stream.Stream<void>) => Stream.Stream<Update, never, R>
}

/** How often {@link Lookup}s are made. Effects of type `Effect.Effect<Lookup>` are polled. @internal */
export type LookupEffect<E, R> = Effect.Effect<Lookup, E, R>

/**
 * What one look-up has found.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lookup {
  /** The endpoints. */
  readonly endpoints: ReadonlyArray<Endpoint>
  /** How long they are valid, in milliseconds; `undefined` when the source does not say. */
  readonly ttlMillis?: number | undefined
}
