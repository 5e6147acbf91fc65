/**
 * Retries for RPC calls in Effect programs.
 *
 * @since 0.1.0
 */

export {
  /**
   * @since 0.1.0
   */
  CallRejected,
  /**
   * @since 0.1.0
   */
  Fatal,
  /**
   * @since 0.1.0
   */
  Retryable,
  /**
   * @since 0.1.0
   */
  RetryExhausted
} from "./RpcError.js"

export {
  /**
   * @since 0.1.0
   */
  InvalidOption
} from "./InvalidOption.js"

export {
  /**
   * @since 0.1.0
   */
  withRpcRetry
} from "./RpcRetry.js"

/**
 * @since 0.1.0
 */
export * as Bulkhead from "./Bulkhead.js"

/**
 * @since 0.1.0
 */
export * as CircuitBreaker from "./CircuitBreaker.js"

/**
 * @since 0.1.0
 */
export * as Classify from "./Classify.js"

/**
 * @since 0.1.0
 */
export * as Connections from "./Connections.js"

/**
 * @since 0.1.0
 */
export * as Deadline from "./Deadline.js"

/**
 * @since 0.1.0
 */
export * as Endpoints from "./Endpoints.js"

/**
 * @since 0.1.0
 */
export * as Fallback from "./Fallback.js"

/**
 * @since 0.1.0
 */
export * as Hedge from "./Hedge.js"

/**
 * @since 0.1.0
 */
export * as RetryBudget from "./RetryBudget.js"

/**
 * @since 0.1.0
 */
export * as RetryEvent from "./RetryEvent.js"

/**
 * @since 0.1.0
 */
export * as RetryPolicy from "./RetryPolicy.js"

/**
 * @since 0.1.0
 */
export * as RetrySchedule from "./RetrySchedule.js"

/**
 * @since 0.1.0
 */
export * as RpcCall from "./RpcCall.js"

/**
 * @since 0.1.0
 */
export * as RpcError from "./RpcError.js"

/**
 * @since 0.1.0
 */
export * as ServerHint from "./ServerHint.js"

/**
 * @since 0.1.0
 */
export * as RpcRetry from "./RpcRetry.js"

/**
 * @since 0.1.0
 */
export * as Throttle from "./Throttle.js"
