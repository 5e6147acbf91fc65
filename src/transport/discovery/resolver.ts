/**
 * Queries of the domain name system, by the resolver of Node. It is asked directly: `dns.lookup` would take one of the
 * four threads that also read files, for as long as a name server is silent.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Dns from "node:dns"

/**
 * An address of a name.
 *
 * @since 0.1.0
 * @category models
 */
export interface AddressRecord {
  /** The address: `10.0.0.7` or `fd00::7`. */
  readonly address: string
  /** The seconds that it is valid. */
  readonly ttl: number
}

/**
 * A server of a service.
 *
 * @since 0.1.0
 * @category models
 */
export interface ServiceRecord {
  /** The name of the server. */
  readonly name: string
  /** Its port. */
  readonly port: number
  /** Servers of the lowest priority are used while one of them is healthy. */
  readonly priority: number
  /** The share of the load in relation to other servers of the priority. */
  readonly weight: number
}

/**
 * A query without an answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class QueryFailed extends Data.TaggedError("QueryFailed")<{
  /** The code of Node: `ENOTFOUND` when there is no such name, `ENODATA` when it has no such record, `ESERVFAIL`, ... */
  readonly code: string
  /** The failure behind it. */
  readonly cause?: unknown
}> {
  override get message(): string {
    return this.code
  }
}

/**
 * What asks name servers. Interruption ends a query.
 *
 * - `servers`: the name servers to ask; `undefined` for those of the system.
 *
 * @since 0.1.0
 * @category models
 */
export interface Queries {
  /** Returns the IPv4 addresses of a name. */
  readonly a: (
    name: string,
    servers?: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<AddressRecord>, QueryFailed>
  /** Returns the IPv6 addresses of a name. */
  readonly aaaa: (
    name: string,
    servers?: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<AddressRecord>, QueryFailed>
  /** Returns the servers of a service. */
  readonly srv: (
    name: string,
    servers?: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<ServiceRecord>, QueryFailed>
}

/** In milliseconds, per try. */
const timeout = 1_500
const tries = 2

/** A resolver for each query: it can be cancelled alone, and knows the name servers of now, not those of the start. */
const query = <A>(
  ask: (resolver: Dns.Resolver, done: (error: NodeJS.ErrnoException | null, records: A) => void) => void,
  servers: ReadonlyArray<string> | undefined
): Effect.Effect<A, QueryFailed> =>
  Effect.async((resume) => {
    const resolver = new Dns.Resolver({ timeout, tries })
    if (servers !== undefined) {
      resolver.setServers(servers)
    }
    ask(resolver, (error, records) =>
      resume(
        error === null
          ? Effect.succeed(records)
          : Effect.fail(new QueryFailed({ code: error.code ?? "EUNKNOWN", cause: error }))
      ))
    return Effect.sync(() => resolver.cancel())
  })

const ofNode: Queries = {
  a: (name, servers) => query((resolver, done) => resolver.resolve4(name, { ttl: true }, done), servers),
  aaaa: (name, servers) => query((resolver, done) => resolver.resolve6(name, { ttl: true }, done), servers),
  srv: (name, servers) => query((resolver, done) => resolver.resolveSrv(name, done), servers)
}

/**
 * The resolver in use. Provide another one for tests, or to ask over HTTPS. Default: the resolver of Node.
 *
 * @since 0.1.0
 * @category references
 */
export class Resolver extends Context.Reference<Resolver>()("effect-rpc-retry/Dns/Resolver", {
  defaultValue: () => ofNode
}) {}
