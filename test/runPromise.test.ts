/**
 * Calls as promises that an `AbortSignal` interrupts.
 */
import { InvalidOption, RpcError, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Faults from "effect-rpc-retry/testing/Faults"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Runtime from "effect/Runtime"
import * as Schedule from "effect/Schedule"
import { vi } from "vitest"
import { assert, describe, it } from "./support/vitest.js"

/** A controller, and how many listeners its signal has now. */
const counted = () => {
  const controller = new AbortController()
  const { signal } = controller
  let listeners = 0
  let added = 0
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)]
  vi.spyOn(signal, "addEventListener").mockImplementation((...args: Parameters<typeof add>) => {
    listeners++
    added++
    add(...args)
  })
  vi.spyOn(signal, "removeEventListener").mockImplementation((...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  })
  return { controller, signal, listeners: () => listeners, added: () => added }
}

const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(() => "no rejection", (error) => error)

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length

describe("RpcRetry.runPromise", () => {
  it("resolves and rejects as Effect.runPromise does", async () => {
    assert.strictEqual(await RpcRetry.runPromise(Effect.succeed(1)), 1)
    const call = Faults.refused.pipe(withRpcRetry({ schedule: Schedule.stop, logs: false }))
    const [ours, theirs] = [await rejectionOf(RpcRetry.runPromise(call)), await rejectionOf(Effect.runPromise(call))]
    assert.isTrue(Runtime.isFiberFailure(ours))
    assert.strictEqual((ours as Error).name, (theirs as Error).name)
    assert.include(String(await rejectionOf(RpcRetry.runPromise(Effect.interrupt))), "interrupted")
    assert.include(String(await rejectionOf(RpcRetry.runPromise(Effect.die("defect")))), "defect")
  })

  it("starts nothing when the signal has fired already, and rejects with its reason", async () => {
    let runs = 0
    const call = Effect.sync(() => runs++)
    const reason = new Error("gone")
    assert.strictEqual(await rejectionOf(RpcRetry.runPromise(call, { signal: AbortSignal.abort(reason) })), reason)
    assert.strictEqual(runs, 0)
    const error = await rejectionOf(RpcRetry.runPromise(call, { signal: AbortSignal.abort() }))
    assert.strictEqual((error as Error).name, "AbortError")
  })

  it("interrupts the calls of a signal that fires, in an attempt and in a delay, and rejects with the reason after their finalizers", async () => {
    const { controller, listeners, signal } = counted()
    let released = 0
    let refused = 0
    const attempt = Effect.never.pipe(Effect.onInterrupt(() => Effect.sync(() => released++)), withRpcRetry)
    const delayed = Effect.suspend(() => {
      refused++
      return Faults.refused
    }).pipe(withRpcRetry({ schedule: Schedule.spaced("1 hour"), logs: false }))
    const before = timers()
    const calls = [attempt, delayed, attempt].map((call) => rejectionOf(RpcRetry.runPromise(call, { signal })))
    assert.strictEqual(listeners(), 1)
    assert.isAbove(timers(), before)
    controller.abort("enough")
    assert.deepStrictEqual(await Promise.all(calls), ["enough", "enough", "enough"])
    assert.deepStrictEqual([released, refused, listeners(), timers() - before], [2, 1, 0, 0])
  })

  it("has one listener for all calls of a signal, and none once they have ended", async () => {
    const { added, controller, listeners, signal } = counted()
    const calls = Array.from(
      { length: 100 },
      (_, i) => RpcRetry.runPromise(Effect.as(Effect.sleep(i % 3), i), { signal })
    )
    assert.deepStrictEqual([added(), listeners()], [1, 1])
    assert.strictEqual((await Promise.all(calls)).length, 100)
    assert.strictEqual(listeners(), 0)
    assert.strictEqual(await RpcRetry.runPromise(Effect.succeed(1), { signal }), 1)
    assert.deepStrictEqual([added(), listeners()], [1, 0])
    const again = rejectionOf(RpcRetry.runPromise(Effect.never, { signal }))
    assert.deepStrictEqual([added(), listeners()], [2, 1])
    controller.abort()
    assert.strictEqual((await again as Error).name, "AbortError")
    assert.strictEqual(listeners(), 0)
  })

  it("interrupts a call that fires its own signal before its first wait", async () => {
    const controller = new AbortController()
    const call = Effect.andThen(Effect.sync(() => controller.abort("self")), Effect.never)
    assert.strictEqual(await rejectionOf(RpcRetry.runPromise(call, { signal: controller.signal })), "self")
  })

  it("rejects with the failure of a call that fails in spite of the signal", async () => {
    const controller = new AbortController()
    const failing = Effect.onInterrupt(Effect.never, () => Effect.die("broken"))
    const call = rejectionOf(RpcRetry.runPromise(failing, { signal: controller.signal }))
    controller.abort("late")
    assert.include(String(await call), "broken")
  })

  it("runs a call with the services and the layer of a runtime", async () => {
    class Name extends Context.Tag("Name")<Name, string>() {}
    const runtime = ManagedRuntime.make(
      Layer.merge(Layer.succeed(Name, "given"), RpcRetry.layer({ default: { schedule: Schedule.stop, logs: false } }))
    )
    const { controller, listeners, signal } = counted()
    assert.strictEqual(await RpcRetry.runPromise(Name, { runtime, signal }), "given")
    const error = await Effect.runPromise(
      Effect.flip(Effect.tryPromise({
        try: () =>
          RpcRetry.runPromise(Effect.flip(Effect.zipLeft(Name, Faults.refused).pipe(withRpcRetry)), { runtime }),
        catch: (error) => error
      })).pipe(Effect.merge)
    )
    assert.isTrue(RpcError.isRetryExhausted(error) && error.attempts === 1)
    const hanging = rejectionOf(RpcRetry.runPromise(Effect.zipRight(Name, Effect.never), { runtime, signal }))
    controller.abort("stop")
    assert.strictEqual(await hanging, "stop")
    assert.strictEqual(listeners(), 0)
    await runtime.dispose()
  })

  it("refuses an option that does not exist", () => {
    const options = { signals: new AbortController().signal }
    assert.throws(() => RpcRetry.runPromise(Effect.void, options as RpcRetry.RunOptions), InvalidOption)
  })
})
