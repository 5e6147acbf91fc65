/**
 * Endpoints from etcd: the values of all keys with a prefix, over the JSON gateway of etcd 3.4 and later.
 *
 * ```ts
 * import * as Etcd from "effect-rpc-retry/Etcd"
 *
 * const users = Etcd.prefix({ prefix: "services/users/", url: "http://127.0.0.1:2379" })
 * ```
 *
 * - The keys are read once and then watched, so that a change is seen at once; also the end of a lease.
 * - They are read again every minute, because a watch can be silent for good: on a member that is cut off from the
 *   others, or of a database that was restored to a time before.
 * - A revision that was compacted, a connection that breaks: the last list is kept, and the keys are read again after a
 *   delay, as `Endpoints.fromStream` says; from the next of several URLs.
 * - A value that is no endpoint is left out, with a warning in the log. When no value is one, the last list is kept.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import { type Endpoint, fromStream, type Source } from "../internal/endpoints/source.js"
import * as Result from "../internal/result.js"
import { checkDuration, checkKnown, orThrow } from "../InvalidOption.js"
import * as internal from "./discovery/etcd.js"
import { checkBase, checkSecret } from "./discovery/requests.js"
import { got, invalid, isName } from "./shared/options.js"

/**
 * What {@link prefix} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What the keys begin with, as in `services/users/`. */
  readonly prefix: string
  /** The URL of a member, or those of several, which are asked one after the other. Default `http://127.0.0.1:2379`. */
  readonly url?: string | ReadonlyArray<string> | undefined
  /** The user to log in as. Default: no login. */
  readonly login?: {
    /** The name of the user. */
    readonly name: string
    /** Their password. */
    readonly password: Redacted.Redacted<string>
  } | undefined
  /**
   * Returns the endpoint that a value stands for, or its address; `undefined` leaves the value out, and what it throws
   * does too, with a warning. Default: a value is an address, or JSON with `address` (or `Addr`, as etcd's own resolver
   * of gRPC writes), `weight`, `priority` and `zone`.
   */
  readonly decode?: ((value: string, key: string) => Endpoint | string | undefined) | undefined
  /** How long the keys are watched before they are read again, greater than zero. Default 1 minute. */
  readonly watchFor?: Duration.DurationInput | undefined
}

const known = ["prefix", "url", "login", "decode", "watchFor"]

/**
 * Makes a source of the values of all keys with a prefix.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Etcd from "effect-rpc-retry/Etcd"
 *
 * // values such as {"host":"10.0.0.1","port":8080}
 * const users = Etcd.prefix({
 *   prefix: "services/users/",
 *   url: ["http://10.0.0.2:2379", "http://10.0.0.3:2379"],
 *   decode: (value) => {
 *     const { host, port } = JSON.parse(value)
 *     return `${host}:${port}`
 *   }
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const prefix = (options: Options): Source<HttpClient.HttpClient> => {
  const where = "Etcd.prefix"
  const settings = orThrow(Result.gen(function*() {
    yield* checkKnown(where, options, known)
    const { decode = internal.decodeValue, login, prefix, url = "http://127.0.0.1:2379", watchFor = "1 minute" } =
      options
    if (!isName(prefix)) {
      return yield* invalid(where, "prefix", `must be text that is not empty, ${got(prefix)}`)
    }
    if (login !== undefined) {
      yield* checkKnown(where, login, ["name", "password"], "login.")
      if (!isName(login.name)) {
        return yield* invalid(where, "login.name", `must be a name, ${got(login.name)}`)
      }
      yield* checkSecret(where, "login.password", login.password ?? "")
    }
    if (!Predicate.isFunction(decode)) {
      return yield* invalid(where, "decode", "must be a function")
    }
    const urls: Array<string> = []
    for (const one of Array.isArray(url) ? url as ReadonlyArray<string> : [url]) {
      urls.push(yield* checkBase(where, one))
    }
    if (urls.length === 0) {
      return yield* invalid(where, "url", "must have at least one URL")
    }
    const millis = Duration.toMillis(yield* checkDuration(where, "watchFor", watchFor))
    return { source: `etcd ${prefix}`, urls, prefix, login, decode, watchFor: millis }
  }))
  return fromStream(internal.lists(settings))
}
