/**
 * The options of `Thrift`, and their checks.
 *
 * @internal
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { ConnectionOptions } from "node:tls"
import * as Result from "../../internal/result.js"
import { checkDuration, checkKnown, checkNumber } from "../../InvalidOption.js"
import * as Connection from "../Connection.js"
import * as Addresses from "../connection/address.js"
import { lifetimeFields } from "../connection/connection.js"
import { checkRetryOn, got, invalid as invalidOption, isName, never } from "../shared/options.js"
import type { Transport } from "./frames.js"
import { type Procedure, procedures, type Protocol, type ServerException } from "./message.js"

/**
 * Reads the last signature that the compiler declares for a method: the one with a callback, which alone names the
 * exceptions.
 */
export type Signature<Method> = Method extends (...args: infer Args) => unknown
  ? Required<Args> extends [...infer Params, (error: infer Exception, response: infer Result) => void]
    ? { readonly params: Params; readonly exception: Exclude<Exception, void>; readonly result: Result }
  : never
  : never

/**
 * The address of the server: `host` and `port`, or the `path` of a Unix socket.
 *
 * @since 0.1.0
 * @category models
 */
export type Address =
  | {
    /** The host name or the IP address of the server. */
    readonly host: string
    /** The TCP port of the server: an integer from 1 to 65535. */
    readonly port: number
    /**
     * Turns TLS on, with Node's options; an empty object trusts the certificate authorities that Node trusts. Default:
     * no TLS.
     */
    readonly tls?: ConnectionOptions | undefined
  }
  | {
    /** The path of the server's Unix socket. It cannot be given together with `host`. */
    readonly path: string
    /**
     * Turns TLS on, with Node's options; an empty object trusts the certificate authorities that Node trusts. Default:
     * no TLS.
     */
    readonly tls?: ConnectionOptions | undefined
  }

/**
 * The names of the methods of a generated client.
 *
 * @since 0.1.0
 * @category models
 */
export type MethodName<Client> = string extends keyof Client ? string
  : {
    readonly [Name in keyof Client]: [Signature<Client[Name]>] extends [never] ? never : Name
  }[keyof Client]

/**
 * The options of one method of the service.
 *
 * @since 0.1.0
 * @category models
 */
export interface MethodOptions {
  /** Says whether the method may run twice: `true` or `false`; see `RpcCall`. Default: not known. */
  readonly idempotent?: boolean | undefined
}

/**
 * The options of a client besides its {@link Address} and the {@link Connection.Lifetime} of its connections.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings<Client> {
  /** Names the service. With the name of the method it is the `method` of a call: `"Users.getUser"`. */
  readonly service: string
  /** The class `Client` that the Thrift compiler generated, with any of the options of `--gen js:node`. */
  readonly client: new(output: never, protocol: never) => Client
  /**
   * The transport that the server speaks. `"header"` is Apache's THeader, `"ttheader"` is Kitex's TTHeader. Default
   * `"buffered"`, as that of the library `thrift`.
   *
   * A server of Kitex detects which of `"buffered"`, `"framed"` and `"ttheader"` a client speaks. Without `"ttheader"`
   * a `BizStatusError` of a `void` method counts as a success.
   */
  readonly transport?: "buffered" | "framed" | "header" | "ttheader" | undefined
  /**
   * The protocol that the server speaks. A server of Kitex, and the transport `"ttheader"`, take only `"binary"`.
   * Default `"binary"`, as that of the library `thrift`.
   */
  readonly protocol?: "binary" | "compact" | undefined
  /**
   * Puts `service` before the names of the methods, for a server with several services (`TMultiplexedProcessor`);
   * `service` then must contain no colon. Default `false`.
   */
  readonly multiplexed?: boolean | undefined
  /** Sets the options of single methods, by their names. Default none. */
  readonly methods?:
    // an object has these by itself, so nothing could be given without them
    | { readonly [Name in Exclude<MethodName<Client>, keyof typeof Object.prototype>]?: MethodOptions | undefined }
    | undefined
  /**
   * Limits the connections, and so the calls that are in flight at the same time; more calls wait. An integer from 1 to
   * 1000. Default 16.
   */
  readonly connections?: number | undefined
  /** Bounds one dial; more than zero. Default 5 seconds. */
  readonly dialTimeout?: Duration.DurationInput | undefined
  /**
   * Limits the answer that is read, in bytes. The values decoded from it may take 8 times as much memory, by estimate.
   * An answer beyond either limit fails its call with `Fatal Protocol`. Default 4 MiB, as in gRPC.
   */
  readonly maxFrameBytes?: number | undefined
  /**
   * Makes more errors of the server worth another attempt, by their codes or by a predicate. They become
   * `Retryable Custom`, delivery `Unknown`. Default none. A predicate that throws is a mistake in the program: the call
   * ends with a defect.
   */
  readonly retryOn?: ReadonlyArray<number> | ((exception: ServerException) => boolean) | undefined
}

/**
 * Everything that a client of Thrift is made with: the {@link Address} of the server, the {@link Settings} of the
 * client, and the {@link Connection.Lifetime} of its connections.
 *
 * @since 0.1.0
 * @category models
 */
export type Options<Client> = Address & Settings<Client> & Connection.Lifetime

const where = "Thrift.make"

const invalid = (field: string, problem: string) => invalidOption(where, field, problem)

const transports = new Set<unknown>(["buffered", "framed", "header", "ttheader"] satisfies ReadonlyArray<Transport>)

const protocols = new Set<unknown>(["binary", "compact"] satisfies ReadonlyArray<Protocol>)

const checkAddress = (address: Address) =>
  Result.flatMap(
    Addresses.checkAddress(where, address),
    () => "path" in address && "host" in address ? invalid("path", "cannot be given together with host") : Result.void
  )

const checkMethods = (methods: unknown, service: string, all: ReadonlyArray<Procedure>) =>
  Result.gen(function*() {
    if (!Predicate.isRecord(methods)) {
      return yield* invalid("methods", `must be an object of methods and their options, ${got(methods)}`)
    }
    for (const [name, options] of Object.entries(methods)) {
      const field = `methods.${name}`
      if (!all.some((procedure) => procedure.name === name)) {
        return yield* invalid(field, `is no method of ${service}`)
      }
      if (options !== undefined && !Predicate.isRecord(options)) {
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
  Result.gen(function*() {
    if (!isName(service)) {
      return yield* invalid("service", `must be the name of the service, ${got(service)}`)
    }
    // the first colon ends the name of the service
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
  Result.gen(function*() {
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

const checkRetries = (retryOn: Settings<unknown>["retryOn"]) =>
  checkRetryOn<ServerException>(
    retryOn,
    (code) => Predicate.isNumber(code) ? code : undefined,
    (retryOn) => invalid("retryOn", `must be codes, which are numbers, or a predicate, ${got(retryOn)}`)
  )

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
  Result.gen(function*() {
    yield* checkKnown(where, options, fields)
    const { connections = 16, dialTimeout = "5 seconds", maxFrameBytes = 4 * 1024 * 1024 } = options
    yield* checkAddress(options)
    return {
      ...(yield* checkWire(options)),
      procedures: yield* checkService(options),
      retryOn: (yield* checkRetries(options.retryOn)) ?? never,
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
