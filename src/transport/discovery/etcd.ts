/**
 * The range and watch of a prefix in etcd, over its JSON gateway.
 *
 * @internal
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { checkEndpoints, DiscoveryFailed, type Endpoint } from "../../internal/endpoints/source.js"
import * as Result from "../../internal/result.js"
import * as Requests from "./requests.js"
import * as Shapes from "./shapes.js"

/** Returns the endpoint that a value stands for; `undefined` leaves it out. @internal */
export type Decode = (value: string, key: string) => Endpoint | string | undefined

/** @internal */
export interface Settings {
  readonly source: string
  /** One is asked until it fails, then the next. */
  readonly urls: ReadonlyArray<string>
  readonly prefix: string
  readonly login: { readonly name: string; readonly password: Redacted.Redacted<string> } | undefined
  readonly decode: Decode
  /** How long a watch runs before the prefix is read again, in milliseconds. */
  readonly watchFor: number
}

const Header = Schema.Struct({ revision: Shapes.maybe(Schema.String) })

/** Keys and values are in base 64. */
const KeyValue = Schema.Struct({ key: Schema.String, value: Shapes.maybe(Schema.String) })

const Range = Schema.Struct({ header: Header, kvs: Shapes.maybe(Schema.Array(KeyValue)) })

const Watched = Schema.Struct({
  result: Shapes.maybe(Schema.Struct({
    canceled: Shapes.maybe(Schema.Boolean),
    compact_revision: Shapes.maybe(Schema.String),
    // a PUT is left out, as it is 0
    events: Shapes.maybe(Schema.Array(Schema.Struct({ type: Shapes.maybe(Schema.String), kv: KeyValue })))
  }))
})

const Token = Schema.Struct({ token: Schema.String })

/** The end of the range of all keys with a prefix: the prefix with its last byte raised. 0 stands for no end. */
const endOf = (prefix: Uint8Array): Uint8Array => {
  const last = prefix.findLastIndex((byte) => byte < 0xff)
  return last < 0
    ? Uint8Array.of(0)
    : Uint8Array.from(prefix.subarray(0, last + 1), (byte, i) => i === last ? byte + 1 : byte)
}

/** The text of a key or value. What is no base 64 is no endpoint either. */
const textOf = (base64: string | null | undefined): string =>
  Result.match(Encoding.decodeBase64String(base64 ?? ""), { onFailure: () => "", onSuccess: (text) => text })

/**
 * Returns the endpoint of a value that is an address, or JSON with `address`, or with `Addr` as etcd's own resolver of
 * gRPC names it, and with `weight`, `priority` and `zone`.
 *
 * @internal
 */
export const decodeValue: Decode = (value) => {
  const text = value.trim()
  if (!text.startsWith("{")) {
    return text
  }
  const parsed = Result.getOrUndefined(Result.try(() => JSON.parse(text) as unknown))
  if (!Predicate.isRecord(parsed)) {
    return ""
  }
  const { Addr, address = Addr, priority, weight, zone } = parsed
  const isPositive = Predicate.isNumber(weight) && Number.isFinite(weight) && weight > 0
  return !Predicate.isString(address) ? "" : {
    address,
    ...(isPositive ? { weight } : {}),
    ...(Number.isSafeInteger(priority) && Number(priority) >= 0 ? { priority: Number(priority) } : {}),
    ...(Predicate.isString(zone) && zone !== "" ? { zone } : {})
  }
}

/** The endpoints of all values, and how many values are none. */
const endpointsOf = (decode: Decode, values: ReadonlyMap<string, string>) => {
  const endpoints: Array<Endpoint> = []
  let wrong = 0
  for (const [key, value] of values) {
    const decoded = Result.try(() => decode(value, textOf(key)))
    const checked: Result.Result<ReadonlyArray<Endpoint>, unknown> = Result.flatMap(
      decoded,
      (endpoint) => endpoint === undefined ? Result.succeed([]) : checkEndpoints([endpoint])
    )
    endpoints.push(...Result.getOrElse(checked, (): ReadonlyArray<Endpoint> => []))
    wrong += Result.isFailure(checked) ? 1 : 0
  }
  return { endpoints, wrong }
}

/** Posts a message to a path, with the token where there is one. */
const post = (settings: Settings, url: string, path: string, body: unknown, token: string | undefined) =>
  HttpClientRequest.post(`${url}${path}`, { acceptJson: true }).pipe(
    HttpClientRequest.bodyUnsafeJson(body),
    token === undefined ? identity : Requests.secretHeader("authorization", Redacted.make(token)),
    (request) => Requests.send(settings.source, request)
  )

const tokenOf = (settings: Settings, url: string) => {
  const { login, source } = settings
  if (login === undefined) {
    return Effect.succeed(undefined)
  }
  const body = { name: login.name, password: Redacted.value(login.password) }
  return Effect.scoped(
    Effect.flatMap(
      post(settings, url, "/v3/auth/authenticate", body, undefined),
      (response) => Effect.map(Requests.read(source, response, Token), ({ token }) => token)
    )
  )
}

/**
 * Reads the prefix, then watches from there; reads it again when the watch has run for its time. It fails when the watch
 * breaks or starts from a revision that was compacted: it is to be run anew, and reads the prefix again.
 *
 * @internal
 */
export const lists = (
  settings: Settings
): Stream.Stream<ReadonlyArray<Endpoint>, DiscoveryFailed, HttpClient.HttpClient> => {
  const { decode, prefix, source, urls, watchFor } = settings
  const key = new TextEncoder().encode(prefix)
  const keys = { key: Encoding.encodeBase64(key), range_end: Encoding.encodeBase64(endOf(key)) }
  let runs = 0
  let told = 0
  const listOf = (values: ReadonlyMap<string, string>) =>
    Effect.gen(function*() {
      const { endpoints, wrong } = endpointsOf(decode, values)
      if (wrong > 0 && endpoints.length === 0) {
        return yield* new DiscoveryFailed({ source, problem: `none of ${wrong} values is an endpoint` })
      }
      if (wrong > told) {
        yield* Effect.logWarning(`${source}: ${wrong} of ${values.size} values are no endpoints, and left out`)
      }
      told = wrong
      return endpoints
    })
  const apply = (values: Map<string, string>, { result }: typeof Watched.Type) =>
    Effect.gen(function*() {
      const isCompacted = (result?.compact_revision ?? "0") !== "0"
      if (isCompacted || result?.canceled === true || !result) {
        const problem = isCompacted ? "the revision to watch from was compacted" : "the watch was refused"
        return yield* new DiscoveryFailed({ source, problem })
      }
      result.events?.forEach(({ kv, type }) => {
        if (type === "DELETE") {
          values.delete(kv.key)
        } else {
          values.set(kv.key, textOf(kv.value))
        }
      })
      return (result.events?.length ?? 0) > 0
    })
  const watch = (url: string, token: string | undefined, values: Map<string, string>, revision: bigint) =>
    Stream.unwrapScoped(
      Effect.map(
        post(settings, url, "/v3/watch", { create_request: { ...keys, start_revision: String(revision + 1n) } }, token),
        (response) => Requests.readLines(source, response, Watched)
      )
    ).pipe(
      Stream.mapEffect((message) => apply(values, message)),
      Stream.filter((isChange) => isChange),
      Stream.mapEffect(() => listOf(values)),
      // a watch may be silent for good: on a member that is cut off, or of a database that was restored to a time before
      Stream.interruptWhen(Effect.sleep(watchFor))
    )
  const readAndWatch = (url: string, token: string | undefined) =>
    Stream.unwrap(
      Effect.gen(function*() {
        const response = yield* post(settings, url, "/v3/kv/range", keys, token)
        const { header, kvs } = yield* Requests.read(source, response, Range)
        const values = new Map((kvs ?? []).map(({ key, value }) => [key, textOf(value)]))
        return Stream.concat(
          Stream.fromEffect(listOf(values)),
          watch(url, token, values, BigInt(header.revision ?? "0"))
        )
      }).pipe(Effect.scoped)
    )
  return Stream.unwrap(Effect.suspend(() => {
    const url = urls[runs++ % urls.length]!
    const paced = Requests.pacer(1_000)
    return Effect.map(
      tokenOf(settings, url),
      (token) => Stream.flatMap(Stream.repeatEffect(paced), () => readAndWatch(url, token))
    )
  }))
}
