/** A source that a test drives by hand, and clients that record what becomes of them. */
import { Endpoints, Retryable } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { settled } from "./sources.js"

/** A source whose updates are sent by hand. */
export const manual = Effect.gen(function*() {
  const updates = yield* Queue.unbounded<Endpoints.Update>()
  let refreshes = 0
  const send = (update: Endpoints.Update) => Effect.andThen(Queue.offer(updates, update), settled)
  return {
    source: Endpoints.makeSource((requests) =>
      Stream.merge(
        Stream.fromQueue(updates),
        Stream.drain(Stream.tap(requests, () => Effect.sync(() => refreshes++)))
      )
    ),
    list: (...endpoints: ReadonlyArray<Endpoints.Endpoint | string>) =>
      send({
        _tag: "Listed",
        endpoints: endpoints.map((one) => typeof one === "string" ? { address: one } : one)
      }),
    fail: (error: unknown) => send({ _tag: "Failed", error }),
    /** How often a new list was asked for. */
    refreshes: () => refreshes
  }
})

export const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })
export const unavailable = new Retryable({ reason: "Unavailable", delivery: "Unknown" })

/** A client that answers with the address of its endpoint, or as the test has it. */
export interface Client {
  readonly address: string
  readonly ask: () => Effect.Effect<string, Retryable>
}

/** Makes clients, and counts. */
export const servers = (behaviour: (address: string) => Effect.Effect<unknown, Retryable> = () => Effect.void) => {
  const dialled: Array<string> = []
  const open = new Set<string>()
  const asked = new Map<string, number>()
  return {
    /** The addresses dialled, in order. */
    dialled,
    /** The addresses whose client is open. */
    open,
    /** How often each was asked. */
    asked,
    share: (address: string) =>
      (asked.get(address) ?? 0) / Array.from(asked.values()).reduce((sum, count) => sum + count, 0),
    connect: ({ address }: Endpoints.Endpoint) =>
      Effect.acquireRelease(
        Effect.sync((): Client => {
          dialled.push(address)
          open.add(address)
          return {
            address,
            ask: () =>
              Effect.suspend(() => {
                asked.set(address, (asked.get(address) ?? 0) + 1)
                return Effect.as(behaviour(address), address)
              })
          }
        }),
        () => Effect.sync(() => open.delete(address))
      )
  }
}

export const ask = (client: Client): Effect.Effect<string, Retryable> => client.ask()
