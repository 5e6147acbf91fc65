/**
 * The types of the service behind calls. `RpcRetry` gives them to users.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import type * as Connections from "../../Connections.js"
import type { InvalidOption } from "../../InvalidOption.js"
import type * as RetryBudget from "../../RetryBudget.js"
import type { RetryableReason } from "../../RpcError.js"
import type { Telemetry } from "../call/observer.js"
import type * as RetryPolicy from "../policy/policy.js"

/**
 * The policies in force.
 *
 * - `policy`: the complete policy of a method, its budget included.
 * - `policies`: what was said by name, and what comes of it.
 * - `update`, `remove`, `inspect`: see the functions of the same names.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly policy: (method: string | undefined) => RetryPolicy.Complete
  readonly policies: Effect.Effect<ReadonlyArray<InForce>>
  readonly update: (
    name: string,
    policy: RetryPolicy.Options | "off",
    options?: UpdateOptions
  ) => Effect.Effect<void, InvalidOption>
  readonly remove: (name: string) => Effect.Effect<void, InvalidOption>
  readonly inspect: Effect.Effect<Inspection>
  /** @internal */
  readonly telemetry: Telemetry
}

/**
 * A policy in force.
 *
 * - `name`: a method, a pattern, or `default`.
 * - `policy`: the complete policy of a method of that name.
 * - `from`: where each of its fields was said: `library`, `default`, or a name; `layer` for a budget that the layer made.
 *
 * @since 0.1.0
 * @category models
 */
export interface InForce {
  readonly name: string
  readonly policy: RetryPolicy.Complete
  readonly from: Readonly<Partial<Record<RetryPolicy.Field, string>>>
}

/**
 * - `default`: what holds for every method; the rest comes from `RetryPolicy.default`.
 * - `methods`: policies, or some of their fields, by name: a method (`"Users.Get"`), a pattern (`"Users.*"`) or `"*"`. Of
 *   the patterns that fit a method the longest holds. `"off"` is one attempt.
 * - `budget`: the effect that makes the budget of a destination (the service part of a method), run when the destination is
 *   first called, and once before to see that it works. Default `RetryBudget.make()`; `"off"` for none. Beyond a thousand
 *   destinations the others share one.
 * - `metrics`: `"off"` for none. `maxMethods`: how many methods have metrics of their own, from 1 to 100 000, default 1000;
 *   those beyond count as one, with the name `other`.
 *
 * @since 0.1.0
 * @category models
 */
export interface LayerOptions {
  readonly default?: RetryPolicy.Options | undefined
  readonly methods?: Readonly<Record<string, RetryPolicy.Options | "off">> | undefined
  readonly budget?: Effect.Effect<RetryBudget.RetryBudget> | "off" | undefined
  readonly metrics?: "off" | { readonly maxMethods?: number | undefined } | undefined
}

/**
 * What is in force now, as values that `JSON.stringify` writes whole: for an endpoint to look at.
 *
 * - `policies`: what the policy of each name comes to, as `RetryPolicy.describe` has it, and where each field was said.
 *   At most 20 delays are shown. Where a function of the policy fails in the dry run, what needs it is `unknown`.
 * - `budgets`: those with a limit that the layer made, one for each destination that was called or that a policy names: what it holds, and can
 *   hold.
 * - `connections`: those of this process. See `Connections`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Inspection {
  readonly policies: ReadonlyArray<{
    readonly name: string
    readonly from: InForce["from"]
    readonly attempts: number | "unlimited" | "unknown"
    readonly delays: ReadonlyArray<string>
    readonly totalWait: string
    readonly attemptTimeout: string | null
    readonly deadline: string | null
    readonly idempotent: boolean | null
    readonly minServerDelay: string | null
    readonly maxServerDelay: string
    readonly retried: ReadonlyArray<RetryableReason>
    readonly budget: { readonly level: number; readonly capacity: number } | "unlimited" | null
    readonly spans: boolean
    readonly logs: boolean
  }>
  readonly budgets: ReadonlyArray<{ readonly destination: string; readonly level: number; readonly capacity: number }>
  readonly connections: ReadonlyArray<Connections.Status>
}

/**
 * How `update` changes a policy.
 *
 * @since 0.1.0
 * @category models
 */
export interface UpdateOptions {
  /**
   * Whether the policy takes the place of all that is said of that name, by the layer and by earlier updates. Default `false`:
   * it is merged onto that, field by field.
   */
  readonly replace?: boolean | undefined
}
