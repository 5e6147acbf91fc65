/**
 * Look-ups of endpoints in the domain name system: each asks several questions, and some may stay without an answer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { DiscoveryFailed, type Endpoint, type Lookup } from "../../internal/endpoints/source.js"
import * as Result from "../../internal/result.js"
import { type AddressRecord, type Queries, QueryFailed, Resolver, type ServiceRecord } from "./resolver.js"
import * as Shapes from "./shapes.js"

type Name = string
type Records = ReadonlyArray<AddressRecord>
type Answer<A> = Result.Result<A, QueryFailed>

/** The most targets of a service that are resolved at once. */
const concurrency = 16

/** So that both steps of a service fit into the time of a look-up. In milliseconds. */
const queryTimeout = 4_000

/** A query of its own time: no other waits for it, nor fails with it. */
const ask = <A>(query: Effect.Effect<ReadonlyArray<A>, QueryFailed>): Effect.Effect<Answer<ReadonlyArray<A>>> =>
  query.pipe(
    Effect.timeoutFail({ duration: queryTimeout, onTimeout: () => new QueryFailed({ code: "ETIMEOUT" }) }),
    Effect.matchEffect({
      onFailure: (error) => Effect.succeed(error.code === "ENODATA" ? Result.succeed([]) : Result.fail(error)),
      onSuccess: (records) => Effect.succeed(Result.succeed(records))
    })
  )

/** What each name last had, by the kind of record: it stands in for an answer that is missing. */
type Known = Map<Name, { readonly a: Records; readonly aaaa: Records }>

const none: { readonly a: Records; readonly aaaa: Records } = { a: [], aaaa: [] }

const words: Readonly<Record<string, string>> = {
  ENOTFOUND: "there is no such name",
  ETIMEOUT: "the name servers do not answer",
  ECONNREFUSED: "the name servers refuse the connection",
  ESERVFAIL: "the name servers failed",
  EREFUSED: "the name servers refuse the query"
}

const failed = (source: string, cause: QueryFailed): DiscoveryFailed =>
  new DiscoveryFailed({ source, problem: words[cause.code] ?? `the query failed with ${cause.code}`, cause })

const isGone = (answer: Answer<Records>): boolean =>
  Result.isFailure(answer) && Result.failureOf(answer).code === "ENOTFOUND"

/** Addresses of a name: those of a family that has no answer are the last known ones. */
const addressesOf = (
  queries: Queries,
  name: Name,
  servers: ReadonlyArray<string> | undefined,
  known: Known
): Effect.Effect<Records, QueryFailed> =>
  Effect.gen(function*() {
    const [a, aaaa] = yield* Effect.all([ask(queries.a(name, servers)), ask(queries.aaaa(name, servers))], {
      concurrency: 2
    })
    if (isGone(a)) {
      // the name is gone: that is an answer
      known.delete(name)
    }
    const last = known.get(name) ?? none
    const now = {
      a: Result.getOrElse(a, () => last.a),
      // some name servers say that there is no such name where it has no such record
      aaaa: Result.getOrElse(aaaa, () => isGone(aaaa) ? [] : last.aaaa)
    }
    const failure = Result.isFailure(a)
      ? Result.failureOf(a)
      : Result.isFailure(aaaa)
      ? Result.failureOf(aaaa)
      : undefined
    const isPartial = Result.isSuccess(a) || Result.isSuccess(aaaa)
    if (failure !== undefined && !(isPartial && now.a.length + now.aaaa.length > 0)) {
      return yield* failure
    }
    known.set(name, now)
    return [...now.a, ...now.aaaa]
  })

const ttlOf = (records: Records): number | undefined =>
  records.length === 0 ? undefined : 1_000 * records.reduce((least, { ttl }) => Math.min(least, ttl), Infinity)

/** Makes the look-up of the addresses of a host. Its memory is that of one follower. @internal */
export const hosts = (
  source: string,
  options: { readonly name: Name; readonly port: number; readonly servers: ReadonlyArray<string> | undefined }
): Effect.Effect<Lookup, DiscoveryFailed> => {
  const known: Known = new Map()
  return Effect.gen(function*() {
    const records = yield* addressesOf(yield* Resolver, options.name, options.servers, known)
    return {
      endpoints: records.map(({ address }) => ({ address: Shapes.join(address, options.port) })),
      ttlMillis: ttlOf(records)
    }
  }).pipe(Effect.mapError((error) => failed(source, error)))
}

/** A weight of 0 asks for a small share of the load, not for none. */
const leastWeight = 0.1

const endpointsOf = ({ name, port, priority, weight }: ServiceRecord, records: Records): ReadonlyArray<Endpoint> =>
  records.map(({ address }) => ({
    address: Shapes.join(address, port),
    priority,
    // the weight is that of the target, however many addresses it has
    weight: Math.max(weight, leastWeight) / records.length,
    attributes: { host: name }
  }))

/** Makes the look-up of a service: of its targets, then of the addresses of each. @internal */
export const services = (
  source: string,
  options: { readonly name: Name; readonly servers: ReadonlyArray<string> | undefined }
): Effect.Effect<Lookup, DiscoveryFailed> => {
  const known: Known = new Map()
  return Effect.gen(function*() {
    const queries = yield* Resolver
    const answered = yield* ask(queries.srv(options.name, options.servers))
    // a target of "." says that there is no such service
    const targets = (yield* answered).filter(({ name }) => name !== "." && name !== "")
    const names = new Set(targets.map(({ name }) => name))
    known.forEach((_, name) => names.has(name) || known.delete(name))
    const resolved = yield* Effect.forEach(
      names,
      (name) =>
        addressesOf(queries, name, options.servers, known).pipe(
          Effect.match({
            onFailure: (error) => {
              const { a, aaaa } = known.get(name) ?? none
              return { name, error, records: [...a, ...aaaa] }
            },
            onSuccess: (records) => ({ name, error: undefined, records })
          })
        ),
      { concurrency }
    )
    const records = new Map(resolved.map(({ name, records }) => [name, records]))
    const endpoints = targets.toSorted((a, b) => a.priority - b.priority)
      .flatMap((target) => endpointsOf(target, records.get(target.name) ?? []))
    const error = resolved.find(({ error }) => error !== undefined)?.error
    if (endpoints.length === 0 && error !== undefined) {
      return yield* error
    }
    return { endpoints, ttlMillis: ttlOf(resolved.flatMap(({ records }) => records)) }
  }).pipe(Effect.mapError((error) => failed(source, error)))
}
