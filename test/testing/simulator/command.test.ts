import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
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
  "wrongScenario.json": { name: "x", duration: "10s", arrivals: {}, servers: { service: 1 } }
}

const trace = [0, 1_000, 2_000].map((at) => JSON.stringify({ _tag: "AttemptStarted", attempt: 1, at: 5_000 + at }))

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
        path === "./calls.ndjson"
          ? Result.succeed(trace.join("\n"))
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
    [["--scenario", "./calm.json", "--headroom"], "needs a scenario with a fault"],
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
      assert.isTrue(out.split("\n").every((line) => line.length <= 80))
    }))

  it.live("runs as a program", () =>
    Effect.gen(function*() {
      const root = Path.join(import.meta.dirname, "..", "..", "..")
      const args = [
        "--import",
        "tsx",
        "src/testing/simulator/cli.ts",
        "--scenario",
        "restart",
        "--fail-if",
        "success < 101%"
      ]
      const { code, stderr, stdout } = yield* Effect.async<
        { readonly code: number | undefined; readonly stdout: string; readonly stderr: string }
      >((resume) => {
        const child = execFile("node", args, { cwd: root }, (_, stdout, stderr) =>
          resume(Effect.sync(() => ({ code: child.exitCode ?? undefined, stdout, stderr }))))
      })
      assert.strictEqual(code, 1, stderr)
      assert.include(stdout, "recovery")
      assert.include(stderr, "broken: success is 9")
    }))
})
