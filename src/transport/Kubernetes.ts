/**
 * Endpoints from the API of Kubernetes: the ready pods of a service, by its EndpointSlices.
 *
 * ```ts
 * import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
 * import * as Kubernetes from "effect-rpc-retry/Kubernetes"
 *
 * const users = Kubernetes.service({ namespace: "shop", service: "users", port: "grpc" })
 * const client = FetchHttpClient.layer
 * ```
 *
 * - The slices are listed once and then watched, so that a change is seen at once.
 * - A watch is bounded. The server is asked to end it after a minute, and a watch that has not ended 10 seconds later
 *   has gone silent: the slices are listed again. Bookmarks move the version on that the next watch starts from.
 * - A watch that has ended without a word, not even a bookmark, is followed by a new list: a server that was restored to a
 *   time before waits in silence for a version that it does not have yet.
 * - A version that is too old (410, as a status or within the watch), a connection that breaks, a token that is refused:
 *   the last list is kept, and the slices are listed again after a delay, as `Endpoints.fromStream` says.
 * - An endpoint that is not ready is left out. Of a pod with addresses of IPv4 and of IPv6, that of IPv4 is taken.
 *
 * The service account needs the verbs `list` and `watch` on `endpointslices` of the group `discovery.k8s.io`. The
 * certificate of the API is signed by an authority of the cluster: give its file to the `HttpClient`, or to Node by
 * `NODE_EXTRA_CA_CERTS=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt`.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Duration from "effect/Duration"
import { fromStream, type Source } from "../internal/endpoints/source.js"
import * as Result from "../internal/result.js"
import { checkDuration, checkKnown, checkNumber, orThrow } from "../InvalidOption.js"
import * as internal from "./discovery/kubernetes.js"
import { checkBase } from "./discovery/requests.js"
import { got, invalid, isName } from "./shared/options.js"

/**
 * What {@link service} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The namespace of the service. */
  readonly namespace: string
  /** The name of the service. */
  readonly service: string
  /**
   * The port of the pods: its name in the service, or its number. Default: the only one that the service has. When it has
   * several, or none of that name, each look-up fails.
   */
  readonly port?: string | number | undefined
  /** The URL of the API. Default `https://kubernetes.default.svc`. */
  readonly url?: string | undefined
  /**
   * The file of the token to send, read for each request, because it is replaced. `false` sends none, as to
   * `kubectl proxy`. Default `/var/run/secrets/kubernetes.io/serviceaccount/token`.
   */
  readonly tokenFile?: string | false | undefined
  /**
   * How long the server is asked to let a watch run, in whole seconds from 1 second to 10 minutes. A watch that has gone
   * silent is noticed 10 seconds after that. Default 1 minute.
   */
  readonly watchFor?: Duration.DurationInput | undefined
}

const known = ["namespace", "service", "port", "url", "tokenFile", "watchFor"]

/** A label of DNS, as names of namespaces and services are. */
const isLabel = (name: unknown): boolean => isName(name) && /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(name)

const defaultTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

/**
 * Makes a source of the ready pods of a service. `zone` is that of the pod; `attributes` has the names of its `node` and
 * of the `pod`.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as Kubernetes from "effect-rpc-retry/Kubernetes"
 *
 * // on a developer's machine, with `kubectl proxy`
 * const users = Kubernetes.service({
 *   namespace: "shop",
 *   service: "users",
 *   url: "http://127.0.0.1:8001",
 *   tokenFile: false
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const service = (options: Options): Source<HttpClient.HttpClient | FileSystem.FileSystem> => {
  const where = "Kubernetes.service"
  const settings = orThrow(Result.gen(function*() {
    yield* checkKnown(where, options, known)
    const { namespace, port, service, tokenFile = defaultTokenFile, watchFor = "1 minute" } = options
    for (const [field, name] of [["namespace", namespace], ["service", service]] as const) {
      if (!isLabel(name)) {
        return yield* invalid(where, field, `must be a name of Kubernetes, ${got(name)}`)
      }
    }
    if (typeof port === "string" ? port === "" : port !== undefined) {
      yield* checkNumber(where, "port", port as number, { min: 1, max: 65_535, integer: true })
    }
    if (tokenFile !== false && !isName(tokenFile)) {
      return yield* invalid(where, "tokenFile", `must be a path, or false, ${got(tokenFile)}`)
    }
    const millis = Duration.toMillis(yield* checkDuration(where, "watchFor", watchFor))
    yield* checkNumber(where, "watchFor in seconds", millis / 1_000, { min: 1, max: 600, integer: true })
    const url = yield* checkBase(where, options.url ?? "https://kubernetes.default.svc")
    return {
      source: `kubernetes ${namespace}/${service}`,
      url,
      namespace,
      service,
      port,
      tokenFile: tokenFile === false ? undefined : tokenFile,
      watchSeconds: millis / 1_000
    }
  }))
  return fromStream(internal.lists(settings))
}
