/**
 * Stand-ins for what is asked for endpoints. The first request to each fails; the others tell of one endpoint, and of a
 * second one as soon as somebody waits for a change.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as ConsulApi from "../support/consulApi.js"
import * as DiscoveryHttp from "../support/discoveryHttp.js"
import * as DnsServer from "../support/dnsServer.js"
import * as EtcdGateway from "../support/etcdGateway.js"
import * as KubernetesApi from "../support/kubernetesApi.js"
import * as Found from "./found.js"

const portOf = (url: string): number => Number(url.slice(url.lastIndexOf(":") + 1))

const when = (holds: () => boolean, act: () => void) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.andThen(Effect.sync(act))
  )

/** The port of a server whose first answer is to be retried. */
const flaky = ({ handle }: { readonly handle: DiscoveryHttp.Handler }) => {
  let requests = 0
  return Effect.map(
    DiscoveryHttp.served({
      handle: (asked) => ++requests === 1 ? DiscoveryHttp.json({}, {}, 503) : handle(asked)
    }),
    ({ url }) => portOf(url)
  )
}

const consul = Effect.gen(function*() {
  const api = ConsulApi.make()
  const instances = Found.ips.map((ip, i) => ConsulApi.instance(`users-${i}`, ip, Found.port))
  api.set(instances[0]!)
  yield* Effect.forkScoped(when(() => api.waiting() > 0, () => api.set(...instances)))
  return yield* flaky(api)
})

const etcd = Effect.gen(function*() {
  const gateway = EtcdGateway.make()
  const put = (i: number) => gateway.put(`users/${i}`, Found.both[i]!)
  put(0)
  yield* Effect.forkScoped(when(() => gateway.watches() > 0, () => put(1)))
  return yield* flaky(gateway)
})

const kubernetes = Effect.gen(function*() {
  const api = KubernetesApi.make()
  const put = (i: number) => api.put(KubernetesApi.slice(`users-${i}`, [{ ip: Found.ips[i]! }]))
  put(0)
  yield* Effect.forkScoped(when(() => api.watches() > 0, () => put(1)))
  return yield* flaky(api)
})

const dns = Effect.gen(function*() {
  const server = yield* DnsServer.make
  const answer = (...ips: ReadonlyArray<string>) =>
    server.answer(`A ${Found.host}`, ips.map((ip) => DnsServer.a(ip, 0)))
  // a look-up asks for A and for AAAA; until it has asked for both the name does not exist
  yield* when(() => server.asked.length >= 2, () => answer(Found.ips[0])).pipe(
    Effect.andThen(Effect.suspend(() => {
      const before = server.asked.length
      return when(() => server.asked.length >= before + 2, () => answer(...Found.ips))
    })),
    Effect.forkScoped
  )
  return portOf(server.server)
})

/** The port of each. */
export const ports = Effect.all({ consul, dns, etcd, kubernetes })
