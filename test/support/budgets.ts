/**
 * Retry budgets of others, for comparisons: they are filled when a call starts, or count what is in flight.
 */
import { type RetryBudget, type RetryPolicy, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Simulator from "effect-rpc-retry/testing/Simulator"
import * as Effect from "effect/Effect"

type Account = RetryBudget.RetryBudget["account"]

interface Rules {
  /** A call has started. */
  readonly started: (now: number) => void
  /** A call has ended, after so many retries. */
  readonly ended: (retries: number) => void
  /** An attempt has failed. */
  readonly failed?: () => void
  /** Whether a call may be retried that was so often before; if so, it is paid for. */
  readonly pays: (now: number, retries: number) => boolean
}

/** A client with the rules of such a budget. */
const clientWith = (policy: RetryPolicy.Options, make: () => Rules): Simulator.Strategy =>
  Simulator.client(Effect.map(Effect.clock, (clock) => {
    const now = () => Number(clock.unsafeCurrentTimeNanos()) / 1e6
    const rules = make()
    const service = RpcRetry.make({ budget: "off", metrics: "off" })
    return {
      retrying: ({ attemptTimeout, call }) =>
        Effect.suspend(() => {
          let retries = 0
          const account: Account = {
            capacity: Infinity,
            level: () => Infinity,
            left: () => 1,
            succeeded: () => {},
            failed: () => rules.failed?.(),
            withdraw: (now) => {
              if (!rules.pays(now, retries)) {
                return undefined
              }
              retries++
              return 1
            },
            refund: () => {}
          }
          rules.started(now())
          const budget: RetryBudget.RetryBudget = {
            "~effect-rpc-retry/RetryBudget": "~effect-rpc-retry/RetryBudget",
            capacity: Infinity,
            sustained: Infinity,
            level: Effect.succeed(Infinity),
            account
          }
          return call.pipe(
            withRpcRetry({ attemptTimeout, logs: false, ...policy, budget }),
            Effect.ensuring(Effect.sync(() => rules.ended(retries)))
          )
        }).pipe(Effect.provideService(RpcRetry.RpcRetry, service))
    }
  }))

/** A bucket that a call fills by `ratio` when it starts, as in Brooker's simulator. */
export const onStart = (policy: RetryPolicy.Options, ratio: number, capacity: number): Simulator.Strategy =>
  clientWith(policy, () => {
    let level = capacity
    return {
      started: () => {
        level = Math.min(capacity, level + ratio)
      },
      ended: () => {},
      pays: () => {
        if (level < 1 - 1e-9) {
          return false
        }
        level--
        return true
      }
    }
  })

/** The breaker of Brooker's simulator: no retries while more than `most` of the calls have failed, since the start. */
export const breakerOfRetries = (policy: RetryPolicy.Options, most: number): Simulator.Strategy =>
  clientWith(policy, () => {
    let calls = 0
    let failures = 0
    return {
      started: () => {
        calls++
      },
      failed: () => {
        failures++
      },
      ended: () => {},
      pays: () => failures / calls <= most
    }
  })

/** Finagle's: a call that starts earns `percent` of a retry for ten seconds, and `perSecond` are allowed in any case. */
export const finagle = (policy: RetryPolicy.Options, percent: number, perSecond: number): Simulator.Strategy =>
  clientWith(policy, () => {
    const window = 10_000
    const entries: Array<{ readonly at: number; left: number }> = []
    let spent: Array<number> = []
    const reserve = perSecond * window / 1000
    return {
      started: (at) => {
        entries.push({ at, left: percent })
      },
      ended: () => {},
      pays: (now) => {
        while (entries.length > 0 && entries[0]!.at <= now - window) {
          entries.shift()
        }
        spent = spent.filter((at) => at > now - window)
        if (spent.length < reserve) {
          spent.push(now)
          return true
        }
        if (entries.reduce((sum, { left }) => sum + left, 0) < 1 - 1e-9) {
          return false
        }
        for (let due = 1; due > 1e-9;) {
          const first = entries.find(({ left }) => left > 0)!
          const taken = Math.min(first.left, due)
          first.left -= taken
          due -= taken
        }
        return true
      }
    }
  })

/** Envoy's: so many retries may be in flight as `percent` of the calls in flight, and `least` in any case. */
export const envoy = (policy: RetryPolicy.Options, percent: number, least: number): Simulator.Strategy =>
  clientWith(policy, () => {
    let calls = 0
    let retries = 0
    return {
      started: () => {
        calls++
      },
      ended: (made) => {
        calls--
        retries -= made > 0 ? 1 : 0
      },
      pays: (_, made) => {
        // a call that was retried gives its place back first
        const others = retries - (made > 0 ? 1 : 0)
        if (others >= Math.max(least, percent * calls)) {
          return false
        }
        retries = others + 1
        return true
      }
    }
  })
