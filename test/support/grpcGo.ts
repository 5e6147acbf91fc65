/**
 * A server in Go of the service in `grpcEcho.proto`, told what to do by its own methods, over a connection apart.
 */
import { Metadata } from "@grpc/grpc-js"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import type * as Contract from "./contract.js"
import type { Running } from "./goServer.js"
import { client } from "./grpcClient.js"

/** As the programs read it. */
export interface Step {
  readonly _tag: "Answer" | "Stall" | "Reset" | "Status"
  readonly code?: number
  readonly details?: string
  readonly messages?: number
  readonly trailers?: Readonly<Record<string, ReadonlyArray<string>>>
  readonly retryInfo?: number
  readonly head?: boolean
}

export interface Seen extends Contract.Seen {
  readonly method: string
}

export const make = (serve: (...args: ReadonlyArray<string>) => Effect.Effect<Running, never, Scope.Scope>) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    const first = yield* serve()
    const { address } = first
    const running = yield* Ref.make(first)
    const control = yield* client(address)
    const told = (method: "Script" | "Seen" | "Cancelled", value: string) => {
      // the server may have been restarted since
      const metadata = () => new Metadata({ waitForReady: true })
      return Grpc.unary(control, method, { metadata })({ value }).pipe(Effect.map(({ value }) => value), Effect.orDie)
    }
    return {
      address,
      script: (...steps: ReadonlyArray<Step>) => Effect.asVoid(told("Script", JSON.stringify(steps))),
      seen: Effect.map(
        told("Seen", ""),
        (text): ReadonlyArray<Seen> =>
          (JSON.parse(text) as Array<Omit<Seen, "cancelled">>).map((seen, i) => ({
            method: seen.method,
            text: seen.text,
            previousAttempts: seen.previousAttempts,
            // what is not there is left out
            idempotencyKey: seen.idempotencyKey,
            remaining: seen.remaining,
            cancelled: Effect.asVoid(told("Cancelled", String(i)))
          }))
      ),
      restart: Effect.gen(function*() {
        yield* (yield* running).kill
        yield* Ref.set(running, yield* serve("-address", address))
      }).pipe(Scope.extend(scope))
    }
  })

/** The steps of the suite that all adapters pass. A delay is said in RetryInfo, a "no" in the trailer. */
export const ofContract = (step: Contract.Step): Step => {
  switch (step._tag) {
    case "Fatal":
      return { _tag: "Status", code: 3, details: "no" }
    case "Retryable":
      return { _tag: "Status", code: 14, details: "not now" }
    case "Hint":
      return step.delay === "Never"
        ? { _tag: "Status", code: 14, details: "never", trailers: { "grpc-retry-pushback-ms": ["-1"] } }
        : { _tag: "Status", code: 8, details: "later", retryInfo: step.delay }
    case "Domain":
      throw new Error("gRPC has no domain errors")
    default:
      return { _tag: step._tag }
  }
}
