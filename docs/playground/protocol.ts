/**
 * What the page and its workers tell each other.
 */
import type * as Simulator from "effect-rpc-retry/testing/Simulator"

/** What the clients of a side do: what the document says, or something to compare it with. */
export type Kind = "document" | (typeof others)[number]

/** What there is to compare with. */
export const others = [
  "layer",
  "default",
  "grpcA6",
  "aws2026",
  "kitexFailure",
  "sreTenPercent",
  "plain",
  "none"
] as const

/** What a worker is to do: describe a policy, make one call with it, and run a scenario. */
export interface Job {
  readonly kind: Kind
  /** The text of the document of a layer. */
  readonly document: string
  /** The text of a scenario. */
  readonly scenario: string
  /** In place of those of the scenario, where it is given. */
  readonly load: number | undefined
  /** In place of those of the scenario, where it is given. */
  readonly clients: number | undefined
  readonly seed: number
  /** Whether the clients choose servers by `Endpoints`. */
  readonly endpoints: boolean
  /** What the server does with the attempts of the one call. */
  readonly script: string
}

/** An attempt of the one call. Times are in milliseconds from its start. */
export interface Attempt {
  readonly from: number
  readonly to: number
  readonly end: "ok" | "failed" | "cut"
  /** Why it ended, in a word or two. */
  readonly reason: string
}

/** The one call. Times are in milliseconds from its start. */
export interface Call {
  readonly attempts: ReadonlyArray<Attempt>
  /** When it ended; `undefined` when it did not within two minutes. */
  readonly end: number | undefined
  readonly succeeded: boolean
  readonly deadline: number | undefined
  /** The error, and what it says of each attempt. */
  readonly story: string
}

/** When something is wrong in a scenario, in seconds. */
export interface Band {
  readonly from: number
  readonly to: number
}

export type Input = "document" | "scenario" | "script"

export type Message =
  | { readonly _tag: "Wrong"; readonly input: Input; readonly problem: string }
  | { readonly _tag: "Described"; readonly text: string }
  | { readonly _tag: "Called"; readonly call: Call }
  | { readonly _tag: "Progress"; readonly share: number }
  | { readonly _tag: "Done"; readonly report: Simulator.Report; readonly faults: ReadonlyArray<Band> }
