/**
 * One call to a server that does with its attempts what a script says.
 */
import * as RpcCall from "effect-rpc-retry/RpcCall"
import * as RpcError from "effect-rpc-retry/RpcError"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Attempt, Call } from "./protocol.js"
import { method, type Side } from "./strategies.js"

const answers = {
  ok: Effect.void,
  refused: Effect.fail(new RpcError.Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })),
  lost: Effect.fail(new RpcError.Retryable({ reason: "ConnectionLost", delivery: "Unknown" })),
  unavailable: Effect.fail(new RpcError.Retryable({ reason: "Unavailable", delivery: "Unknown" })),
  fatal: Effect.fail(new RpcError.Fatal({ reason: "InvalidArgument", message: "no such user" })),
  hang: Effect.never
} satisfies Record<string, Effect.Effect<void, RpcError.Retryable | RpcError.Fatal>>

interface Step {
  readonly answer: Effect.Effect<void, RpcError.Retryable | RpcError.Fatal>
  readonly millis: number
}

const names = Object.keys(answers).join(", ")

/** Reads a script such as `refused, unavailable 30ms, ok 40ms`. */
export const parse = (script: string): Either.Either<ReadonlyArray<Step>, string> =>
  Either.all(
    script.split(",").map((text): Either.Either<Step, string> => {
      const match = /^\s*([a-z]+)(?:\s+(\d{1,6})\s*(ms|s)?)?\s*$/.exec(text)
      return match === null || !Object.hasOwn(answers, match[1]!)
        ? Either.left(`"${text.trim()}" is none of ${names}, with a time such as 40ms`)
        : Either.right({
          answer: answers[match[1] as keyof typeof answers],
          millis: Number(match[2] ?? 0) * (match[3] === "s" ? 1000 : 1)
        })
    })
  )

/** The calls before it, all answered after 20 ms: a hedge has no extra load to spend, and no quantile, before them. */
const before = 200

const scenario: Simulator.Scenario = {
  name: "one call",
  duration: "140 seconds",
  arrivals: {
    trace: Array.from({ length: before + 1 }, (_, i) => ({ at: i * 100, method }))
  },
  servers: { service: 0 }
}

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Cause.failureOption(exit.cause)) : undefined

const storyOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const error = errorOf(exit)
  return Exit.isSuccess(exit)
    ? "The call succeeds."
    : RpcError.isRpcError(error)
    ? RpcError.report(error)
    : `The call fails: ${error instanceof Error ? error.message : "interrupted"}`
}

const reasonOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const error = errorOf(exit)
  return RpcError.isRpcError(error) ? error.reason : Exit.isSuccess(exit) ? "answered" : "cut"
}

/** Makes the call, and says what happened. It takes no real time. */
export const make = (side: Side, steps: ReadonlyArray<Step>): Effect.Effect<Call> =>
  Effect.suspend(() => {
    let started: number | undefined
    let calls = 0
    let made = 0
    let end: { readonly at: number; readonly exit: Exit.Exit<unknown, unknown> } | undefined
    const attempts: Array<{ readonly from: number; to: number; exit: Exit.Exit<unknown, unknown> | undefined }> = []
    const since = Effect.map(Clock.currentTimeMillis, (now) => now - (started ??= now))
    const recordedAttempt = Effect.flatMap(since, (from) => {
      const { answer, millis } = steps[Math.min(made++, steps.length - 1)]!
      const recorded: typeof attempts[number] = { from, to: from, exit: undefined }
      attempts.push(recorded)
      return Effect.onExit(Effect.delay(answer, millis), (exit) =>
        Effect.map(since, (to) => {
          recorded.to = to
          recorded.exit = exit
        }))
    })
    const attempt = Effect.suspend(() => calls > before ? recordedAttempt : Effect.sleep("20 millis"))
    const call = RpcCall.make(attempt, { method })
    const recording = Simulator.client((nodes) =>
      Effect.map(side.strategy.client(nodes), ({ retrying }) => ({
        retrying: (wire) => {
          const whole = retrying({ ...wire, call, nodes: wire.nodes.map(() => call) })
          return Effect.suspend(() =>
            ++calls > before
              ? Effect.onExit(Effect.andThen(since, whole), (exit) =>
                Effect.map(since, (at) => void (end = { at, exit })))
              : whole
          )
        }
      }))
    )
    return Effect.map(Simulator.run(recording, scenario), () => ({
      attempts: attempts.map(({ exit, from, to }): Attempt => ({
        from,
        to: exit === undefined ? 120_000 : to,
        end: exit === undefined || Exit.isInterrupted(exit) ? "cut" : Exit.isSuccess(exit) ? "ok" : "failed",
        reason: exit === undefined
          ? "no end"
          : Exit.isInterrupted(exit)
          ? end !== undefined && to === end.at && Exit.isSuccess(end.exit) ? "another was faster" : "timed out"
          : reasonOf(exit)
      })),
      end: end === undefined || end.at >= 120_000 ? undefined : end.at,
      succeeded: end !== undefined && Exit.isSuccess(end.exit),
      deadline: side.deadline,
      story: end === undefined ? "The call has not ended after two minutes." : storyOf(end.exit)
    }))
  })
