/**
 * Clients for servers of Apache Thrift and Kitex, made from the code that the Thrift compiler generates for Node.
 *
 * ```ts
 * import { type Fatal, type Retryable, type RpcCall, withRpcRetry } from "effect-rpc-retry"
 * import * as Thrift from "effect-rpc-retry/Thrift"
 * import * as Effect from "effect/Effect"
 *
 * // import { Client as UsersClient } from "./gen-nodejs/Users.js"
 * interface User { readonly name: string }
 * declare class UserNotFound extends Error { readonly id: number }
 * declare class UsersClient {
 *   getUser(id: number): Promise<User>
 *   getUser(id: number, callback?: (error: UserNotFound, response: User) => void): void
 * }
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Thrift.make({ service: "Users", client: UsersClient, host: "127.0.0.1", port: 9090 })
 *   return yield* users.getUser(1).pipe(withRpcRetry({ attemptTimeout: "1 second" }))
 *   //     Effect<User, UserNotFound | Fatal | RetryExhausted | CallRejected>
 * }).pipe(Effect.scoped)
 * ```
 *
 * The exceptions that a method declares with `throws` are in the error type of its call and pass unchanged: they count
 * as answers, and are not retried.
 *
 * A connection carries one call at a time, since servers of Thrift answer the requests of a connection one after
 * another. The pool holds as many connections as there are calls in flight, up to {@link Settings.connections}; each is
 * dialled when a call needs it. A connection that failed, or whose call was interrupted, is closed and never used
 * again; closing it is how the server learns that the call was interrupted. When a connection breaks during a call,
 * idle connections that have received nothing since that call began are closed too, as they may lead to the same dead
 * server.
 *
 * A server that speaks another `transport` or `protocol` often does not answer at all, so give calls an
 * `attemptTimeout`.
 *
 * | what happens                                                   | error of the call                               |
 * | -------------------------------------------------------------- | ----------------------------------------------- |
 * | nobody listens, no such host, no answer to the dial            | `Retryable`, not sent                           |
 * | the connection breaks before the request is written            | `Retryable`, mostly `ConnectionLost`, not sent  |
 * | the attempt is cut before that: none is free, none dialled     | `Retryable AttemptTimeout`, not sent            |
 * | the connection breaks after that                               | `Retryable ConnectionLost`, may have run        |
 * | an exception that the method declares                          | the exception                                   |
 * | `TApplicationException`: unknown method 1; Kitex: 20, 21       | `Fatal Unimplemented`                           |
 * | ... message type 2, name 3, sequence id 4, missing result 5    | `Fatal Protocol`                                |
 * | ... protocol 7, transform 8, protocol 9, client type 10        | `Fatal Protocol`                                |
 * | ... unknown 0, internal error 6, any other                     | `Fatal ServerError`                             |
 * | a `BizStatusError` of Kitex                                    | `Fatal ServerError`                             |
 * | any of these that `retryOn` names                              | `Retryable Custom`, may have run                |
 * | the arguments cannot be written                                | `Fatal InvalidArgument`, nothing sent           |
 * | an answer that is unreadable, too large, or of another call    | `Fatal Protocol`, and the connection is closed  |
 * | the certificate of the peer does not verify                    | `Fatal Protocol`                                |
 * | the client is closed                                           | `Fatal Cancelled`                               |
 *
 * `code` is the type of the `TApplicationException`, or the status of the `BizStatusError`; the exception is the
 * `cause`.
 *
 * Plain messages have no headers. With `transport: "header"` or `"ttheader"` each attempt sends these headers:
 *
 * | fact                    | `"header"`                 | `"ttheader"`                                        |
 * | ----------------------- | -------------------------- | --------------------------------------------------- |
 * | idempotency key         | `idempotency-key`          | `metainfo.GetValue(ctx, "idempotency-key")`         |
 * | retries before this one | `x-retry-attempt`          | `metainfo.GetPersistentValue(ctx, "RetryReq")`      |
 * | milliseconds remaining  | `client_timeout`           | the RPC timeout                                     |
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { orThrow } from "../InvalidOption.js"
import * as RpcCall from "../RpcCall.js"
import type { Fatal, Retryable } from "../RpcError.js"
import * as NodeSocket from "./connection/socket.js"
import * as internal from "./thrift/call.js"
import * as Frames from "./thrift/frames.js"
import * as Message from "./thrift/message.js"
import * as ThriftOptions from "./thrift/options.js"
import type { Address, MethodName, MethodOptions, Options } from "./thrift/options.js"
import type { Signature } from "./thrift/options.js"
import * as Pool from "./thrift/pool.js"

export type { ServerException } from "./thrift/message.js"
export type { Address, MethodName, MethodOptions, Options, Settings } from "./thrift/options.js"

/**
 * The methods of a generated client, as functions that return calls. They are not retried: pipe them through
 * `withRpcRetry`.
 *
 * The methods of a client without types (`--gen js:node` without `ts`) take and return `unknown`.
 *
 * @since 0.1.0
 * @category models
 */
export type Calls<Client> = string extends keyof Client
  ? { readonly [method: string]: (...args: ReadonlyArray<unknown>) => RpcCall.RpcCall<unknown, unknown> }
  : {
    readonly [Name in keyof Client & MethodName<Client>]: (
      ...args: Signature<Client[Name]>["params"]
    ) => RpcCall.RpcCall<Signature<Client[Name]>["result"], Retryable | Fatal | Signature<Client[Name]>["exception"]>
  }

/**
 * Makes the calls of a service, over connections that live as long as the scope. The first call dials the first
 * connection.
 *
 * Throws `InvalidOption` for an invalid address, TLS options that Node refuses, a class that the compiler did not
 * generate, or a setting out of range.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Thrift from "effect-rpc-retry/Thrift"
 * import * as Effect from "effect/Effect"
 *
 * // as the compiler declares it
 * declare class UsersClient {
 *   rename(id: number, name: string): Promise<void>
 *   rename(id: number, name: string, callback?: (error: void, response: void) => void): void
 * }
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Thrift.make({
 *     service: "Users",
 *     client: UsersClient,
 *     host: "127.0.0.1",
 *     port: 9090,
 *     transport: "framed",
 *     methods: { rename: { idempotent: true } }
 *   })
 *   yield* users.rename(1, "Ada").pipe(withRpcRetry({ attemptTimeout: "1 second" }))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <Client extends object = Readonly<Record<string, unknown>>>(
  options: Options<Client>
): Effect.Effect<Calls<Client>, never, Scope.Scope> => {
  const { connections, dialTimeout, lifetime, maxFrameBytes, multiplexed, procedures, protocol, retryOn, transport } =
    orThrow(ThriftOptions.check(options))
  const { service } = options
  const methods: Readonly<Record<string, MethodOptions | undefined>> = options.methods ?? {}
  return Effect.gen(function*() {
    const call = internal.caller({
      codec: Message.codec(options.client, protocol, multiplexed ? service : undefined),
      frames: Frames.make(transport, protocol, maxFrameBytes),
      pool: yield* Pool.make<Message.Answer>({
        socket: NodeSocket.make(options),
        name: nameOf(options),
        size: connections,
        dialTimeout,
        lifetime
      }),
      retryOn
    })
    const calls = procedures.map((procedure) => {
      const method = `${service}.${procedure.name}`
      const { idempotent } = methods[procedure.name] ?? {}
      return [
        procedure.name,
        (...args: ReadonlyArray<unknown>) => RpcCall.make(call(procedure, method, args), { method, idempotent })
      ] as const
    })
    // the class of the compiler has the methods that it declares
    return Object.fromEntries(calls) as unknown as Calls<Client>
  })
}

/**
 * Provides the calls as a service of the program, under a tag of yours. Throws as {@link make} does.
 *
 * @example
 * ```ts
 * import { withRpcRetry } from "effect-rpc-retry"
 * import * as Thrift from "effect-rpc-retry/Thrift"
 * import * as Context from "effect/Context"
 * import * as Effect from "effect/Effect"
 *
 * // as the compiler declares it
 * declare class UsersClient {
 *   getName(id: number): Promise<string>
 *   getName(id: number, callback?: (error: void, response: string) => void): void
 * }
 *
 * class Users extends Context.Tag("Users")<Users, Thrift.Calls<UsersClient>>() {}
 *
 * const UsersLive = Thrift.layer(Users, { service: "Users", client: UsersClient, host: "127.0.0.1", port: 9090 })
 *
 * const program = Effect.flatMap(Users, (users) => users.getName(1).pipe(withRpcRetry({ attemptTimeout: "1 second" })))
 *
 * const main = program.pipe(Effect.provide(UsersLive))
 * ```
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <Id, Client extends object>(
  tag: Context.Tag<Id, Calls<Client>>,
  options: Options<Client>
): Layer.Layer<Id> => Layer.scoped(tag, make(options))

const nameOf = (options: Address): string =>
  `${options.tls === undefined ? "" : "tls+"}${
    "path" in options ? `unix:${options.path}` : `thrift://${options.host}:${options.port}`
  }`
