/**
 * The options of `Thrift`, checked.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import * as Excerpt from "../../internal/excerpt.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"
import * as Connection from "../Connection.js"
import type { Address, Options } from "../Thrift.js"
import { lifetimeFields } from "./connection.js"
import * as NodeSocket from "./socket.js"
import type { Transport } from "./thriftFrames.js"
import { type Procedure, procedures, type Protocol, type ServerException } from "./thriftMessage.js"

const where = "Thrift.make"

const invalid = (field: string, problem: string) => Either.left(new InvalidOption({ where, field, problem }))

const got = (value: unknown) => `got ${Predicate.isString(value) ? JSON.stringify(value) : String(value)}`

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Predicate.isRecord(value) && !Array.isArray(value)

const isName = (value: unknown) => Predicate.isString(value) && value !== ""

const transports = new Set<unknown>(["buffered", "framed", "header", "ttheader"] satisfies ReadonlyArray<Transport>)

const protocols = new Set<unknown>(["binary", "compact"] satisfies ReadonlyArray<Protocol>)

const checkAddress = (address: Address) =>
  Either.gen(function*() {
    if ("path" in address) {
      if (!isName(address.path)) {
        return yield* invalid("path", `must be the path of a socket, ${got(address.path)}`)
      }
      if ("host" in address) {
        return yield* invalid("path", "cannot be given together with host")
      }
    } else {
      if (!isName(address.host)) {
        return yield* invalid("host", `must be a name or an address, ${got(address.host)}`)
      }
      yield* checkNumber(where, "port", address.port, { min: 1, max: 65_535, integer: true })
    }
    const { tls } = address
    if (tls !== undefined) {
      const problem = isObject(tls)
        ? NodeSocket.validateTls(tls)
        : Either.left(`must be an object, got ${Excerpt.kindOf(tls)}`)
      yield* Either.mapLeft(problem, (problem) => new InvalidOption({ where, field: "tls", problem }))
    }
  })

const checkMethods = (methods: unknown, service: string, all: ReadonlyArray<Procedure>) =>
  Either.gen(function*() {
    if (!isObject(methods)) {
      return yield* invalid("methods", `must be an object of methods and their options, ${got(methods)}`)
    }
    for (const [name, options] of Object.entries(methods)) {
      const field = `methods.${name}`
      if (!all.some((procedure) => procedure.name === name)) {
        return yield* invalid(field, `is no method of ${service}`)
      }
      if (options !== undefined && !isObject(options)) {
        return yield* invalid(field, `must be an object, ${got(options)}`)
      }
      yield* checkKnown(where, options ?? {}, ["idempotent"], `${field}.`)
      const { idempotent } = options ?? {}
      if (idempotent !== undefined && !Predicate.isBoolean(idempotent)) {
        return yield* invalid(`${field}.idempotent`, `must be a boolean, ${got(idempotent)}`)
      }
    }
  })

const checkService = <C>({ client, methods = {}, multiplexed, service }: Options<C>) =>
  Either.gen(function*() {
    if (!isName(service)) {
      return yield* invalid("service", `must be the name of the service, ${got(service)}`)
    }
    // the first one ends the name of the service
    if (multiplexed === true && service.includes(":")) {
      return yield* invalid("service", `must have no colon where it is multiplexed, ${got(service)}`)
    }
    if (!Predicate.isFunction(client)) {
      return yield* invalid("client", `must be the class that the Thrift compiler generated, ${got(client)}`)
    }
    const all = procedures(client as Parameters<typeof procedures>[0])
    if (all.length === 0) {
      return yield* invalid("client", "must be the class that the Thrift compiler generated, got one without methods")
    }
    yield* checkMethods(methods, service, all)
    return all
  })

const checkWire = <C>({ multiplexed = false, protocol = "binary", transport = "buffered" }: Options<C>) =>
  Either.gen(function*() {
    if (!transports.has(transport)) {
      return yield* invalid("transport", `must be one of ${Array.from(transports).join(", ")}, ${got(transport)}`)
    }
    if (!protocols.has(protocol)) {
      return yield* invalid("protocol", `must be "binary" or "compact", ${got(protocol)}`)
    }
    if (transport === "ttheader" && protocol === "compact") {
      return yield* invalid("protocol", "must be \"binary\" with the transport \"ttheader\", got \"compact\"")
    }
    return Predicate.isBoolean(multiplexed)
      ? { multiplexed, protocol, transport }
      : yield* invalid("multiplexed", `must be a boolean, ${got(multiplexed)}`)
  })

const checkRetryOn = (retryOn: unknown) => {
  if (retryOn === undefined) {
    return Either.right(() => false)
  }
  if (Predicate.isFunction(retryOn)) {
    return Either.right(retryOn as (exception: ServerException) => boolean)
  }
  return Array.isArray(retryOn) && retryOn.every(Predicate.isNumber)
    ? Either.right(({ code }: ServerException) => retryOn.includes(code))
    : invalid("retryOn", `must be codes, which are numbers, or a predicate, ${got(retryOn)}`)
}

const fields = [
  "host",
  "port",
  "path",
  "tls",
  "service",
  "client",
  "transport",
  "protocol",
  "multiplexed",
  "methods",
  "connections",
  "dialTimeout",
  "maxFrameBytes",
  "retryOn",
  ...lifetimeFields
]

/** @internal */
export const check = <C>(options: Options<C>) =>
  Either.gen(function*() {
    yield* checkKnown(where, options, fields)
    const { connections = 16, dialTimeout = "5 seconds", maxFrameBytes = 4 * 1024 * 1024 } = options
    yield* checkAddress(options)
    return {
      ...(yield* checkWire(options)),
      procedures: yield* checkService(options),
      retryOn: yield* checkRetryOn(options.retryOn),
      lifetime: yield* Connection.checkLifetime(where, options),
      connections: yield* checkNumber(where, "connections", connections, { min: 1, max: 1000, integer: true }),
      dialTimeout: yield* checkDuration(where, "dialTimeout", dialTimeout),
      maxFrameBytes: yield* checkNumber(where, "maxFrameBytes", maxFrameBytes, {
        min: 1,
        max: 0x7fffffff,
        integer: true
      })
    }
  })
