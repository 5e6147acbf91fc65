/**
 * `npm run demo`: calls over a real socket to a server that misbehaves, retried, shown attempt by attempt.
 *
 * `npm run demo -- --address HOST:PORT --method Arith.Multiply --params '{"A":6,"B":7}'`: the same call to any Go server
 * that serves `net/rpc` with the JSON codec.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Endpoints, RetrySchedule, RpcError } from "effect-rpc-retry"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { parseArgs } from "node:util"
import { bold, type Call, dim, line, show } from "./timeline.js"

const schedule = RetrySchedule.standard

/** How a call ended, in one word, and the story where there is more to it than its last attempt. */
const ending = (exit: Exit.Exit<unknown, RpcError.RpcError>) => {
  if (Exit.isSuccess(exit)) {
    return { word: "answer", story: undefined }
  }
  const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
  return error === undefined
    ? { word: "interrupted", story: undefined }
    : { word: error.reason, story: RpcError.isRetryExhausted(error) ? RpcError.report(error) : undefined }
}

const indented = (text: string) => text.replaceAll(/^(?=.)/gm, "           ")

const scenes = (server: FlakyServer.FlakyServer, call: Call) => {
  // a moment for the client to notice that its connection is gone
  const down = Effect.zipRight(server.stop, Effect.sleep("20 millis"))
  return [
    {
      // also brings the connection up: what a program does for the first time takes some milliseconds more
      title: "All is well",
      expected: "answer",
      play: show(call, { schedule })
    },
    {
      title: "The server is down, and comes back after 180 ms",
      expected: "answer",
      play: Effect.gen(function*() {
        yield* down
        yield* Effect.fork(Effect.delay(server.start, "180 millis"))
        return yield* show(call, { schedule })
      })
    },
    {
      title: "The connection is reset in the middle of the call",
      expected: "answer",
      play: Effect.zipRight(server.script(FlakyServer.reset), show(call, { schedule }))
    },
    {
      title: "The first attempt gets no answer: the attempt timeout of 150 ms cuts it",
      expected: "answer",
      play: Effect.zipRight(server.script(FlakyServer.stall), show(call, { schedule, attemptTimeout: "150 millis" }))
    },
    {
      title: "The server answers with an error: that is an answer, one attempt is made",
      expected: "ServerError",
      play: Effect.zipRight(server.script(FlakyServer.error("divide by zero")), show(call, { schedule }))
    },
    {
      title: "The server stays down",
      expected: "AttemptsExhausted",
      play: Effect.zipRight(down, show(call, { schedule }))
    },
    {
      title: "The server came back, is down again, and the caller gives up after 160 ms, in the middle of a delay",
      expected: "interrupted",
      play: Effect.gen(function*() {
        // an answer in between: else the client would wait longer and longer before it dials
        yield* server.start
        yield* call
        yield* down
        const caller = yield* Effect.fork(show(call, { schedule }))
        yield* Effect.sleep("160 millis")
        const exit = yield* Fiber.interrupt(caller)
        yield* line(`${dim("   160 ms")}  the caller is gone; 400 ms later nothing more has happened`)
        yield* Effect.sleep("400 millis")
        return Exit.flatten(exit)
      })
    }
  ]
}

const tour = Effect.gen(function*() {
  const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
  const rpc = yield* GoRpc.make(server.address)
  yield* line(`A server that misbehaves, on ${server.address.host}:${server.address.port}.`)
  yield* line(`Each call is Arith.Multiply {"A":6,"B":7}; delays are 100, 150, 225 ms.`)
  const outcomes: Array<boolean> = []
  for (const scene of scenes(server, rpc.call("Arith.Multiply", { A: 6, B: 7 }))) {
    yield* line(`\n${bold(`${outcomes.length + 1}  ${scene.title}`)}\n`)
    const { story, word } = ending(yield* scene.play)
    if (story !== undefined) {
      yield* line(indented(story))
    }
    outcomes.push(word === scene.expected)
    if (word !== scene.expected) {
      yield* line(`   this call was to end in ${scene.expected}, not in ${word}`)
    }
  }
  yield* line(`\n${outcomes.filter(Boolean).length} of ${outcomes.length} calls ended as they should.`)
  return outcomes.every(Boolean)
})

const single = (address: string, method: string, params: string) =>
  Effect.gen(function*() {
    const args = yield* Effect.try(() => JSON.parse(params) as unknown)
    const rpc = yield* Effect.try(() => GoRpc.make(Endpoints.hostAndPort({ address }))).pipe(Effect.flatten)
    yield* line(`${bold(method)} ${params} at ${address}\n`)
    const { story, word } = ending(yield* show(rpc.call(method, args), { schedule }))
    if (story !== undefined) {
      yield* line(indented(story))
    }
    return word === "answer"
  }).pipe(
    Effect.catchTag("UnknownException", ({ error }) => Effect.as(line(String(error)), false))
  )

const { values } = parseArgs({
  options: {
    address: { type: "string" },
    method: { type: "string", default: "Arith.Multiply" },
    params: { type: "string", default: "{\"A\":6,\"B\":7}" }
  }
})

const program = values.address === undefined ? tour : single(values.address, values.method, values.params)

program.pipe(
  Effect.scoped,
  Effect.map((asExpected) => {
    process.exitCode = asExpected ? 0 : 1
  }),
  NodeRuntime.runMain
)
