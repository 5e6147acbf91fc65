/**
 * Clients with the default delays, each with a budget of the library's own, and the server behind them, as a loop over events:
 * what a minute of a thousand clients comes to takes a moment. Random, but the same each time.
 */
import { Retryable, type RetryBudget } from "effect-rpc-retry"
import * as Random from "./random.js"

type Account = RetryBudget.RetryBudget["account"]

/** What a client has as its budget; `undefined` for none. */
export type Make = () => Account | undefined

const delays = [100, 150, 225]
const refused = new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" })

interface Event {
  readonly at: number
  readonly failures: number
  readonly kind: "attempt" | "answer" | "cut"
}

/** Events in the order of their time. */
const makeQueue = () => {
  const heap: Array<Event> = []
  const swap = (i: number, j: number) => {
    const event = heap[i]!
    heap[i] = heap[j]!
    heap[j] = event
  }
  const first = (i: number, j: number) => heap[j] !== undefined && heap[j].at < heap[i]!.at ? j : i
  return {
    push: (event: Event) => {
      let i = heap.push(event) - 1
      while (i > 0 && heap[i]!.at < heap[(i - 1) >> 1]!.at) {
        swap(i, (i - 1) >> 1)
        i = (i - 1) >> 1
      }
    },
    pop: (): Event | undefined => {
      const [event] = heap
      const last = heap.pop()
      if (heap.length > 0) {
        heap[0] = last!
        for (let i = 0, next = 0;; i = next) {
          next = first(first(i, 2 * i + 1), 2 * i + 2)
          if (next === i) {
            break
          }
          swap(i, next)
        }
      }
      return event
    }
  }
}

const random = (seed: number) => {
  const next = Random.make(seed)
  return () => (next(1 << 20) + 0.5) / (1 << 20)
}

/** The retry of a failed attempt, where there is to be one and the budget pays. */
const retryOf = (account: Account | undefined, { at, failures }: Event): Event | undefined =>
  failures < delays.length && (account === undefined || account.withdraw(at, refused) !== undefined)
    ? { at: at + delays[failures]!, failures: failures + 1, kind: "attempt" }
    : undefined

interface Client {
  readonly perSecond: number
  readonly until: number
  /** Whether an attempt at this moment fails. */
  readonly fails: (at: number) => boolean
  readonly onAttempt: (event: Event, answered: boolean) => void
}

/** One client whose calls come at random moments, and are answered or refused at once. */
const run = (make: Make, rand: () => number, { fails, onAttempt, perSecond, until }: Client) => {
  const account = make()
  const queue = makeQueue()
  const arrival = (after: number): Event => ({
    at: after - Math.log(rand()) * 1000 / perSecond,
    failures: 0,
    kind: "attempt"
  })
  queue.push(arrival(0))
  for (let event = queue.pop(); event !== undefined; event = queue.pop()) {
    if (event.failures === 0) {
      const next = arrival(event.at)
      if (next.at < until) {
        queue.push(next)
      }
    }
    const failed = fails(event.at)
    onAttempt(event, !failed)
    const retry = failed ? retryOf(account, event) : undefined
    if (!failed) {
      account?.succeeded(event.at, event.failures === 0 ? 0 : 1)
    } else if (retry !== undefined) {
      queue.push(retry)
    }
  }
}

/** How long all goes well before something happens, in milliseconds. */
const before = 300_000

/** The attempts for each call in the first ten seconds and in the first minute of an outage. */
export const outage = (make: Make, clients: number, perSecond: number) => {
  const rand = random(1)
  const counts = [10_000, 60_000].map((within) => ({ within, calls: 0, attempts: 0 }))
  for (let i = 0; i < clients; i++) {
    run(make, rand, {
      perSecond,
      until: before + 60_000,
      fails: (at) => at >= before,
      onAttempt: ({ at, failures }) =>
        counts.forEach((count) => {
          if (at >= before && at < before + count.within) {
            count.calls += failures === 0 ? 1 : 0
            count.attempts++
          }
        })
    })
  }
  return counts.map(({ attempts, calls }) => attempts / calls) as [seconds: number, minute: number]
}

/** The share of calls that succeed, in an hour in which this share of attempts fails. */
export const background = (make: Make, clients: number, perSecond: number, share: number): number => {
  const rand = random(2)
  let calls = 0
  let succeeded = 0
  for (let i = 0; i < clients; i++) {
    run(make, rand, {
      perSecond,
      until: before + 3_600_000,
      fails: () => rand() < share,
      onAttempt: ({ at, failures }, answered) => {
        calls += at >= before && failures === 0 ? 1 : 0
        succeeded += at >= before && answered ? 1 : 0
      }
    })
  }
  return succeeded / calls
}

/**
 * Of the calls that meet a restart the share that gives up: callers that call again when they were answered, a server that answers
 * after about `latency`, cuts what is in flight when it stops, and refuses for `down`; all in milliseconds.
 */
export const restart = (
  make: Make,
  { callers, down, latency, pause }: {
    readonly callers: number
    readonly latency: number
    readonly pause: number
    readonly down: number
  }
): number => {
  const rand = random(3)
  const account = make()
  const queue = makeQueue()
  const stops = 60_000
  let met = 0
  let gaveUp = 0
  const again = (at: number) => queue.push({ at: at + pause * (0.5 + rand()), failures: 0, kind: "attempt" })
  for (let i = 0; i < callers; i++) {
    again(rand() * (latency + pause))
  }
  const failed = (event: Event) => {
    met += event.failures === 0 ? 1 : 0
    const retry = retryOf(account, event)
    if (retry === undefined) {
      gaveUp++
      again(event.at)
    } else {
      queue.push(retry)
    }
  }
  for (let event = queue.pop(); event !== undefined && event.at < stops + 10_000; event = queue.pop()) {
    if (event.kind === "cut" || (event.kind === "attempt" && event.at >= stops && event.at < stops + down)) {
      failed(event)
    } else if (event.kind === "attempt") {
      const answer = event.at + latency * (0.5 + rand())
      const cut = event.at < stops && answer >= stops
      queue.push({ at: cut ? stops : answer, failures: event.failures, kind: cut ? "cut" : "answer" })
    } else {
      account?.succeeded(event.at, event.failures === 0 ? 0 : 1)
      again(event.at)
    }
  }
  return gaveUp / met
}
