/**
 * The first day of a newcomer: the first example of the README against a real Go server that is killed and started again under
 * 200 callers. What is checked is what the README, `docs/guide.md` and `docs/transports/go-net-rpc.md` say of a restart.
 */
import { RetryBudget, RetryExhausted, RetrySchedule, RpcError, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { execFile } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import { eventually } from "../../support/eventually.js"
import * as GoProgram from "../../support/goProgram.js"
import * as GoServer from "../../support/goServer.js"
import { services } from "../../support/netrpc.js"
import { assert, describe, it } from "../../support/vitest.js"

const root = Path.join(import.meta.dirname, "..", "..", "..")

/** The first example in TypeScript of the README, as a reader copies it, for a server at this port. */
const firstExample = (port: number): string =>
  (/```ts\n([\s\S]*?)```/.exec(readFileSync(Path.join(root, "README.md"), "utf8"))?.[1] ?? "").replace(
    "1234",
    String(port)
  )

const callers = Array.from({ length: 200 }, (_, i) => i)

/**
 * The third of the four attempts is made 250 ms after the kill or later. When the server is back by then that attempt finds it; or
 * it joins a dial that began just before, and the fourth one finds it.
 */
const inTime = 100 + 150

const { serve } = GoProgram.make("netrpc")

const connect = (codec: "gob" | "json" = "json") =>
  Effect.gen(function*() {
    const server = yield* serve("-codec", codec)
    const rpc = yield* GoRpc.make({ host: server.host, port: server.port, codec })
    return { rpc, server, again: serve("-codec", codec, "-address", server.address) }
  })

/** Calls that wait in the server until it is killed. */
const inFlight = <A, E>(rpc: GoRpc.Client, calls: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.gen(function*() {
    const fibers = yield* Effect.forEach(calls, (call) => Effect.fork(call))
    // asked on the same connection, behind them
    const received = Effect.orDie(rpc.call("Probe.Calls", {}))
    yield* eventually(Effect.map(received, (received) => received === calls.length))
    return fibers
  })

/** How each call failed. */
const failures = <A, E>(fibers: ReadonlyArray<Fiber.Fiber<A, E>>) =>
  Effect.map(
    Effect.forEach(fibers, (fiber) => Effect.flip(Fiber.join(fiber))),
    (errors) =>
      errors.map((error) => {
        assert.instanceOf(error, RetryExhausted)
        return error
      })
  )

const told = (
  errors: ReadonlyArray<RetryExhausted>
) => [...new Set(errors.map(({ attempts, reason }) => `${reason} after ${attempts}`))]

/**
 * 200 callers that call on and on, until the server was killed and has come back. Succeeds with how long it was away, when
 * none of them has seen an error; it fails with the first error that one has seen.
 */
const restart = (codec: "gob" | "json", withLayer: boolean) =>
  Effect.gen(function*() {
    const { again, rpc, server } = yield* connect(codec)
    const { arith } = services(rpc)
    const retry = yield* RpcRetry.bind
    const multiply = (A: number) =>
      codec === "gob"
        ? arith.Multiply({ A, B: 7 }).pipe(retry)
        : rpc.call("Arith.Multiply", { A, B: 7 }).pipe(retry)
    let answers = 0
    let back = false
    const ask = (caller: number) =>
      Effect.map(multiply(caller), (answer) => {
        assert.strictEqual(answer, caller * 7)
        answers++
      })
    const fibers = yield* Effect.forEach(callers, (caller) =>
      ask(caller).pipe(
        Effect.repeat({ until: () => back }),
        Effect.zipRight(ask(caller)),
        Effect.fork
      ))
    // traffic: with a layer until its budget has seen it
    yield* eventually(Effect.map(RpcRetry.inspect, ({ budgets }) =>
      withLayer
        ? budgets.some(({ level }) => level >= 3 * callers.length)
        : answers >= 10 * callers.length))
    const killedAt = performance.now()
    yield* server.kill
    yield* again
    const away = performance.now() - killedAt
    back = true
    return yield* Fiber.join(Fiber.all(fibers)).pipe(
      Effect.as({ away, error: undefined }),
      Effect.catchAll((error) => Effect.succeed({ away, error }))
    )
  }).pipe(Effect.scoped)

/** A busy machine may take longer to start a server than the default policy waits: then it is done once more. */
const comesThrough = (round: Effect.Effect<{ readonly away: number; readonly error: RpcError.RpcError | undefined }>) =>
  Effect.gen(function*() {
    const { away, error } = yield* Effect.repeat(round, { until: ({ away }) => away < inTime })
    assert.strictEqual(error, undefined, `the server was away for ${Math.round(away)} ms`)
  })

describe.skipIf(GoServer.skipped !== undefined)(`the first example of the README ${GoServer.skipped ?? ""}`, () => {
  it.scopedLive("prints the answer of the server when it is copied and run", () =>
    Effect.gen(function*() {
      const { port } = yield* serve("-codec", "json")
      // where the package is found by its name
      const directory = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(Path.join(root, "test", "docs-"))),
        (directory) => Effect.sync(() => rmSync(directory, { recursive: true }))
      )
      const main = Path.join(directory, "main.ts")
      writeFileSync(main, firstExample(port))
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(
          process.execPath,
          ["--import", "tsx", "--conditions=@effect-rpc-retry/source", main],
          { cwd: root }
        )
      )
      assert.strictEqual(stdout, "42\n")
    }))

  for (const codec of ["json", "gob"] as const) {
    it.scopedLive(
      `${codec}: 200 callers do not notice that the server is killed, and is back in time`,
      () => comesThrough(restart(codec, false))
    )

    it.scopedLive(
      `${codec}: 200 callers with a layer, whose budget pays for all of them, do not notice either that the server is killed`,
      () => comesThrough(restart(codec, true).pipe(Effect.provide(RpcRetry.layer())))
    )
  }

  it.scopedLive("200 calls in flight, and a layer with a fixed capacity of 10: ten retries, all others give up at once", () =>
    Effect.gen(function*() {
      const { again, rpc, server } = yield* connect()
      const retry = yield* RpcRetry.bind
      const calls = callers.map(() => rpc.call("Probe.Sleep", 60_000).pipe(retry))
      const fibers = yield* inFlight(rpc, calls)
      yield* server.kill
      const errors = yield* failures(fibers)
      assert.deepStrictEqual(told(errors).toSorted(), ["BudgetExhausted after 1", "BudgetExhausted after 2"])
      assert.strictEqual(errors.filter(({ attempts }) => attempts === 2).length, 10)
      yield* again
      // the next dial may have to wait
      yield* eventually(Effect.isSuccess(rpc.call("Probe.Sleep", 1)))
    }).pipe(Effect.provide(RpcRetry.layer({ budget: RetryBudget.make({ capacity: 10 }) }))))

  it.scopedLive(
    "a server that is away for longer: the default policy gives up and says why, a longer schedule does not",
    () =>
      Effect.gen(function*() {
        const { again, rpc, server } = yield* connect()
        // the first attempt is answered by nobody, the later ones are soon
        const sleeping = () => {
          let attempts = 0
          return Effect.suspend(() => rpc.call("Probe.Sleep", attempts++ === 0 ? 600_000 : 500))
        }
        const patient = { schedule: RetrySchedule.exponential(), deadline: "1 minute" } as const
        const half = callers.slice(0, 100)
        const fibers = yield* inFlight(rpc, [
          ...half.map(() => sleeping().pipe(withRpcRetry)),
          ...half.map(() => sleeping().pipe(withRpcRetry(patient)))
        ])
        yield* server.kill
        const errors = yield* failures(fibers.slice(0, 100))
        assert.deepStrictEqual(told(errors), ["AttemptsExhausted after 4"])
        for (const error of errors) {
          assert.match(
            error.message,
            /^Probe\.Sleep failed after 4 attempts in [^:]+: connection refused \(ECONNREFUSED\), not sent(, waited \d+ms to dial)? \[AttemptsExhausted\]$/
          )
          assert.deepStrictEqual(
            error.history.map(({ error }) => [error.reason, error.delivery]),
            [["ConnectionLost", "Unknown"], ...Array.from({ length: 3 }, () => ["ConnectionRefused", "NotSent"])]
          )
          assert.match(RpcError.report(error), /attempt +started +took +delay +outcome\n +1 +0ms /)
        }
        yield* again
        assert.deepStrictEqual(yield* Fiber.join(Fiber.all(fibers.slice(100))), half.map(() => 500))
      }),
    600_000
  )

  it.scopedLive(
    "calls that must not run twice end with the kill; those that find nobody there run once, when it is back",
    () =>
      Effect.gen(function*() {
        const { again, rpc, server } = yield* connect()
        const retry = yield* RpcRetry.bind
        const fibers = yield* inFlight(rpc, callers.map(() => rpc.call("Probe.Sleep", 60_000).pipe(retry)))
        yield* server.kill
        const errors = yield* failures(fibers)
        assert.deepStrictEqual(told(errors), ["NotIdempotent after 1"])
        assert.deepStrictEqual([...new Set(errors.map(({ last }) => last.delivery))], ["Unknown"])

        const refused = yield* Deferred.make<void>()
        let seen = 0
        const patient = RetrySchedule.exponential().pipe(
          Schedule.tapInput(() => ++seen >= callers.length ? Deferred.succeed(refused, undefined) : Effect.void)
        )
        const late = yield* Effect.forEach(callers, (A) =>
          Effect.fork(rpc.call("Arith.Multiply", { A, B: 7 }).pipe(retry({ schedule: patient, deadline: "1 minute" }))))
        yield* Deferred.await(refused)
        yield* again
        assert.deepStrictEqual(
          yield* Fiber.join(Fiber.all(late)),
          callers.map((A) =>
            A * 7
          )
        )
        assert.strictEqual(yield* rpc.call("Probe.Calls", {}), callers.length)
      }).pipe(
        Effect.provide(RpcRetry.layer({
          budget: "off",
          methods: { "Probe.Sleep": { idempotent: false }, "Arith.Multiply": { idempotent: false } }
        }))
      ),
    600_000
  )
})
