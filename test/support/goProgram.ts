/**
 * A Go program for the tests of a file, which was built before them where there is `go`.
 */
import * as Path from "node:path"
import { inject } from "vitest"
import * as GoServer from "./goServer.js"

export const make = (name: string) => {
  const path = Path.join(inject("goPrograms"), name)
  return {
    /** Where it is. */
    path,
    /** Runs it as a server for the life of the scope. */
    serve: (...args: ReadonlyArray<string>) => GoServer.start(path, ...args)
  }
}
