/**
 * Blocking queries for the healthy instances of a service in Consul.
 *
 * @internal
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DiscoveryFailed, type Endpoint } from "../../internal/endpoints/source.js"
import * as Requests from "./requests.js"
import * as Shapes from "./shapes.js"

const Text = Schema.Record({ key: Schema.String, value: Schema.String })

const Locality = Shapes.maybe(Schema.Struct({ Zone: Shapes.maybe(Schema.String) }))

const Instances = Schema.Array(Schema.Struct({
  Node: Schema.Struct({
    Node: Schema.String,
    Address: Schema.String,
    Datacenter: Shapes.maybe(Schema.String),
    Locality
  }),
  Service: Schema.Struct({
    ID: Schema.String,
    Address: Shapes.maybe(Schema.String),
    Port: Schema.Int,
    Weights: Shapes.maybe(Schema.Struct({ Passing: Shapes.maybe(Schema.Number) })),
    Meta: Shapes.maybe(Text),
    Locality
  })
}))

/** @internal */
export interface Settings {
  readonly source: string
  readonly url: string
  readonly service: string
  readonly tag: string | undefined
  readonly datacenter: string | undefined
  readonly token: Redacted.Redacted<string> | undefined
  /** In whole seconds. */
  readonly waitSeconds: number
}

/** The least time between the starts of two queries, in milliseconds: whatever wakes them, it is no storm. */
const pace = 1_000

/** How a list without instances is compared. */
const emptyList = JSON.stringify([])

/** Consul adds up to a sixteenth to the wait, so that clients do not come back together. In milliseconds. */
const bound = (waitSeconds: number): number => waitSeconds * 1_000 * (1 + 1 / 16) + Requests.answerTimeout

const endpointsOf = (instances: typeof Instances.Type): ReadonlyArray<Endpoint> =>
  instances.map(({ Node, Service }) => {
    const zone = Service.Locality?.Zone || Node.Locality?.Zone
    const weight = Service.Weights?.Passing
    return {
      // a service without an address has that of its node
      address: Shapes.join(Service.Address || Node.Address, Service.Port),
      ...(weight !== undefined && weight !== null && weight > 0 ? { weight } : {}),
      ...(zone ? { zone } : {}),
      attributes: { ...Service.Meta, id: Service.ID, node: Node.Node }
    }
  })

const request = ({ datacenter, service, tag, token, url, waitSeconds }: Settings, index: number) =>
  HttpClientRequest.get(`${url}/v1/health/service/${encodeURIComponent(service)}`, {
    acceptJson: true,
    urlParams: {
      passing: "1",
      ...(tag === undefined ? {} : { tag }),
      ...(datacenter === undefined ? {} : { dc: datacenter }),
      // the first query, and one after a reset, is answered at once
      ...(index === 0 ? {} : { index: String(index), wait: `${waitSeconds}s` })
    }
  }).pipe(token === undefined ? identity : Requests.secretHeader("x-consul-token", token))

/**
 * Asks again and again. It fails when a query does: it is to be run anew, and starts without an index.
 *
 * @internal
 */
export const lists = (
  settings: Settings
): Stream.Stream<ReadonlyArray<Endpoint>, DiscoveryFailed, HttpClient.HttpClient> =>
  Stream.suspend(() => {
    const { source, waitSeconds } = settings
    const paced = Requests.pacer(pace)
    let index = 0
    let last: string | undefined
    const query = Effect.scoped(Effect.gen(function*() {
      yield* paced
      const timeout = index === 0 ? Requests.answerTimeout : bound(waitSeconds)
      const response = yield* Requests.send(source, request(settings, index), timeout)
      const endpoints = endpointsOf(yield* Requests.read(source, response, Instances))
      // what a token may not read is left out, with a status of success; only a query without an index is told so
      if (endpoints.length === 0 && response.headers["x-consul-results-filtered-by-acls"] === "true") {
        return yield* new DiscoveryFailed({ source, problem: "the token may not read the instances" })
      }
      if (endpoints.length === 0 && index > 0 && last !== emptyList) {
        index = 0
        return Option.none()
      }
      const told = Number(response.headers["x-consul-index"])
      if (!Number.isSafeInteger(told)) {
        return yield* new DiscoveryFailed({ source, problem: "the answer has no index" })
      }
      // it goes back when the servers are restored: an old index would wait for changes that have been
      index = told < index ? 0 : Math.max(1, told)
      // a query wakes for changes of other services too
      const shown = JSON.stringify(endpoints)
      const isNew = shown !== last
      last = shown
      return isNew ? Option.some(endpoints) : Option.none()
    }))
    return Stream.filterMap(Stream.repeatEffect(query), (endpoints) => endpoints)
  })
