/**
 * Prints what happens to a call while it happens: a line for each attempt, each delay and the end.
 */
import { Deadline, type Fatal, type Retryable, RpcCall, type RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"

const colourful = process.stdout.isTTY === true && process.env["NO_COLOR"] === undefined
const paint = (code: number) => (text: string) => colourful ? `\u001b[${code}m${text}\u001b[0m` : text
export const bold = paint(1)
export const dim = paint(2)
const red = paint(31)
const green = paint(32)
const yellow = paint(33)

export const line = (text: string) => Console.log(text)

export type Call = RpcCall.RpcCall<unknown, Retryable | Fatal>

/** Retries the call and prints its timeline. Succeeds with how the call ended. */
export const show = (
  call: Call,
  options: RpcRetry.Options & { readonly schedule: Schedule.Schedule<unknown, Retryable> }
) =>
  Effect.gen(function*() {
    const start = yield* Clock.currentTimeMillis
    const at = Effect.map(Clock.currentTimeMillis, (now) => dim(`${String(now - start).padStart(6)} ms`))
    const print = (text: string) => Effect.flatMap(at, (at) => line(`${at}  ${text}`))

    const failed = (attempt: number, error: Retryable | Fatal) =>
      print(`attempt ${attempt}  ${red("✗")} ${error.message.replace(`${call.method}: `, "")}`)

    const attempt = Effect.flatMap(Deadline.CurrentAttempt, (attempt) =>
      Effect.tapBoth(call, {
        onSuccess: (answer) => print(`attempt ${attempt}  ${green("✓")} ${JSON.stringify(answer)}`),
        onFailure: (error) => error._tag === "Fatal" ? failed(attempt, error) : Effect.void
      }))

    // effects inside a schedule run once per decision: a place to watch failures and delays from
    let failures = 0
    const schedule = options.schedule.pipe(
      Schedule.tapInput((error: Retryable) => failed(++failures, error)),
      Schedule.delays,
      Schedule.onDecision((delay, decision) =>
        decision._tag === "Continue"
          ? print(yellow(`wait ${Math.round(Duration.toMillis(delay))} ms`))
          : Effect.void
      )
    )

    const exit = yield* attempt.pipe(
      RpcCall.make({ method: call.method }),
      withRpcRetry({ ...options, schedule }),
      Effect.exit
    )
    if (Exit.isSuccess(exit)) {
      yield* print(bold(green("answer ")) + JSON.stringify(exit.value))
    }
    return exit
  })
