/**
 * The list and watch of the EndpointSlices of a service.
 *
 * @internal
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { DiscoveryFailed, type Endpoint } from "../../internal/endpoints/source.js"
import * as Requests from "./requests.js"
import * as Shapes from "./shapes.js"

const Version = Schema.Struct({ resourceVersion: Shapes.maybe(Schema.String), continue: Shapes.maybe(Schema.String) })

const Slice = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, resourceVersion: Shapes.maybe(Schema.String) }),
  addressType: Schema.String,
  endpoints: Shapes.maybe(Schema.Array(Schema.Struct({
    addresses: Schema.Array(Schema.String),
    conditions: Shapes.maybe(Schema.Struct({ ready: Shapes.maybe(Schema.Boolean) })),
    zone: Shapes.maybe(Schema.String),
    nodeName: Shapes.maybe(Schema.String),
    targetRef: Shapes.maybe(Schema.Struct({ name: Shapes.maybe(Schema.String) }))
  }))),
  ports: Shapes.maybe(
    Schema.Array(Schema.Struct({ name: Shapes.maybe(Schema.String), port: Shapes.maybe(Schema.Int) }))
  )
})
type Slice = typeof Slice.Type

const List = Schema.Struct({ metadata: Version, items: Shapes.maybe(Schema.Array(Slice)) })

const Event = Schema.Union(
  Schema.Struct({ type: Schema.Literal("ADDED", "MODIFIED", "DELETED"), object: Slice }),
  Schema.Struct({ type: Schema.Literal("BOOKMARK"), object: Schema.Struct({ metadata: Version }) }),
  Schema.Struct({ type: Schema.Literal("ERROR"), object: Schema.Struct({ code: Shapes.maybe(Schema.Number) }) })
)
type Event = typeof Event.Type

/** @internal */
export interface Settings {
  readonly source: string
  readonly url: string
  readonly namespace: string
  readonly service: string
  readonly port: string | number | undefined
  /** `undefined` sends none. */
  readonly tokenFile: string | undefined
  /** In whole seconds, as the server takes it. */
  readonly watchSeconds: number
}

/** How much later than asked a server may end a watch, in milliseconds. */
const grace = 10_000

/** The least time between the starts of two watches, in milliseconds. */
const pace = 1_000

const pageSize = "500"

/** Why no slice has the port that is asked for. */
const withoutPort = ({ port, source }: Settings): DiscoveryFailed =>
  new DiscoveryFailed({
    source,
    problem: port === undefined
      ? "the service has no port: the option port must be a number"
      : `the service has no port named ${port}`
  })

/** The port of the endpoints of a slice, `undefined` when it has none of that name. */
const portOf = (
  { port, source }: Settings,
  slice: Slice
): Effect.Effect<number | undefined, DiscoveryFailed> => {
  const ports = slice.ports ?? []
  return typeof port === "number"
    ? Effect.succeed(port)
    : port !== undefined
    ? Effect.succeed(ports.find(({ name }) => name === port)?.port ?? undefined)
    : ports.length > 1
    ? new DiscoveryFailed({ source, problem: "the service has several ports: the option port must name one" })
    : Effect.succeed(ports[0]?.port ?? undefined)
}

/** A pod with addresses of both families is one endpoint, not two: IPv4 is taken where there is any. */
const endpointsOf = (
  settings: Settings,
  slices: ReadonlyArray<Slice>
): Effect.Effect<ReadonlyArray<Endpoint>, DiscoveryFailed> => {
  const ofFour = slices.filter(({ addressType }) => addressType === "IPv4")
  const taken = ofFour.some(hasEndpoints) ? ofFour : slices
  return Effect.flatMap(
    Effect.forEach(taken, (slice) => Effect.map(portOf(settings, slice), (port) => ({ port, slice }))),
    (all) =>
      all.some(({ slice }) => hasEndpoints(slice)) && all.every(({ port }) => port === undefined)
        ? withoutPort(settings)
        : Effect.succeed(all.flatMap(({ port, slice }) => port === undefined ? [] : readyOf(slice, port)))
  )
}

const hasEndpoints = ({ endpoints }: Slice): boolean => (endpoints ?? []).length > 0

/** The endpoints of a slice that are ready. What has no condition is. */
const readyOf = ({ endpoints }: Slice, port: number): ReadonlyArray<Endpoint> =>
  (endpoints ?? []).flatMap(({ addresses, conditions, nodeName, targetRef, zone }) => {
    const [address] = addresses
    return address === undefined || conditions?.ready === false ? [] : [{
      address: Shapes.join(address, port),
      ...(zone ? { zone } : {}),
      attributes: {
        ...(nodeName ? { node: nodeName } : {}),
        ...(targetRef?.name ? { pod: targetRef.name } : {})
      }
    }]
  })

const request = (settings: Settings, params: Readonly<Record<string, string>>) =>
  Effect.gen(function*() {
    const { namespace, service, source, tokenFile, url } = settings
    const path = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`
    const get = HttpClientRequest.get(`${url}${path}`, {
      acceptJson: true,
      urlParams: { labelSelector: `kubernetes.io/service-name=${service}`, ...params }
    })
    if (tokenFile === undefined) {
      return get
    }
    // read for each request: the kubelet replaces it long before it expires
    const token = yield* Effect.mapError(
      Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(tokenFile)),
      (cause) => new DiscoveryFailed({ source, problem: `the token cannot be read from ${tokenFile}`, cause })
    )
    return Requests.secretHeader("authorization", Redacted.make(token.trim()), "Bearer ")(get)
  })

const list = (settings: Settings) =>
  Effect.scoped(Effect.gen(function*() {
    const slices = new Map<string, Slice>()
    let next: string | undefined | null
    let version = ""
    do {
      const params = { limit: pageSize, ...(next ? { continue: next } : {}) }
      const response = yield* Requests.send(settings.source, yield* request(settings, params))
      const { items, metadata } = yield* Requests.read(settings.source, response, List)
      items?.forEach((slice) => slices.set(slice.metadata.name, slice))
      version = metadata.resourceVersion ?? ""
      next = metadata.continue
    } while (next)
    return { slices, version }
  }))

/**
 * Lists, then watches from there. It lists again when a watch has ended without a word: a version that a restore of the
 * servers took away is waited for in silence. It fails when the watch breaks, is silent or starts from a version that is
 * too old: it is to be run anew, and lists again.
 *
 * @internal
 */
export const lists = (
  settings: Settings
): Stream.Stream<ReadonlyArray<Endpoint>, DiscoveryFailed, HttpClient.HttpClient | FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(list(settings), (listed) => {
    let { slices, version } = listed
    let isHeard = true
    const { source, watchSeconds } = settings
    const current = Effect.suspend(() => endpointsOf(settings, Array.from(slices.values())))
    const apply = (event: Event): Effect.Effect<boolean, DiscoveryFailed> => {
      isHeard = true
      if (event.type === "ERROR") {
        const { code } = event.object
        return new DiscoveryFailed({
          source,
          problem: code === 410
            ? "the version to watch from is too old"
            : `the watch ended with code ${code ?? "unknown"}`
        })
      }
      version = event.object.metadata.resourceVersion ?? version
      if (event.type === "BOOKMARK") {
        return Effect.succeed(false)
      }
      const { name } = event.object.metadata
      return Effect.sync(() => {
        if (event.type === "DELETED") {
          slices.delete(name)
        } else {
          slices.set(name, event.object)
        }
        return true
      })
    }
    const listedAgain = Effect.flatMap(list(settings), (listed) => {
      ;({ slices, version } = listed)
      return current
    })
    const watch = Stream.unwrapScoped(Effect.gen(function*() {
      isHeard = false
      const params = {
        watch: "1",
        allowWatchBookmarks: "true",
        resourceVersion: version,
        timeoutSeconds: String(watchSeconds)
      }
      // the head of an answer may come with the first event
      const response = yield* Requests.send(source, yield* request(settings, params), 1_000 * watchSeconds + grace)
      return Requests.readLines(source, response, Event)
    })).pipe(
      Requests.within(source, 1_000 * watchSeconds + grace, "the watch has gone silent"),
      Stream.mapEffect(apply),
      Stream.filter((isChange) => isChange),
      Stream.mapEffect(() => current)
    )
    return Stream.concat(
      Stream.fromEffect(current),
      Stream.flatMap(
        Stream.repeatEffect(Requests.pacer(pace)),
        () => isHeard ? watch : Stream.concat(Stream.fromEffect(listedAgain), watch)
      )
    )
  }))
