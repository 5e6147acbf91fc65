import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { InvalidOption } from "../../../src/InvalidOption.js"
import * as EndpointsFile from "../../../src/transport/EndpointsFile.js"
import { eventually } from "../../support/eventually.js"
import { follow, listed } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-file-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const followed = (path: string) =>
  Effect.gen(function*() {
    const source = yield* Effect.provide(follow(EndpointsFile.watch({ path, every: "1 hour" })), NodeFileSystem.layer)
    // read a second time because of another file: the folder is watched
    yield* eventually(() => {
      writeFileSync(Path.join(Path.dirname(path), "other"), "")
      return source.updates.length > 1
    })
    return source
  })

describe("EndpointsFile.watch at a real file", () => {
  it.scopedLive("sees a file that is renamed over it, again and again", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "users.json")
      writeFileSync(path, "[\"10.0.0.1:80\"]")
      const source = yield* followed(path)
      for (const i of [2, 3, 4]) {
        writeFileSync(`${path}.new`, `{"endpoints":[{"address":"10.0.0.${i}:80","weight":${i}}]}`)
        renameSync(`${path}.new`, path)
        yield* eventually(() => source.lists().at(-1)?.[0] === `10.0.0.${i}:80`)
      }
      assert.deepStrictEqual(source.updates.at(-1), listed({ address: "10.0.0.4:80", weight: 4 }))
    }))

  it.scopedLive("sees a ConfigMap whose link is replaced", () =>
    Effect.gen(function*() {
      const root = yield* folder
      const publish = (name: string, text: string) => {
        mkdirSync(Path.join(root, name))
        writeFileSync(Path.join(root, name, "users.json"), text)
        symlinkSync(name, Path.join(root, "..data_tmp"))
        renameSync(Path.join(root, "..data_tmp"), Path.join(root, "..data"))
      }
      publish("..1", "[\"10.0.0.1:80\"]")
      symlinkSync("..data/users.json", Path.join(root, "users.json"))
      const source = yield* followed(Path.join(root, "users.json"))
      publish("..2", "[\"10.0.0.2:80\"]")
      yield* eventually(() => source.lists().at(-1)?.[0] === "10.0.0.2:80")
    }))

  it.scopedLive("keeps its list while the file is written in part, is empty or away, and takes the whole one", () =>
    Effect.gen(function*() {
      const path = Path.join(yield* folder, "users.json")
      writeFileSync(path, "[\"10.0.0.1:80\"]")
      const source = yield* followed(path)
      const steps = [
        [() => writeFileSync(path, "[\"10.0.0.2:80\", \"10.0"), `file ${path}: the file is not JSON`],
        [() => writeFileSync(path, ""), `file ${path}: the file is an empty body`],
        [() => writeFileSync(path, "[{\"address\":\"a:1\",\"weight\":-1}]"), "endpoint a:1: weight must be"],
        [() => writeFileSync(path, "5"), "endpoint list: endpoints must be an array"],
        [() => rmSync(path), `file ${path}: the file cannot be read`]
      ] as const
      for (const [step, problem] of steps) {
        step()
        yield* eventually(() => source.problems().at(-1)?.startsWith(problem) === true)
      }
      assert.deepStrictEqual(new Set(source.lists().map(String)), new Set(["10.0.0.1:80"]))
      writeFileSync(path, "[\"10.0.0.2:80\"]")
      yield* eventually(() => source.lists().at(-1)?.[0] === "10.0.0.2:80")
    }))
})

describe("EndpointsFile.watch", () => {
  it.scoped("keeps its list while the file is away for an hour, without a word of the file system, and is right within one refresh", () =>
    Effect.gen(function*() {
      let text: string | undefined = "[\"10.0.0.1:80\"]"
      let watching = 0
      const gone = new PlatformError.SystemError({ reason: "NotFound", module: "FileSystem", method: "x" })
      const files = FileSystem.layerNoop({
        readFile: () =>
          Effect.suspend(() => text === undefined ? Effect.fail(gone) : Effect.succeed(new TextEncoder().encode(text))),
        watch: () =>
          Stream.unwrap(Effect.sync(() => {
            watching++
            return Stream.fail(gone)
          }))
      })
      const source = yield* Effect.provide(follow(EndpointsFile.watch({ path: "/etc/users.json" })), files)
      text = undefined
      yield* TestClock.adjust("36 seconds")
      const before = source.lists().length
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(source.lists().length, before)
      assert.isAbove(source.problems().length, 100)
      assert.isBelow(watching, 130)
      text = "[\"10.0.0.2:80\"]"
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(source.lists().at(-1), ["10.0.0.2:80"])
    }))

  it.scoped("is read at once after a connection failure, also where the folder cannot be watched: the watch throws", () =>
    Effect.gen(function*() {
      const files = FileSystem.layerNoop({
        readFile: () => Effect.succeed(new TextEncoder().encode("[\"10.0.0.1:80\"]")),
        watch: () => Stream.die(new Error("ENOSPC: System limit for number of file watchers reached"))
      })
      const source = yield* Effect.provide(
        follow(EndpointsFile.watch({ path: "/etc/users.json", every: "1 hour" })),
        files
      )
      yield* TestClock.adjust("1 second")
      assert.lengthOf(source.updates, 1)
      yield* source.refresh
      assert.lengthOf(source.updates, 2)
    }))

  it("refuses options that cannot be used", () => {
    for (
      const [options, message] of [
        [{ path: "" }, "path must be a path, got \"\""],
        [{ path: "a", every: "10 millis" }, "every must be at least 1 second, got 10 ms"],
        [{ path: "a", evry: 1 }, "evry is not an option"]
      ] as ReadonlyArray<[EndpointsFile.Options, string]>
    ) {
      let thrown: unknown
      try {
        EndpointsFile.watch(options)
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as InvalidOption).message, `EndpointsFile.watch: ${message}`)
    }
  })
})
