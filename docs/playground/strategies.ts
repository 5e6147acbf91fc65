/**
 * What the clients of a side do about failures.
 */
import type * as InvalidOption from "effect-rpc-retry/InvalidOption"
import * as RetryPolicy from "effect-rpc-retry/RetryPolicy"
import * as RpcRetry from "effect-rpc-retry/RpcRetry"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schedule from "effect/Schedule"
import type { Job, Kind } from "./protocol.js"

export interface Side {
  readonly strategy: Simulator.Strategy
  /** What it comes to, in numbers. */
  readonly description: string
  readonly deadline: number | undefined
}

const presets = {
  default: RetryPolicy.default,
  grpcA6: RetryPolicy.grpcA6,
  aws2026: RetryPolicy.aws2026,
  kitexFailure: RetryPolicy.kitexFailure,
  sreTenPercent: RetryPolicy.sreTenPercent,
  none: RetryPolicy.none
} satisfies Partial<Record<Kind, RetryPolicy.RetryPolicy>>

/** The method of the one call. */
export const method = "Users.Get"

const ofLayer = (options: RpcRetry.LayerOptions, endpoints: boolean): Side => {
  const policy = RpcRetry.make({ ...options, metrics: "off" }).policy(method)
  return {
    strategy: Simulator.layer(options, { endpoints: endpoints ? {} : undefined }),
    description: RetryPolicy.show(Effect.runSync(RetryPolicy.describe(policy))),
    deadline: policy.deadline === undefined ? undefined : Duration.toMillis(policy.deadline)
  }
}

/** What is often written by hand. */
const plain: Side = {
  strategy: Simulator.client(Effect.succeed({
    retrying: ({ attemptTimeout, call }) =>
      call.pipe(
        Effect.timeout(attemptTimeout),
        Effect.retry({ times: 3, schedule: Schedule.exponential("100 millis", 1.5) })
      )
  })),
  description: [
    "call.pipe(",
    `  Effect.timeout("1 second"),`,
    `  Effect.retry({ times: 3, schedule: Schedule.exponential("100 millis", 1.5) })`,
    ")",
    "",
    "It retries every error, also those that no retry",
    "can change; it has no deadline, and nothing limits",
    "its retries."
  ].join("\n"),
  deadline: undefined
}

const parsed = (document: string): Either.Either<RpcRetry.LayerOptions, InvalidOption.InvalidOption> =>
  RpcRetry.decode(document.trim() === "" ? "{}" : document)

export const make = ({ document, endpoints, kind }: Job): Either.Either<Side, string> =>
  kind === "document"
    ? Either.mapBoth(parsed(document), {
      onLeft: ({ message }) => message,
      onRight: (options) => ofLayer(options, endpoints)
    })
    : Either.right(
      kind === "plain"
        ? plain
        : kind === "layer"
        ? ofLayer({}, endpoints)
        : ofLayer({ default: presets[kind], budget: "off" }, endpoints)
    )
