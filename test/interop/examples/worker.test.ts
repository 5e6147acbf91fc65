/**
 * `docs/examples/worker`, in a process of its own, with servers that a name server lists.
 */
import * as FlakyServer from "effect-rpc-retry/testing/FlakyServer"
import * as Effect from "effect/Effect"
import * as DnsServer from "../../support/dnsServer.js"
import * as Examples from "../../support/examples.js"
import { assert, describe, it } from "../../support/vitest.js"

const jobs = 40
const sum = Array.from({ length: jobs }, (_, i) => i * i).reduce((all, square) => all + square, 0)

describe("docs/examples/worker", () => {
  it.scopedLive(
    "does all jobs at the servers that DNS lists, though one of them is down and the other resets a connection",
    () =>
      Effect.gen(function*() {
        const servers = yield* Effect.all([
          FlakyServer.make({ methods: FlakyServer.arith }),
          FlakyServer.make({ methods: FlakyServer.arith })
        ])
        const dns = yield* DnsServer.make
        dns.answer(
          "SRV _arith._tcp.example.org",
          servers.map(({ address }) => DnsServer.srv("arith.example.org", address.port))
        )
        dns.answer("A arith.example.org", [DnsServer.a("127.0.0.1")])
        yield* servers[0].stop
        yield* servers[1].script(FlakyServer.answer, FlakyServer.reset)

        const worker = yield* Examples.start("worker", { NAME_SERVERS: dns.server, JOBS: jobs })
        assert.strictEqual(yield* worker.ended, 0)
        assert.include(worker.output(), `the sum of the squares is ${sum}; left to do: nothing\n`)
        assert.isAtLeast((yield* servers[1].requests).length, jobs)
      }),
    600_000
  )

  it.scopedLive(
    "names the jobs that are left when all servers are down, and its budget bounds the retries",
    () =>
      Effect.gen(function*() {
        const server = yield* FlakyServer.make({ methods: FlakyServer.arith })
        const dns = yield* DnsServer.make
        dns.answer("SRV _arith._tcp.example.org", [DnsServer.srv("arith.example.org", server.address.port)])
        dns.answer("A arith.example.org", [DnsServer.a("127.0.0.1")])
        yield* server.stop
        const worker = yield* Examples.start("worker", { NAME_SERVERS: dns.server, JOBS: 5 })
        assert.strictEqual(yield* worker.ended, 0)
        assert.include(worker.output(), "left to do: ")
        assert.include(worker.output(), "[BudgetExhausted]")
      }),
    600_000
  )
})
