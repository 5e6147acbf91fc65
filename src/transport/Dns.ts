/**
 * Endpoints from the domain name system: the addresses of a host, or the servers of a service.
 *
 * ```ts
 * import * as Dns from "effect-rpc-retry/Dns"
 *
 * const users = Dns.hosts({ name: "users.default.svc.cluster.local", port: 8080 })
 * ```
 *
 * - A name is looked up again every 30 seconds, give or take 20 %; sooner or later where the time to live of its
 *   addresses says so, but not sooner than after 5 seconds and not later than after a minute.
 * - After a connection failure it is looked up at once, but at most every 5 seconds.
 * - No failure loses a list: name servers that fail or are silent, and a name that is not there any more, keep the last
 *   one. A name without records of the kind gives an empty list.
 * - When only a part of the queries is answered, the last known addresses stand in for what is missing.
 * - Names are asked as they are: `/etc/hosts` and the search domains of the system are not used. In Kubernetes a name
 *   ends in `.svc.cluster.local`.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"
import * as Net from "node:net"
import { checkPoll, make, polling, type PollOptions, pollOptions, type Source } from "../internal/endpoints/source.js"
import * as Result from "../internal/result.js"
import { checkKnown, checkNumber, type InvalidOption, orThrow } from "../InvalidOption.js"
import * as lookups from "./discovery/lookups.js"
import { got, invalid, isName } from "./shared/options.js"

export { type AddressRecord, type Queries, QueryFailed, Resolver, type ServiceRecord } from "./discovery/resolver.js"

/**
 * What {@link hosts} and {@link services} take.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends PollOptions {
  /** The whole name. */
  readonly name: string
  /** The name servers to ask, as addresses with a port or without. Default: those of the system, read for each query. */
  readonly servers?: ReadonlyArray<string> | undefined
}

/**
 * What {@link hosts} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface HostOptions extends Options {
  /** The port of each endpoint. */
  readonly port: number
}

/** An address with a port or without: `10.0.0.10`, `10.0.0.10:53`, `fd00::a`, `[fd00::a]:53`. */
const isServer = (server: unknown): boolean => {
  const [, six, four, port] = Predicate.isString(server)
    ? /^(?:\[([^\]]*)\]|([\d.]+)):(\d{1,5})$/.exec(server) ?? ["", undefined, server, "53"]
    : []
  return Net.isIP(six ?? four ?? "") > 0 && Number(port) >= 1 && Number(port) <= 65_535
}

const check = (where: string, options: Options): Result.Result<void, InvalidOption> =>
  Result.gen(function*() {
    const { name, servers } = options
    if (!isName(name) || Net.isIP(name) > 0 || /[\s:/]/.test(name)) {
      return yield* invalid(where, "name", `must be a name, ${got(name)}`)
    }
    if (servers !== undefined && !(Array.isArray(servers) && servers.length > 0 && servers.every(isServer))) {
      return yield* invalid(where, "servers", "must be addresses, such as \"10.0.0.10\" or \"10.0.0.10:53\"")
    }
  })

const source = (
  where: string,
  options: Options,
  known: ReadonlyArray<string>,
  lookup: (source: string) => ReturnType<typeof lookups.hosts>
): Source => {
  orThrow(checkKnown(where, options, [...known, ...pollOptions]))
  orThrow(check(where, options))
  const times = orThrow(checkPoll(where, options))
  const asked = `dns ${options.name}`
  return make((refreshes) => polling(lookup(asked), times, asked).updates(refreshes))
}

/**
 * Makes a source of the addresses of a host, its A and AAAA records, all with the same port. An address of IPv6 stands
 * in brackets: `[fd00::7]:8080`.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Dns from "effect-rpc-retry/Dns"
 *
 * const users = Dns.hosts({ name: "users.internal.example.org", port: 8080, servers: ["10.0.0.10"], every: "10 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const hosts = (options: HostOptions): Source => {
  const where = "Dns.hosts"
  const made = source(
    where,
    options,
    ["name", "port", "servers"],
    (source) => lookups.hosts(source, { name: options.name, port: options.port, servers: options.servers })
  )
  orThrow(checkNumber(where, "port", options.port, { min: 1, max: 65_535, integer: true }))
  return made
}

/**
 * Makes a source of the servers of a service: its SRV record, and the addresses of each target.
 *
 * - `priority` is that of the record. Servers of a higher number are used when none of a lower one is healthy.
 * - `weight` is that of the record, shared by the addresses of the target; 0 counts as 0.1.
 * - `attributes.host` is the name of the target, for the name in its certificate.
 * - A target without an answer keeps its last known addresses; one that is gone is left out.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Dns from "effect-rpc-retry/Dns"
 *
 * const users = Dns.services({ name: "_grpc._tcp.users.internal.example.org" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const services = (options: Options): Source =>
  source(
    "Dns.services",
    options,
    ["name", "servers"],
    (source) => lookups.services(source, { name: options.name, servers: options.servers })
  )
