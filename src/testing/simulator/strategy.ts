/**
 * What clients do about failures: a policy, a layer, or anything that wraps a call.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Endpoints from "../../Endpoints.js"
import type * as RetryPolicy from "../../RetryPolicy.js"
import * as RpcCall from "../../RpcCall.js"
import type { Fatal, Retryable } from "../../RpcError.js"
import * as RpcRetry from "../../RpcRetry.js"

/**
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~effect-rpc-retry/Simulator/Strategy"

/**
 * @since 0.1.0
 * @category type ids
 */
export type TypeId = typeof TypeId

/**
 * An attempt of a simulated call. Running it sends one request.
 *
 * @since 0.1.0
 * @category models
 */
export interface SimulatedCall extends RpcCall.RpcCall<void, Retryable | Fatal> {}

/**
 * What a client calls with.
 *
 * @since 0.1.0
 * @category models
 */
export interface Wire {
  /** The call: each attempt goes to one of the servers, at random. */
  readonly call: SimulatedCall
  /** The same call to each of the servers. */
  readonly nodes: ReadonlyArray<SimulatedCall>
  /** The bound on an attempt, from the scenario. The servers do not keep it: what wraps the call has to. */
  readonly attemptTimeout: Duration.Duration
}

/**
 * One client of a simulation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Client {
  /** Returns a call with all that the client does about its failures. It is run once for each call. */
  readonly retrying: (wire: Wire) => Effect.Effect<unknown, unknown>
  /** Returns the policy of a method, to read its budget, breaker and throttle from. Default: there are none. */
  readonly policy?: ((method: string) => RetryPolicy.Complete) | undefined
}

/**
 * What clients do about failures: made with `Simulator.layer` or `Simulator.client`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Strategy {
  readonly [TypeId]: TypeId
  /**
   * Makes one client, given the number of servers. It is run once for each client of a scenario, and must not wait. Its
   * scope closes at the end of the run.
   */
  readonly client: (nodes: number) => Effect.Effect<Client, never, Scope.Scope>
}

/**
 * What can be simulated: the options of `withRpcRetry`, in calls without a layer; an effect that makes them anew for
 * each client, for a budget, a breaker or a throttle of its own; or a {@link Strategy}.
 *
 * @since 0.1.0
 * @category models
 */
export type Policy = RetryPolicy.Options | Effect.Effect<RetryPolicy.Options> | Strategy

const isStrategy = (u: Policy): u is Strategy => Predicate.hasProperty(u, TypeId)

/** @internal */
export const fromClient = (client: Strategy["client"]): Strategy => ({ [TypeId]: TypeId, client })

/**
 * Clients with a layer of their own each. Throws `InvalidOption` for bad options.
 *
 * @internal
 */
export const fromLayer = (options: RpcRetry.LayerOptions, endpoints?: Endpoints.Settings): Strategy => {
  // both are made for what they throw
  RpcRetry.make(options)
  if (endpoints !== undefined) {
    chooser(endpoints, 1)
  }
  return fromClient((nodes) => {
    // a client has no metrics: those of all would be one
    const service = RpcRetry.make({ ...options, metrics: "off" })
    return endpoints === undefined
      ? Effect.succeed(retryingClient(service, ({ call }) => call))
      : Effect.map(chooser(endpoints, nodes), (choose) => retryingClient(service, choose))
  })
}

/** Makes a choice of servers: one for all calls of a client. */
const chooser = (settings: Endpoints.Settings, nodes: number) =>
  Effect.map(
    Endpoints.make({
      ...settings,
      metrics: "off",
      source: Endpoints.fromList(Array.from({ length: nodes }, (_, node) => `server-${node}:1`)),
      connect: ({ address }) => Effect.succeed(Number(/\d+/.exec(address)![0]))
    }),
    (endpoints) => ({ call, nodes }: Wire) =>
      endpoints.call((node: number): SimulatedCall => nodes[node]!, { method: call.method })
  )

const retryingClient = (service: RpcRetry.Service, choose: (wire: Wire) => SimulatedCall): Client => ({
  policy: service.policy,
  retrying: (wire) => {
    const { attemptTimeout, call: { method } } = wire
    const policy = service.policy(method)
    return choose(wire).pipe(
      RpcRetry.withRpcRetry({
        method,
        attemptTimeout: policy.attemptTimeout ??
          (policy.deadline === undefined ? attemptTimeout : Duration.min(attemptTimeout, policy.deadline)),
        // they would be of calls that nobody made
        logs: false,
        spans: false
      }),
      Effect.provideService(RpcRetry.RpcRetry, service)
    )
  }
})

const withoutLayer = (options: RetryPolicy.Options) => fromLayer({ default: options, budget: "off" })

/**
 * Makes a strategy of all that can be simulated. Throws `InvalidOption` for bad options of a policy.
 *
 * @internal
 */
export const fromPolicy = (policy: Policy): Strategy =>
  isStrategy(policy)
    ? policy
    : Effect.isEffect(policy)
    ? fromClient((nodes) => Effect.flatMap(policy, (options) => withoutLayer(options).client(nodes)))
    : withoutLayer(policy)

/**
 * Makes the call of a method, to the servers of a simulation.
 *
 * @internal
 */
export const wire = (
  method: string,
  attemptTimeout: number,
  nodes: number,
  attempt: (node: number | undefined) => Effect.Effect<void, Retryable>
): Wire => {
  const call = (node: number | undefined): SimulatedCall => RpcCall.make(attempt(node), { method })
  return {
    call: call(undefined),
    nodes: Array.from({ length: nodes }, (_, node) => call(node)),
    attemptTimeout: Duration.millis(attemptTimeout)
  }
}
