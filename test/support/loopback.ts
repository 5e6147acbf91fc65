import * as Effect from "effect/Effect"
import type * as Net from "node:net"

/** Listens on a port of its own for the life of the scope; at its end `hangUp` is to end the connections that are open. */
export const listen = (server: Net.Server, hangUp: () => void) =>
  Effect.acquireRelease(
    Effect.async<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as Net.AddressInfo).port)))
    }),
    () =>
      Effect.async<void>((resume) => {
        server.close(() => resume(Effect.void))
        hangUp()
      })
  )
