/**
 * The types of the service behind calls. `RpcRetry` gives them to users.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type * as Bulkhead from "../../Bulkhead.js"
import type * as CircuitBreaker from "../../CircuitBreaker.js"
import type * as Connections from "../../Connections.js"
import type { InvalidOption } from "../../InvalidOption.js"
import type * as RetryBudget from "../../RetryBudget.js"
import type { RetryableReason } from "../../RpcError.js"
import type * as Throttle from "../../Throttle.js"
import type { Telemetry } from "../call/observer.js"
import type { State } from "../endpoints/registry.js"
import type * as RetryPolicy from "../policy/policy.js"

/**
 * The service that gives calls their policy, budget and telemetry.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Returns the complete policy of a method, its budget included. */
  readonly policy: (method: string | undefined) => RetryPolicy.Complete
  /** What is in force: `default`, then every name that has a policy. */
  readonly policies: Effect.Effect<ReadonlyArray<InForce>>
  /** See `RpcRetry.update`. */
  readonly update: (
    name: string,
    policy: RetryPolicy.Options | "off",
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidOption>
  /** See `RpcRetry.remove`. */
  readonly remove: (name: string) => Effect.Effect<void, InvalidOption>
  /** See `RpcRetry.inspect`. */
  readonly inspect: Effect.Effect<Inspection>
  /** @internal */
  readonly telemetry: Telemetry
}

/**
 * A policy in force.
 *
 * @since 0.1.0
 * @category models
 */
export interface InForce {
  /** A method, a pattern, or `default`. */
  readonly name: string
  /** The complete policy of a method of that name. */
  readonly policy: RetryPolicy.Complete
  /** Where each field was set: `library`, `default`, or a name; `layer` for a budget that the layer made. */
  readonly from: Readonly<Partial<Record<RetryPolicy.Field, string>>>
}

/**
 * The options of `RpcRetry.layer`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions {
  /** The policy of every method, field by field. Default: `RetryPolicy.default`. */
  readonly default?: RetryPolicy.Options | undefined
  /**
   * Policies, or some of their fields, by name: a method (`"Users.Get"`), a pattern (`"Users.*"`) or `"*"`. Of the
   * patterns that fit a method the longest one holds. `"off"` is one attempt. Default: none.
   */
  readonly methods?: Readonly<Record<string, RetryPolicy.Options | "off">> | undefined
  /**
   * The effect that makes the budget of a destination, which is the service part of a method. It runs when the
   * destination is first called, and once before to see that it works. `"off"` for no budgets. Beyond 1000 destinations
   * the others share one budget. Default `RetryBudget.make()`.
   */
  readonly budget?: Effect.Effect<RetryBudget.RetryBudget> | "off" | undefined
  /**
   * The options of the circuit breaker of each destination, or `"off"` for none. A policy says `breaker: "off"` for
   * methods that do not pass it. Calls without a name have none, nor have those beyond 1000 destinations, of this as of
   * what follows. Default `"off"`.
   */
  readonly breaker?: CircuitBreaker.Options | "off" | undefined
  /** The options of the bulkhead of each destination, or `"off"` for none. Default `"off"`. */
  readonly bulkhead?: Bulkhead.Options | "off" | undefined
  /** The options of the throttle of each destination, or `"off"` for none. Default `"off"`. */
  readonly throttle?: Throttle.Options | "off" | undefined
  /** `"off"` for no metrics. Default: on, for at most 1000 methods. */
  readonly metrics?: "off" | {
    /**
     * How many methods have metrics of their own, from 1 to 100 000; those beyond count as one, with the name `other`.
     * Default 1000.
     */
    readonly maxMethods?: number | undefined
  } | undefined
}

/**
 * What is in force now, as plain values for `JSON.stringify`: for a debug endpoint.
 *
 * @since 0.1.0
 * @category models
 */
export interface Inspection {
  /** The policy of each name, as a dry run of it says. */
  readonly policies: ReadonlyArray<{
    /** A method, a pattern, or `default`. */
    readonly name: string
    /** Where each field was set. See {@link InForce}. */
    readonly from: InForce["from"]
    /** The most attempts that a call makes. `unknown` where a function of the policy fails in the dry run. */
    readonly attempts: number | "unlimited" | "unknown"
    /** The delays before the retries; a range where there is jitter. At most 20 are shown. */
    readonly delays: ReadonlyArray<string>
    /** All delays together, at their longest. */
    readonly totalWait: string
    /** The bound on one attempt; `null` for none. */
    readonly attemptTimeout: string | null
    /** The bound on a call; `null` for none. */
    readonly deadline: string | null
    /** Whether the calls may run twice; `null` where nobody said so. */
    readonly idempotent: boolean | null
    /** The shortest delay after a server hint; `null` for the first delay of the schedule. */
    readonly minServerDelay: string | null
    /** The longest delay that a server may ask for. */
    readonly maxServerDelay: string
    /** The hedge; `null` for none, and where `idempotent` is not `true`. */
    readonly hedge: {
      /** The time without an answer after which another leg starts: a duration, or `"quantile 0.95"`. */
      readonly after: string
      /** The legs that run side by side at most. */
      readonly max: number
      /** The extra legs per call at most. */
      readonly load: number
    } | null
    /** The reasons that are retried. */
    readonly retried: ReadonlyArray<RetryableReason>
    /** What the budget holds; `null` for no budget. */
    readonly budget:
      | {
        /** How many retries the budget holds now. */
        readonly level: number
        /** How many it can hold. */
        readonly capacity: number
      }
      | "unlimited"
      | null
    /** Whether calls have spans. */
    readonly spans: boolean
    /** Whether retries are logged. */
    readonly logs: boolean
  }>
  /** The limited budgets of the layer: one for each destination that was called or that a policy names. */
  readonly budgets: ReadonlyArray<{
    /** The service part of a method. */
    readonly destination: string
    /** How many retries the budget holds now. */
    readonly level: number
    /** How many it can hold. */
    readonly capacity: number
  }>
  /** The circuit breakers of the layer: one for each destination that was called or that a policy names. */
  readonly breakers: ReadonlyArray<{
    /** The service part of a method. */
    readonly destination: string
    /** The state of the breaker. */
    readonly state: CircuitBreaker.State
    /** The failures that it counts now. */
    readonly failures: number
    /** The share of failures in its window, from 0 to 1; `null` without a window or with nothing in it. */
    readonly rate: number | null
    /** How long it will still be open; `null` where it is not open, or open by hand. */
    readonly retryIn: string | null
  }>
  /** The bulkheads of the layer: one for each destination that was called or that a policy names. */
  readonly bulkheads: ReadonlyArray<{
    /** The service part of a method. */
    readonly destination: string
    /** How many attempts may be in flight now. */
    readonly limit: number
    /** The least that the limit becomes. */
    readonly floor: number
    /** The most that the limit becomes. */
    readonly ceiling: number
    /** How many attempts are in flight. */
    readonly inFlight: number
    /** How many attempts wait. */
    readonly waiting: number
    /** How many attempts can wait. */
    readonly queue: number
  }>
  /** The throttles of the layer: one for each destination that was called or that a policy names. */
  readonly throttles: ReadonlyArray<{
    /** The service part of a method. */
    readonly destination: string
    /** The calls that were started in the window. */
    readonly calls: number
    /** The calls in the window that were accepted. */
    readonly accepts: number
    /** The probability with which a call is rejected, from 0 to 0.9. */
    readonly rejecting: number
  }>
  /** The hedges of the layer: one for each method that was called and whose policy has the options of a hedge. */
  readonly hedges: ReadonlyArray<{
    /** The method; `null` for the calls without a name. */
    readonly method: string | null
    /** How long an attempt has no answer now when another one starts beside it; `null` while that is not known. */
    readonly after: string | null
    /** The calls so far. */
    readonly calls: number
    /** The extra legs so far. */
    readonly extraLegs: number
    /** The extra legs that were due, and that the load did not allow. */
    readonly refused: number
    /** The calls that an extra leg has ended. */
    readonly won: number
    /** The extra legs that may start now, with a fraction: from 0 to 20. `"unlimited"` for the hedge of a gRPC service config. */
    readonly level: number | "unlimited"
  }>
  /** The connections of this process. See `Connections`. */
  readonly connections: ReadonlyArray<Connections.Status>
  /** The endpoints of each destination that uses `Endpoints`, in the whole process. */
  readonly endpoints: ReadonlyArray<{
    /** The `name` of the endpoints. */
    readonly destination: string
    /** What is known of each endpoint. */
    readonly endpoints: ReadonlyArray<State>
  }>
}

/**
 * How `update` changes a policy.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpdateOptions {
  /**
   * Whether the policy takes the place of all that is said of that name, by the layer and by earlier updates. Default
   * `false`: it is merged onto that, field by field.
   */
  readonly replace?: boolean | undefined
}
