/**
 * Uses three builds of the package in one process: `one`, `same` of the same version, and `other` of another version with
 * other internals. Prints as JSON what calls of them did: `node copies.mjs one same other`.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Schedule from "effect/Schedule"
import { pathToFileURL } from "node:url"

const [one, same, other] = await Promise.all(
  process.argv.slice(2).map((path) => import(pathToFileURL(`${path}/index.js`).href))
)

const warnings = []
const logger = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void warnings.push(String(message))))

/** Attempts that a call makes which is always refused. */
const attempts = async ({ Retryable, withRpcRetry }, layer, options = {}) => {
  let made = 0
  const call = Effect.suspend(() => {
    made++
    return Effect.fail(new Retryable({ reason: "ConnectionRefused", delivery: "NotSent" }))
  }).pipe(withRpcRetry({ method: "Users.Get", ...options }))
  const exit = await Effect.runPromiseExit(Effect.provide(Effect.provide(call, layer), logger))
  return `${made} attempts, ${exit.cause.error?._tag ?? exit.cause}`
}

const layerOf = (copy, retries) => copy.RpcRetry.layer({ default: { schedule: Schedule.recurs(retries) } })
const quick = { schedule: Schedule.recurs(1) }

const result = {
  "one, without a layer": await attempts(one, Layer.empty, quick),
  "other, without a layer": await attempts(other, Layer.empty, quick),
  "one, in its layer": await attempts(one, layerOf(one, 2)),
  "other, in its layer": await attempts(other, layerOf(other, 2)),
  "same, in the layer of one": await attempts(same, layerOf(one, 2)),
  "other, in the layer of one": await attempts(other, layerOf(one, 6)),
  "one inside other": await Effect.runPromise(
    one.RpcCall.make(Effect.succeed("succeeds"), { method: "Users.Get" }).pipe(
      one.withRpcRetry({ attemptTimeout: "1 second" }),
      other.withRpcRetry({ attemptTimeout: "1 second" })
    )
  ),
  warnings
}
process.stdout.write(JSON.stringify(result))
