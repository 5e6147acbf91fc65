/**
 * Endpoints from a file of JSON that is watched.
 *
 * ```json
 * [
 *   "10.0.0.1:8080",
 *   { "address": "10.0.0.2:8080", "weight": 2, "priority": 1, "zone": "eu-1a" }
 * ]
 * ```
 *
 * ```ts
 * import * as EndpointsFile from "effect-rpc-retry/EndpointsFile"
 *
 * const users = EndpointsFile.watch({ path: "/etc/endpoints/users.json" })
 * ```
 *
 * - The folder of the file is watched, not the file: a file that is renamed over it is seen, and a `ConfigMap` that
 *   Kubernetes replaces.
 * - It is read every 30 seconds too, give or take 20 %, because not every file system tells of changes.
 * - A file that is not there, is empty, is written only in part, or has a wrong endpoint keeps the last list.
 *
 * @since 0.1.0
 */
import * as FileSystem from "@effect/platform/FileSystem"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { checkPoll, DiscoveryFailed, type Lookup, make, polling, type Source } from "../internal/endpoints/source.js"
import * as Result from "../internal/result.js"
import { checkKnown, type InvalidOption, orThrow } from "../InvalidOption.js"
import { pacer } from "./discovery/requests.js"
import * as Json from "./shared/json.js"
import { got, invalid, isName } from "./shared/options.js"

/**
 * What {@link watch} takes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The path of the file. */
  readonly path: string
  /** How often the file is read when nothing is told of it, give or take 20 %. Default 30 seconds. */
  readonly every?: Duration.DurationInput | undefined
}

/** Changes come in swarms: the file is read at most every 100 milliseconds. */
const atMostEvery = 100

const endpointsOf = (source: string, bytes: Uint8Array): Result.Result<Lookup, DiscoveryFailed> =>
  Result.match(Json.parse(bytes), {
    onFailure: (problem) => Result.fail(new DiscoveryFailed({ source, problem: `the file is ${problem}` })),
    // what it has is checked as every list is
    onSuccess: (json) => Result.succeed({ endpoints: (Predicate.isRecord(json) ? json["endpoints"] : json) as [] })
  })

const check = (options: Options) => {
  const where = "EndpointsFile.watch"
  return Result.gen(function*() {
    yield* checkKnown(where, options, ["path", "every"])
    if (!isName(options.path)) {
      return yield* invalid(where, "path", `must be a path, ${got(options.path)}`)
    }
    const times = yield* checkPoll(where, { every: options.every })
    return times.every < 1_000
      ? yield* invalid(where, "every", `must be at least 1 second, got ${times.every} ms`)
      : { ...times, atMostEvery }
  }) satisfies Result.Result<unknown, InvalidOption>
}

/**
 * Makes a source of a file of JSON: an array of addresses and endpoints, alone or as `endpoints` of an object.
 *
 * Throws `InvalidOption` for an option that cannot be used.
 *
 * @example
 * ```ts
 * import * as EndpointsFile from "effect-rpc-retry/EndpointsFile"
 *
 * const users = EndpointsFile.watch({ path: "/etc/endpoints/users.json", every: "10 seconds" })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const watch = (options: Options): Source<FileSystem.FileSystem> => {
  const times = orThrow(check(options))
  const { path } = options
  const folder = path.replace(/[^/\\]*$/, "") || "."
  const source = `file ${path}`
  return make((refreshes) =>
    Stream.unwrap(Effect.map(FileSystem.FileSystem, (files) => {
      const read = files.readFile(path).pipe(
        Effect.mapError((cause) => new DiscoveryFailed({ source, problem: "the file cannot be read", cause })),
        Effect.flatMap((bytes) => endpointsOf(source, bytes))
      )
      // a folder that cannot be watched, or that is gone, is watched again later
      const changes = Stream.flatMap(Stream.repeatEffect(pacer(times.every)), () =>
        // also one where the system throws, as at its limit of watchers
        Stream.catchAllCause(Stream.map(files.watch(folder), () => undefined), () => Stream.empty))
      return polling(read, times, source).updates(Stream.merge(refreshes, changes))
    }))
  )
}
