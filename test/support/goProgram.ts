/**
 * A Go program for the tests of a file: built before them where there is `go`, and removed after them.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as GoServer from "./goServer.js"
import { afterAll, beforeAll } from "./vitest.js"

export const make = (name: string) => {
  const scope = Effect.runSync(Scope.make())
  let binary = ""
  beforeAll(async () => {
    if (GoServer.skipped === undefined) {
      binary = (await Effect.runPromise(Scope.extend(GoServer.build(name), scope))).binary
    }
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return {
    /** Where it is, once the tests run. */
    path: () => binary,
    /** Runs it as a server for the life of the scope. */
    serve: (...args: ReadonlyArray<string>) => Effect.suspend(() => GoServer.start(binary, ...args))
  }
}
