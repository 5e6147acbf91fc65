/**
 * Gates alone, around a call that succeeds and around one that an open breaker turns away.
 */
import * as Cockatiel from "cockatiel"
import { Bulkhead, CircuitBreaker, Throttle } from "effect-rpc-retry"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import Opossum from "opossum"
import { beyond, calls, type Case, type Figures, type Group, promises } from "./case.js"
import { succeeding, succeedingPromise } from "./success.js"

const halfOpenAfter = 3_600_000

const theirs = (breaker: Cockatiel.IBreaker) =>
  Cockatiel.circuitBreaker(Cockatiel.handleAll, { halfOpenAfter, breaker })
const their = (breaker: Cockatiel.IBreaker): Case => {
  const policy = theirs(breaker)
  return promises(() => policy.execute(succeedingPromise))
}
const ours = (trip: CircuitBreaker.Trip): Case =>
  calls(CircuitBreaker.protect(succeeding, Effect.runSync(CircuitBreaker.make({ trip }))))

const open: Case = (prepared) => {
  const breaker = Effect.runSync(CircuitBreaker.make())
  Effect.runSync(breaker.open)
  return calls(Effect.ignore(CircuitBreaker.protect(succeeding, breaker)))(prepared)
}
const theirOpen: Case = (prepared) => {
  const policy = theirs(new Cockatiel.ConsecutiveBreaker(5))
  policy.isolate()
  return promises(() => policy.execute(succeedingPromise).catch(() => undefined))(prepared)
}
const opossum: Case = (prepared) => {
  const breaker = new Opossum(succeedingPromise, { timeout: false })
  return promises(() => breaker.fire())(prepared)
}

/** The least that a gate needs of Effect: to see an effect before it starts, and how it ends. */
const seen = Effect.suspend(() =>
  Effect.matchCauseEffect(succeeding, { onSuccess: Exit.succeed, onFailure: Exit.failCause })
)

const against = (name: string, peer: string) => (of: Figures) => beyond(of, name) / beyond(of, peer, "bare promise")

export const group: Group = {
  title: "A gate alone",
  unit: "nanoseconds of processor time for a call",
  rounds: 21,
  cases: {
    bare: calls(succeeding),
    "CircuitBreaker, consecutive": ours(CircuitBreaker.consecutive(5)),
    "CircuitBreaker, calls": ours(CircuitBreaker.rate({ window: CircuitBreaker.calls(100) })),
    "CircuitBreaker, time": ours(CircuitBreaker.rate({ window: "10 seconds" })),
    "CircuitBreaker, open": open,
    "a step before and one after": calls(seen),
    Bulkhead: calls(Bulkhead.protect(succeeding, Effect.runSync(Bulkhead.make({ concurrency: 10, queue: 10 })))),
    Throttle: calls(Throttle.protect(succeeding, Effect.runSync(Throttle.make()))),
    "bare promise": promises(succeedingPromise),
    "cockatiel, consecutive": their(new Cockatiel.ConsecutiveBreaker(5)),
    "cockatiel, calls": their(new Cockatiel.CountBreaker({ threshold: 0.5, size: 100 })),
    "cockatiel, time": their(new Cockatiel.SamplingBreaker({ threshold: 0.5, duration: 10_000 })),
    "cockatiel, open": theirOpen,
    opossum
  },
  rows: [
    {
      what: "breaker, failures in a row / cockatiel's",
      ratio: against("CircuitBreaker, consecutive", "cockatiel, consecutive"),
      atMost: 1
    },
    {
      what: "breaker, rate of the last calls / cockatiel's",
      ratio: against("CircuitBreaker, calls", "cockatiel, calls"),
      atMost: 1
    },
    {
      what: "breaker, rate of the last seconds / cockatiel's",
      ratio: against("CircuitBreaker, time", "cockatiel, time"),
      atMost: 1
    },
    {
      what: "breaker, rate of the last seconds / opossum's",
      ratio: against("CircuitBreaker, time", "opossum"),
      atMost: 1
    },
    {
      what: "a step of Effect before and one after / cockatiel's breaker",
      ratio: against("a step before and one after", "cockatiel, consecutive")
    },
    {
      what: "turned away by an open breaker / by cockatiel's",
      ratio: (of) => of("CircuitBreaker, open") / of("cockatiel, open")
    }
  ]
}
