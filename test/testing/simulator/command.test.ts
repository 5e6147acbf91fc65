import * as Effect from "effect/Effect"
import { type ChildProcess, execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import * as Result from "../../../src/internal/result.js"
import { simulate } from "../../../src/testing/simulator/command.js"
import { assert, describe, it } from "../../support/vitest.js"

const layer = { default: { deadline: "5s" } }

const files: Readonly<Record<string, unknown>> = {
  "layer.json": layer,
  "withoutBudget.json": { ...layer, budget: "off" },
  "policy.json": { schedule: { retries: 1, jitter: "full" } },
  "wrong.json": { schedule: { retires: 1 } },
  "wrongLayer.json": { default: {}, budgt: "off" },
  "small.json": {
    name: "small",
    duration: "75s",
    arrivals: { poisson: 14 },
    servers: { service: 1000 / 30 },
    faults: [{ kind: "outage", requests: "held", at: "10s", for: "10s" }]
  },
  "calm.json": { name: "calm", duration: "10s", arrivals: { poisson: 5 }, servers: { service: "10ms" } },
  "short.json": {
    name: "short",
    duration: "30s",
    arrivals: { poisson: 5 },
    servers: { service: "10ms" },
    faults: [{ kind: "restart", at: "5s", for: "500ms" }]
  },
  "wrongScenario.json": { name: "x", duration: "10s", arrivals: {}, servers: { service: 1 } }
}

const started = (at: number) => JSON.stringify({ _tag: "AttemptStarted", attempt: 1, at })

/** Files of recorded events. */
const traces: Readonly<Record<string, ReadonlyArray<string>>> = {
  "./calls.ndjson": [0, 1_000, 2_000].map((at) => started(5_000 + at)),
  "./huge.ndjson": [started(-1e308), started(1e308)],
  "./wide.ndjson": [started(0), started(1e15)],
  "./once.ndjson": [started(5_000), started(5_000)],
  "./dense.ndjson": Array.from({ length: 1000 }, (_, i) => started(i / 1000))
}

/** Runs the command on files in memory. */
const run = (...args: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const out: Array<string> = []
    const err: Array<string> = []
    const progress: Array<string> = []
    const code = yield* simulate(args, {
      out: (text) => out.push(text),
      err: (text) => err.push(text),
      progress: (text) => progress.push(text),
      read: (path) =>
        Object.hasOwn(traces, path)
          ? Result.succeed(traces[path]!.join("\n"))
          : path.slice(2) in files
          ? Result.succeed(JSON.stringify(files[path.slice(2)]))
          : Result.fail(`ENOENT: no such file ${path}`)
    })
    return { code, out: out.join("\n"), err: err.join("\n"), progress }
  })

describe("the command simulate", () => {
  it.effect("exits with 1 when a change of a layer's document takes its recovery away, and with 0 before", () =>
    Effect.gen(function*() {
      const bounds = ["--fail-if", "recovery > 60s", "--fail-if", "amplification > 1.2"]
      const good = yield* run("--policy", "./layer.json", "--scenario", "./small.json", ...bounds)
      assert.strictEqual(good.code, 0, good.err)
      assert.match(good.out, /recovery {7}after \d+s/)
      const bad = yield* run("--policy", "./withoutBudget.json", "--scenario", "./small.json", ...bounds)
      assert.strictEqual(bad.code, 1)
      assert.match(
        bad.err,
        /^broken: recovery is never, and must not be > 60s\nbroken: amplification is \d\.\d+, and must not be > 1\.2$/
      )
      assert.isAbove(bad.progress.length, 0)
    }))

  it.effect("prints JSON, with the headroom where it is asked for, and the same for the same seed", () =>
    Effect.gen(function*() {
      const args = ["--policy", "./policy.json", "--scenario", "./small.json", "--json", "--seed", "3", "--load", "4"]
      const first = yield* run(...args)
      assert.deepStrictEqual(first.out, (yield* run(...args)).out)
      assert.notStrictEqual(first.out, (yield* run(...args, "--seed", "4")).out)
      const report = JSON.parse((yield* run(...args, "--fail-if", "headroom < 1")).out)
      assert.strictEqual(report.seed, 3)
      assert.strictEqual(report.series.length, 75)
      assert.strictEqual(report.headroom.of, 4)
    }))

  it.effect("replays a trace again and again, at the load that is asked for", () =>
    Effect.gen(function*() {
      const args = ["--policy", "none", "--scenario", "./calm.json", "--trace", "./calls.ndjson", "--json"]
      assert.strictEqual(JSON.parse((yield* run(...args)).out).calls, 11)
      assert.strictEqual(JSON.parse((yield* run(...args, "--load", "2.2")).out).calls, 22)
    }))

  const wrong: ReadonlyArray<readonly [args: ReadonlyArray<string>, says: string]> = [
    [["--polcy", "none"], "--polcy"],
    [["--policy", "nnoe"], "--policy must be a file or one of none, default, layer"],
    [["--policy", "./missing.json"], "ENOENT"],
    [["--policy", "./wrong.json"], "schedule.retires is not an option, did you mean retries?"],
    [["--policy", "./wrongLayer.json"], "budgt is not an option, did you mean budget?"],
    [["--scenario", "outtage"], "did you mean outage?"],
    [["--scenario", "./wrongScenario.json"], "arrivals must have one of poisson, constant, closed, trace"],
    [
      ["--fail-if", "recovry > 60s"],
      "did you mean recovery?; there are recovery, amplification, goodput, success, p50"
    ],
    [["--fail-if", "recovery"], "must be a name, a comparison and a value"],
    [["--seed", "x"], "--seed must be a number"],
    [["--load", "0"], "--load must be greater than 0"],
    [["--load", "1e9"], "at most 1000000"],
    [["--scenario", "./calm.json", "--headroom"], "faults must have one that ends, to recover from"],
    [["--scenario", "./calm.json", "--fail-if", "recovery > 60s"], "faults must have one that ends, to recover from"],
    [["--scenario", "./short.json", "--fail-if", "recovery > 60s"], "duration must end at least 25 seconds after"],
    [["--fail-if", "success < 95"], `must compare success to a share from 0 to 1, such as "99%" or 0.99, got "95"`],
    [["--fail-if", "success < 101%"], "a share from 0 to 1"],
    [["--fail-if", "wasted > 1.5"], "a share from 0 to 1"],
    [["--fail-if", "amplification > 1e999"], "a number of at least 0"],
    [["--fail-if", "amplification > -1"], "a number of at least 0"],
    [["--fail-if", "goodput < Infinity"], "a number of at least 0"],
    [["--trace", "./huge.ndjson"], "line 1 must have an `at` in milliseconds since 1970"],
    [["--trace", "./wide.ndjson"], "line 2 must be within 31 days of the events before it"],
    [["--trace", "./once.ndjson"], "must hold calls that start at two instants at least, to be repeated"],
    [["--trace", "./dense.ndjson"], "must not come to more than 10000000 calls"],
    [["--scenario", "./calm.json", "--trace", "./layer.json"], "must hold the start of a call"]
  ]
  for (const [args, says] of wrong) {
    it.effect(`exits with 2 and says what is wrong: ${args.join(" ")}`, () =>
      Effect.gen(function*() {
        const { code, err } = yield* run(...args)
        assert.strictEqual(code, 2)
        assert.include(err, says)
      }))
  }

  it.effect("lists its options, policies and scenarios", () =>
    Effect.gen(function*() {
      const { code, out } = yield* run("--help")
      assert.strictEqual(code, 0)
      assert.include(out, "--fail-if")
      // as npm installs it
      const { bin } = JSON.parse(readFileSync("package.json", "utf8")) as { readonly bin: object }
      assert.include(out, `Usage: ${Object.keys(bin)[0]}`)
      assert.isTrue(out.split("\n").every((line) => line.length <= 80))
    }))

  /** Runs the program itself. `whenStarted` may do something to it. */
  const program = (
    args: ReadonlyArray<string>,
    whenStarted: (child: ChildProcess) => void = () => {},
    options: ReadonlyArray<string> = []
  ): Effect.Effect<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> =>
    Effect.async((resume) => {
      const root = Path.join(import.meta.dirname, "..", "..", "..")
      const child = execFile(
        "node",
        ["--import", "tsx", ...options, "src/testing/simulator/cli.ts", ...args],
        { cwd: root },
        (_, stdout, stderr) => resume(Effect.succeed({ code: child.exitCode, stdout, stderr }))
      )
      whenStarted(child)
    })

  it.live("runs as a program", () =>
    Effect.gen(function*() {
      const { code, stderr, stdout } = yield* program(["--scenario", "restart", "--fail-if", "success < 99.99%"])
      assert.strictEqual(code, 1, stderr)
      assert.include(stdout, "recovery")
      assert.include(stderr, "broken: success is 9")
    }))

  it.live("prints the same bytes in two processes for the same seed, and others for another one", () =>
    Effect.gen(function*() {
      const [first, again, other] = yield* Effect.forEach(
        ["7", "7", "8"],
        (seed) => program(["--scenario", "restart", "--json", "--seed", seed]),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual([first!.code, again!.code, other!.code], [0, 0, 0], first!.stderr)
      assert.isAbove(first!.stdout.length, 10_000)
      assert.isTrue(again!.stdout === first!.stdout, "the same seed")
      assert.isFalse(other!.stdout === first!.stdout, "another seed")
    }))

  it.live("exits as it would when nobody reads its output to the end", () =>
    Effect.gen(function*() {
      const { code, stderr } = yield* program(
        ["--scenario", "restart", "--json", "--fail-if", "success < 99.99%"],
        // as `head` does
        ({ stdout }) => stdout!.destroy()
      )
      assert.strictEqual(code, 1, stderr)
      assert.match(stderr, /^broken: success is 9.*\n$/)
    }))

  it.live("exits with 130 when it is interrupted, and prints nothing", () =>
    Effect.gen(function*() {
      // says when there is something that listens to the signal: before, it would end the process
      const saying =
        `process.on("newListener", (name) => name === "SIGINT" && setImmediate(() => console.error("ready")))`
      const { code, stderr, stdout } = yield* program(
        ["--scenario", "tinyClients", "--load", "1000000"],
        (child) => child.stderr!.once("data", () => child.kill("SIGINT")),
        ["--import", `data:text/javascript,${encodeURIComponent(saying)}`]
      )
      assert.deepStrictEqual({ code, stderr, stdout }, { code: 130, stderr: "ready\n", stdout: "" })
    }))
})
