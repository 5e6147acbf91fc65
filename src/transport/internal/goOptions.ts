/**
 * The options of `GoRpc`, checked.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/excerpt.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as Connection from "../Connection.js"
import type { Address, Options } from "../GoRpc.js"
import { lifetimeFields } from "./connection.js"
import * as Limit from "./limit.js"
import * as NodeSocket from "./socket.js"

const where = "GoRpc.make"

const invalid = (field: string, problem: string) => Either.left(new InvalidOption({ where, field, problem }))

const got = (value: unknown) => `got ${Predicate.isString(value) ? JSON.stringify(value) : String(value)}`

const isName = (value: unknown) => Predicate.isString(value) && value !== ""

const checkAddress = (address: Address) =>
  Either.gen(function*() {
    if ("socket" in address) {
      return Effect.isEffect(address.socket)
        ? undefined
        : yield* invalid("socket", `must be an effect that makes a socket, ${got(address.socket)}`)
    }
    if ("path" in address) {
      if (!isName(address.path)) {
        return yield* invalid("path", `must be the path of a socket, ${got(address.path)}`)
      }
    } else {
      if (!isName(address.host)) {
        return yield* invalid("host", `must be a name or an address, ${got(address.host)}`)
      }
      yield* checkNumber(where, "port", address.port, { min: 1, max: 65_535, integer: true })
    }
    const { http, tls } = address
    if (tls !== undefined) {
      const problem = Predicate.isRecord(tls)
        ? NodeSocket.validateTls(tls)
        : Either.left(`must be an object, got ${Excerpt.kindOf(tls)}`)
      yield* Either.mapLeft(problem, (problem) => new InvalidOption({ where, field: "tls", problem }))
    }
    if (http !== undefined && !Predicate.isBoolean(http) && !(Predicate.isString(http) && /^\/[!-~]*$/.test(http))) {
      return yield* invalid("http", `must be true, or a path that starts with /, ${got(http)}`)
    }
  })

const checkPing = (ping: NonNullable<Options["ping"]>) =>
  Either.gen(function*() {
    yield* checkKnown(where, ping, ["every", "timeout", "method", "outOfOrder"], "ping.")
    const { every, method = "Ping", outOfOrder = false, timeout = "5 seconds" } = ping
    return {
      every: yield* checkDuration(where, "ping.every", every),
      timeout: yield* checkDuration(where, "ping.timeout", timeout),
      method: Predicate.isString(method) ? method : yield* invalid("ping.method", `must be a string, ${got(method)}`),
      outOfOrder: Predicate.isBoolean(outOfOrder)
        ? outOfOrder
        : yield* invalid("ping.outOfOrder", `must be true or false, ${got(outOfOrder)}`)
    }
  })

const ofAddress = ["host", "port", "path", "tls", "http", "socket"]

const fields = [...ofAddress, "codec", "dialTimeout", "maxFrameBytes", "ping", ...lifetimeFields]

/** @internal */
export const check = (options: Options) =>
  Either.gen(function*() {
    yield* checkKnown(where, options, fields)
    const { codec, dialTimeout = "5 seconds", maxFrameBytes = Limit.defaultBytes, ping } = options
    yield* checkAddress(options)
    if (codec !== undefined && codec !== "json" && codec !== "gob") {
      return yield* invalid("codec", `must be "json" or "gob", ${got(codec)}`)
    }
    return {
      lifetime: yield* Connection.checkLifetime(where, options),
      ping: ping === undefined ? undefined : yield* checkPing(ping),
      dialTimeout: yield* checkDuration(where, "dialTimeout", dialTimeout),
      maxFrameBytes: yield* checkNumber(where, "maxFrameBytes", maxFrameBytes, {
        min: 1,
        max: Number.MAX_SAFE_INTEGER,
        integer: true
      })
    }
  })
