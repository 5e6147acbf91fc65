/**
 * Endpoints from Consul: the instances of a service whose checks pass.
 *
 * ```ts
 * import * as Consul from "effect-rpc-retry/Consul"
 *
 * const users = Consul.service({ service: "users" })
 * ```
 *
 * - The instances are asked for by blocking queries: each is answered when something changes, or after `wait`.
 * - Only what differs from the last list is a new list, because queries wake for changes of other services too. At most
 *   one query a second is sent.
 * - An index that goes back, as after a restore of the servers, starts over without one.
 * - A query that fails, or is not answered in time, keeps the last list; the next one is sent after a delay, as
 *   `Endpoints.fromStream` says.
 * - A list that is empty because the token may not read the instances is a failure too.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import { fromStream, type Source } from "../internal/endpoints/source.js"
import * as Result from "../internal/result.js"
import { checkDuration, checkKnown, checkNumber, orThrow } from "../InvalidOption.js"
import * as internal from "./discovery/consul.js"
import { checkBase, checkSecret, isHeaderValue } from "./discovery/requests.js"
import { got, invalid, isName } from "./shared/options.js"

/**
 * What {@link service} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The name of the service. */
  readonly service: string
  /** The URL of the agent. Default `http://127.0.0.1:8500`. */
  readonly url?: string | undefined
  /**
   * The token, sent as the header `X-Consul-Token`, without a line break. It needs `service:read` and `node:read`.
   * Default: none is sent.
   */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Only instances that have this tag. Default all. */
  readonly tag?: string | undefined
  /** The datacenter. Default: that of the agent. */
  readonly datacenter?: string | undefined
  /**
   * How long a query may wait for a change, in whole seconds from 1 second to 10 minutes. A connection that has gone
   * silent is noticed a sixteenth of it and 10 seconds later. Default 55 seconds.
   */
  readonly wait?: Duration.DurationInput | undefined
}

const known = ["service", "url", "token", "tag", "datacenter", "wait"]

/**
 * Makes a source of the instances of a service whose checks pass. `weight` is that for passing checks, `zone` that of
 * the instance or of its node; `attributes` has the metadata of the instance, its `id` and its `node`.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Consul from "effect-rpc-retry/Consul"
 * import * as Config from "effect/Config"
 * import * as Effect from "effect/Effect"
 *
 * const users = Effect.map(Config.redacted("CONSUL_HTTP_TOKEN"), (token) => Consul.service({ service: "users", token }))
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const service = (options: Options): Source<HttpClient.HttpClient> => {
  const where = "Consul.service"
  const settings = orThrow(Result.gen(function*() {
    yield* checkKnown(where, options, known)
    const { datacenter, service, tag, token, wait = "55 seconds" } = options
    for (const [field, name] of [["service", service], ["tag", tag], ["datacenter", datacenter]] as const) {
      if (!isName(name) && (field === "service" || name !== undefined)) {
        return yield* invalid(where, field, `must be a name, ${got(name)}`)
      }
    }
    yield* checkSecret(where, "token", token)
    if (token !== undefined && !isHeaderValue(Redacted.value(token))) {
      return yield* invalid(where, "token", "must have only characters that a header can have, and so no line break")
    }
    const seconds = Duration.toMillis(yield* checkDuration(where, "wait", wait)) / 1_000
    yield* checkNumber(where, "wait in seconds", seconds, { min: 1, max: 600, integer: true })
    const url = yield* checkBase(where, options.url ?? "http://127.0.0.1:8500")
    return { source: `consul ${service}`, url, service, tag, datacenter, token, waitSeconds: seconds }
  }))
  return fromStream(internal.lists(settings))
}
