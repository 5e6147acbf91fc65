/**
 * Who may import whom in `src`, how large files and folders are, and that no two files import each other, also through others
 * and also only types. Each rule is shown to catch what it forbids.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as Path from "node:path"
import ts from "typescript"
import { assert, describe, it } from "./support/vitest.js"

interface File {
  /** Relative to `src`, without its ending: `internal/engine/engine`. */
  readonly name: string
  readonly text: string
}

interface Rule {
  readonly says: string
  readonly of: (name: string) => boolean
  readonly forbids: (imported: string, name: string) => boolean
}

const inFolder = (folder: string) => (name: string) => name.startsWith(`${folder}/`)
const isPackage = (imported: string) => imported.startsWith("package:")
const isCore = (name: string) => !inFolder("transport")(name) && !inFolder("testing")(name)
const isFace = (name: string) => !name.includes("/")
const isTransportFace = (name: string) => /^transport\/[^/]+$/.test(name)

/** The floors of the core, lowest first: a folder imports from its own floor and from those below. */
const floors: ReadonlyArray<ReadonlyArray<string>> = [
  ["effect", "ambient", "errors", "options", "budget"],
  ["gate"],
  ["hedge", "endpoints"],
  ["event"],
  ["policy"],
  ["call"],
  ["telemetry"],
  ["engine", "service", "fallback"],
  ["config"]
]

/** The name of the folder in `internal` that a file is in. */
const room = (name: string): string | undefined => /^internal\/([^/]+)\//.exec(name)?.[1]

const floorOf = (name: string): number => floors.findIndex((rooms) => rooms.includes(room(name) ?? ""))

/** The faces that stand below the internals: they are made of little, and know no policy. */
const ground = new Set([
  "RpcError",
  "Classify",
  "RpcCall",
  "Deadline",
  "InvalidOption",
  "Connections",
  "ServerHint"
])

/** The folders of internals, and the one file beside them. */
const isOfAFolder = (name: string) => floorOf(name) >= 0 || name === "internal/result"

/**
 * What transports need of the core that is no face: what stands between them and this version of Effect, tables of codes, what may be told of values, a queue, the service
 * that `HttpRpc.retrying` was built with, and what discovery makes its sources of.
 */
const lent = new Set([
  "internal/result",
  "internal/effect/cause",
  "internal/effect/fiberRefs",
  "internal/effect/runtime",
  "internal/effect/step",
  "internal/endpoints/source",
  "internal/errors/excerpt",
  "internal/errors/grpcCodes",
  "internal/errors/httpStatus",
  "internal/errors/redact",
  "internal/gate/fairQueue",
  "internal/service/reference"
])

/** The folder of a transport that a file is in, or of the face: `transport/thrift/pool` and `transport/Thrift` are of `thrift`. */
const protocol = (name: string): string | undefined => /^transport\/([^/]+)\//.exec(name)?.[1]

/** Whose files others may use beside `connection` and `shared`. */
const lends: Readonly<Record<string, ReadonlyArray<string>>> = {
  jsonRpc: ["http"],
  effectRpc: ["http"],
  goRpc: ["gob"]
}

const rules: ReadonlyArray<Rule> = [
  {
    says: "RpcError stands on effect and on internal/errors alone",
    of: (name) => name === "RpcError",
    forbids: (imported) => !imported.startsWith("package:effect/") && room(imported) !== "errors"
  },
  {
    says: "an internal folder imports only from its own floor and from those below",
    of: (name) => room(name) !== undefined,
    forbids: (imported, name) => room(imported) !== undefined && floorOf(imported) > floorOf(name)
  },
  {
    says: "folders of one floor are closed to each other, but on the ground",
    of: (name) => floorOf(name) > 0,
    forbids: (imported, name) => floorOf(imported) === floorOf(name) && room(imported) !== room(name)
  },
  {
    says: "every internal file is in a folder that has a floor",
    of: (name) => name.startsWith("internal/") && !isOfAFolder(name),
    forbids: () => true
  },
  {
    says: "internals know nothing of the faces that are made of them",
    of: inFolder("internal"),
    forbids: (imported) => ["RpcRetry", "RetryPolicy", "RetryEvent", "index"].includes(imported)
  },
  {
    says: "the core imports only effect",
    of: isCore,
    forbids: (imported) => isPackage(imported) && !imported.startsWith("package:effect/")
  },
  {
    says: "the core knows no transport",
    of: isCore,
    forbids: inFolder("transport")
  },
  {
    says: "a transport knows the ground: no policy, no engine, no RpcRetry",
    of: inFolder("transport"),
    forbids: (imported) =>
      !isPackage(imported) && !ground.has(imported) && !lent.has(imported) && !inFolder("transport")(imported)
  },
  {
    says: "the folders of transports are closed to each other",
    of: (name) => protocol(name) !== undefined,
    forbids: (imported, name) => {
      const [own, other] = [protocol(name)!, protocol(imported)]
      return other !== undefined && other !== own && !["connection", "shared"].includes(other) &&
        !(lends[own] ?? []).includes(other)
    }
  },
  {
    says: "what transports share knows none of them",
    of: (name) => ["connection", "shared"].includes(protocol(name) ?? ""),
    forbids: (imported) => isTransportFace(imported)
  },
  {
    says: "nothing imports testing",
    of: (name) => !inFolder("testing")(name),
    forbids: inFolder("testing")
  },
  {
    says: "no barrel imports",
    of: () => true,
    forbids: (imported) =>
      imported === "package:effect" || /^package:@effect\/[^/]+$/.test(imported) || imported === "index"
  }
]

const importsOf = (file: File): ReadonlyArray<string> =>
  ts.preProcessFile(file.text, true, true).importedFiles.map(({ fileName }) =>
    fileName.startsWith(".")
      ? Path.posix.join(Path.posix.dirname(file.name), fileName).replace(/\.js$/, "")
      : `package:${fileName}`
  )

const violations = (files: ReadonlyArray<File>): ReadonlyArray<string> =>
  files.flatMap((file) =>
    importsOf(file).flatMap((imported) =>
      rules
        .filter((rule) => rule.of(file.name) && rule.forbids(imported, file.name))
        .map((rule) => `${file.name} imports ${imported}: ${rule.says}`)
    )
  )

/** The files that lead back to themselves, each with the way it leads: type imports count. */
const circles = (files: ReadonlyArray<File>): ReadonlyArray<string> => {
  const imports = new Map(files.map((file) => [file.name, importsOf(file)]))
  const done = new Set<string>()
  const found: Array<string> = []
  const visit = (name: string, way: ReadonlyArray<string>): void => {
    if (way.includes(name)) {
      found.push([...way.slice(way.indexOf(name)), name].join(" -> "))
    } else if (!done.has(name)) {
      imports.get(name)?.forEach((imported) => visit(imported, [...way, name]))
      done.add(name)
    }
  }
  files.forEach((file) => visit(file.name, []))
  return found
}

const maxLines = 400

/** Faces are mostly prose. */
const tooLong = (files: ReadonlyArray<File>): ReadonlyArray<string> =>
  files.filter(({ name, text }) => !isFace(name) && !isTransportFace(name) && text.split("\n").length > maxLines)
    .map(({ name }) => name)

const maxFiles = 15

const tooFull = (files: ReadonlyArray<File>): ReadonlyArray<string> => {
  const counts = new Map<string, number>()
  files.map(({ name }) => Path.posix.dirname(name)).forEach((folder) => {
    counts.set(folder, (counts.get(folder) ?? 0) + 1)
  })
  // the faces are what a user sees, one for each module
  const ofFaces = new Set([".", "transport"])
  return Array.from(counts).flatMap(([folder, count]) => !ofFaces.has(folder) && count > maxFiles ? [folder] : [])
}

/** What Effect 4 has under another name or not at all, or what is not for every file, and the file that stands before it. */
const behind: ReadonlyArray<readonly [name: string, use: RegExp, file: string]> = [
  ["Either", /effect\/Either"|\bEither\.\w|\w+Either\b/, "internal/result"],
  ["Runtime", /effect\/Runtime"|Effect\.runtime\b/, "internal/effect/runtime"],
  [
    "ScheduleDecision",
    /effect\/Schedule(Decision|Interval|Intervals)"|[sS]chedule\.initial\b|Schedule\.driver/,
    "internal/effect/step"
  ],
  ["FiberRef", /effect\/FiberRef"/, "internal/effect/fiberRefs"],
  ["a timer of JavaScript", /(?<!\.)\b(set|clear)(Timeout|Interval|Immediate)\(/, "internal/effect/timer"],
  ["MetricKey", /effect\/MetricKey(Type)?"/, "internal/telemetry/metrics"],
  ["zipRight", /\bzipRight\b/, "none"],
  [
    "the shape of a Cause",
    /Cause\.(is\w+Type|isInterrupted\w*|isDie|match|reduce|sequential|parallel|failures|defects|failure\w*|dieOption|interruptors)\b/,
    "internal/effect/cause"
  ]
]

const withoutComments = (text: string) => text.replaceAll(/\/\*[^]*?\*\/|\/\/.*$/gm, "")

const scattered = (files: ReadonlyArray<File>): ReadonlyArray<string> =>
  files.flatMap(({ name, text }) => {
    const code = withoutComments(text)
    return behind.filter(([, use, file]) => file !== name && use.test(code)).map(([what]) => `${name} names ${what}`)
  })

const src = Path.join(import.meta.dirname, "..", "src")

const files: ReadonlyArray<File> = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => ({
    name: path.split(Path.sep).join("/").replace(/\.ts$/, ""),
    text: readFileSync(Path.join(src, path), "utf8")
  }))

describe("the house", () => {
  it("keeps its import rules", () => {
    assert.isAbove(files.length, 100)
    assert.deepStrictEqual(violations(files.filter((file) => file.name !== "index")), [])
  })

  it("has no two files in a circle", () => {
    assert.deepStrictEqual(circles(files), [])
  })

  it("finds a circle of two files, and of three, of types alone", () => {
    const file = (name: string, ...imported: ReadonlyArray<string>): File => ({
      name,
      text: imported.map((one) => `import type { X } from "./${one}.js"`).join("\n")
    })
    assert.deepStrictEqual(circles([file("a", "b"), file("b", "a")]), ["a -> b -> a"])
    assert.deepStrictEqual(circles([file("a", "b"), file("b", "c"), file("c", "b")]), ["b -> c -> b"])
    assert.deepStrictEqual(circles([file("a", "b", "c"), file("b", "c"), file("c")]), [])
  })

  it("has no file that is too long, and no folder that is too full", () => {
    assert.deepStrictEqual(tooLong(files), [])
    assert.deepStrictEqual(tooFull(files), [])
    const long = { name: "internal/engine/long", text: "\n".repeat(maxLines) }
    assert.deepStrictEqual(tooLong([long, { ...long, name: "RpcRetry" }]), [long.name])
    const many = Array.from({ length: maxFiles + 1 }, (_, i) => ({ name: `transport/grpc/f${i}`, text: "" }))
    assert.deepStrictEqual(tooFull(many), ["transport/grpc"])
    assert.deepStrictEqual(tooFull(many.slice(1)), [])
  })

  it("names what another version of Effect calls otherwise in one file each", () => {
    assert.deepStrictEqual(scattered(files), [])
    const named = (name: string) => ({ name, text: "import * as Either from \"effect/Either\"" })
    assert.deepStrictEqual(scattered([named("internal/result"), named("Classify")]), ["Classify names Either"])
  })

  it("has one place where attempts are made", () => {
    const looping = files.filter((file) =>
      /Effect\.(retry|retryOrElse|repeat)\b/.test(file.text.replaceAll(/^ \*.*$/gm, ""))
    )
    assert.deepStrictEqual(looping.map((file) => file.name), [])
  })

  const bad: ReadonlyArray<[name: string, imported: string]> = [
    ["RpcError", "./Classify.js"],
    ["RpcError", "./internal/engine/engine.js"],
    ["Classify", "node:net"],
    ["RetryPolicy", "@effect/platform/Socket"],
    ["internal/engine/engine", "../../transport/GoRpc.js"],
    ["internal/engine/engine", "../../RpcRetry.js"],
    ["internal/policy/describe", "../../RetryPolicy.js"],
    ["internal/call/call", "../engine/engine.js"],
    ["internal/call/call", "../telemetry/logs.js"],
    ["internal/engine/engine", "../service/service.js"],
    ["internal/service/service", "../config/kitex.js"],
    ["internal/errors/message", "../event/event.js"],
    ["internal/loose", "effect/Effect"],
    ["RpcRetry", "./transport/Connection.js"],
    ["transport/GoRpc", "../internal/engine/engine.js"],
    ["transport/GoRpc", "../RetryPolicy.js"],
    ["transport/GoRpc", "../RpcRetry.js"],
    ["transport/goRpc/session", "../../RetrySchedule.js"],
    ["transport/thrift/pool", "../grpc/call.js"],
    ["transport/http/exchange", "../jsonRpc/message.js"],
    ["transport/shared/json", "../JsonRpc.js"],
    ["transport/GoRpc", "../testing/FlakyServer.js"],
    ["RpcRetry", "./testing/Faults.js"],
    ["RpcRetry", "effect"],
    ["transport/GoRpc", "@effect/platform"],
    ["RpcRetry", "./index.js"]
  ]
  for (const [name, imported] of bad) {
    it(`does not let ${name} import ${imported}`, () => {
      for (
        const statement of [
          `import * as X from "${imported}"`,
          `import type { X } from "${imported}"`,
          `export * from "${imported}"`
        ]
      ) {
        assert.isNotEmpty(violations([{ name, text: statement }]))
      }
    })
  }

  it("lets each import what it may", () => {
    for (
      const [name, imported] of [
        ["RpcError", "effect/Schema"],
        ["RpcError", "./internal/errors/codec.js"],
        ["internal/engine/engine", "../call/call.js"],
        ["internal/engine/engine", "../../RpcError.js"],
        ["internal/errors/cause", "../ambient/context.js"],
        ["transport/GoRpc", "../RpcCall.js"],
        ["transport/GoRpc", "./Connection.js"],
        ["transport/http/exchange", "../../ServerHint.js"],
        ["transport/jsonRpc/options", "../http/headers.js"],
        ["transport/goRpc/gobCodec", "../gob/decoder.js"],
        ["transport/connection/socket", "@effect/platform/Socket"],
        ["testing/FlakyServer", "../transport/goRpc/jsonFrames.js"],
        ["RpcRetry", "./internal/engine/engine.js"]
      ] as const
    ) {
      assert.deepStrictEqual(violations([{ name, text: `import * as X from "${imported}"` }]), [])
    }
  })
})
