/**
 * The connections to one origin, and the requests that wait for one. When one connection fails, all of them are
 * dropped.
 *
 * Each connection is a `Client` of undici with at most one request. undici's `Pool` is not used: it loses a client
 * whose dial failed, and a request that waits in it costs a dial even after it was given up.
 *
 * @internal
 */
import type * as Undici from "@effect/platform-node/Undici"
import undici from "@effect/platform-node/Undici"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Net from "node:net"
import * as Classify from "../../../Classify.js"
import type { Status } from "../../../Connections.js"
import * as Deadline from "../../../Deadline.js"
import { Fatal } from "../../../RpcError.js"
import { Pool, StallDetector } from "../../connection/pool.js"

/** @internal */
export interface Options extends Omit<Undici.Client.Options, "allowH2" | "pipelining"> {
  readonly connections?: number | null | undefined
}

/**
 * The key, among the options that undici passes on to the dispatcher, of the progress that is asked before a request is
 * written.
 *
 * @internal
 */
export const progressKey = Symbol("effect-rpc-retry/HttpPool/progress")

/** @internal */
export type Handler = Undici.Dispatcher.DispatchHandler

type Controller = Undici.Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Handler["onResponseStart"]>>[2]

/** The methods of a handler, which undici's types leave out. */
const Decorator = undici.DecoratorHandler as unknown as new(handler: Handler) => {
  onRequestStart(controller: Controller, context: unknown): void
  onRequestUpgrade(controller: Controller, ...rest: ReadonlyArray<unknown>): void
  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void
  onResponseEnd(controller: Controller, trailers: Headers): void
  onResponseError(controller: Controller | undefined, error: Error): void
}

/** Returns whether an error is of the connection, not of the request. */
const isConnectionFailure = (error: unknown): boolean => Option.isSome(Classify.systemError(error))

const isGivenUp = (error: unknown): boolean => Option.isSome(Classify.aborted(error))

/**
 * Returns whether the body that the caller was sending failed, not the connection. The body has that error before the
 * request has.
 */
const isOfBody = (body: unknown, error: unknown): boolean =>
  Predicate.hasProperty(body, "errored") && body.errored === error

/**
 * Returns the error of requests in a closed pool. undici fails connections that were given up with the same error, so
 * only the pool can tell them apart.
 *
 * @internal
 */
export const poolClosed = (): Fatal => {
  const cause = new undici.errors.ClientDestroyedError()
  return new Fatal({ reason: "Cancelled", code: cause.code, message: "the client is closed", cause })
}

/** A request, from when it is made until its answer has ended or it has failed. @internal */
export class PendingRequest extends Decorator {
  /** The connection that it was sent on; `undefined` while it waits, and once it is over. */
  connection: PooledConnection | undefined = undefined
  /** Whether undici is taking it just now. */
  sending = false
  /** When it was sent, in milliseconds of the monotonic clock. */
  sentAt = 0
  /** How many answers of the origin had begun when it was sent. */
  answers = 0
  private readonly signal: AbortSignal | undefined
  readonly progress: Deadline.Progress | undefined

  constructor(
    readonly options: Undici.Dispatcher.DispatchOptions,
    private readonly handler: Handler,
    private readonly origin: Origin
  ) {
    super(handler)
    const { signal } = options as Undici.Dispatcher.RequestOptions
    this.signal = signal instanceof AbortSignal ? signal : undefined
    this.progress = (options as { readonly [progressKey]?: Deadline.Progress })[progressKey]
  }

  /**
   * Starts the request. Listens to its signal until it is written: undici looks at the signal only when it is about to
   * write, and then gives up the connection too.
   */
  begin(): void {
    if (this.signal?.aborted === true) {
      this.giveUp()
    } else {
      this.signal?.addEventListener("abort", this.giveUp)
      this.origin.send(this)
    }
  }
  private readonly giveUp = (): void => {
    const reason: unknown = this.signal?.reason
    const error = reason instanceof Error ? reason : new undici.errors.RequestAbortedError()
    if (this.connection === undefined) {
      this.onResponseError(undefined, error)
    } else {
      void this.connection.destroy(error)
    }
  }
  private unwatch(): void {
    this.signal?.removeEventListener("abort", this.giveUp)
  }

  override onRequestStart(controller: Controller, context: unknown): void {
    this.unwatch()
    // undici writes the request right after this
    if (this.progress?.sending() === false) {
      controller.abort(new undici.errors.RequestAbortedError())
    } else {
      super.onRequestStart(controller, context)
    }
  }
  override onRequestUpgrade(controller: Controller, ...rest: ReadonlyArray<unknown>): void {
    this.origin.upgraded(this)
    super.onRequestUpgrade(controller, ...rest)
  }
  override onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void {
    this.origin.heard()
    if (status < 200) {
      // a decorator accepts one answer, but there may be many interim ones
      new Decorator(this.handler).onResponseStart(controller, status, headers, message)
    } else {
      super.onResponseStart(controller, status, headers, message)
    }
  }
  override onResponseEnd(controller: Controller, trailers: Headers): void {
    this.origin.ended(this)
    super.onResponseEnd(controller, trailers)
  }
  override onResponseError(controller: Controller | undefined, error: Error): void {
    this.unwatch()
    // release the connection first: the handler may send again at once
    this.origin.failed(this, error)
    super.onResponseError(controller, error)
  }
}

type Connector = Undici.buildConnector.connector

/** One connection, or the dial for it, with at most one request. */
class PooledConnection {
  request: PendingRequest | undefined = undefined
  /** Whether it takes no more requests. The one that it has, if any, is finished. */
  dropped = false
  private readonly client: Undici.Client
  private dial: Net.Socket | undefined = undefined

  constructor(private readonly origin: Origin, private readonly connector: Connector, options: Options) {
    const connect: Connector = (target, callback) => this.connect(target, callback)
    this.client = new undici.Client(origin.name, { ...options, connect, pipelining: 1, allowH2: false })
    this.client.on("disconnect", () => origin.disconnected(this))
    this.client.on("connectionError", (_origin, _targets, error) => {
      origin.failedDials++
      // do not dial again: retries are up to the caller
      void this.destroy(error)
    })
  }

  get connected(): boolean {
    return this.client.stats.connected
  }

  send(request: PendingRequest): void {
    this.request = request
    request.connection = this
    request.sending = true
    this.client.dispatch(request.options, request as Handler)
    request.sending = false
  }

  close(closed: () => void): void {
    this.dropped = true
    this.client.close(closed)
  }

  /** Closes the connection, or the socket of a dial, which undici does not know before it is connected. */
  destroy(error: Error): Promise<unknown> {
    const { dial } = this
    const ended = dial === undefined || dial.closed
      ? undefined
      : new Promise((resolve) => dial.on("error", () => {}).once("close", resolve).destroy(error))
    return Promise.all([ended, this.client.destroy(error)])
  }

  private connect(target: Undici.buildConnector.Options, callback: Undici.buildConnector.Callback): void {
    this.origin.dials++
    let done = false
    // undici's connector returns the socket, which its type hides; a custom one may not
    const dial = (this.connector as (...args: Parameters<Connector>) => unknown)(target, (...result) => {
      done = true
      this.dial = undefined
      callback(...result)
    })
    if (!done && dial instanceof Net.Socket) {
      this.dial = dial
    }
  }
}

/** @internal */
export interface Shared {
  readonly options: Options
  readonly clock: Clock.Clock
}

const connectorOf = (
  { autoSelectFamily, autoSelectFamilyAttemptTimeout, connect, connectTimeout, socketPath }: Options
) =>
  typeof connect === "function" ? connect : undici.buildConnector({
    socketPath,
    timeout: connectTimeout,
    ...(autoSelectFamily === undefined ? {} : { autoSelectFamily, autoSelectFamilyAttemptTimeout }),
    ...connect,
    allowH2: false
  } as Undici.buildConnector.BuildOptions)

/** @internal */
export class Origin {
  readonly scope = Effect.runSync(Scope.make())
  dials = 0
  failedDials = 0
  /** How many answers have begun. */
  private answers = 0
  private readonly stall = new StallDetector()
  /** All connections that are not closed yet, also dropped ones that still have a request in flight. */
  private readonly connections = new Set<PooledConnection>()
  private readonly connector: Connector
  private readonly pool = new Pool<PooledConnection, PendingRequest>({
    open: () => this.open(),
    isReady: (connection) => connection.connected,
    grant: (connection, request) => {
      request.answers = this.answers
      request.sentAt = Deadline.unsafeNow(this.shared.clock)
      connection.send(request)
    }
  })

  constructor(readonly name: string, private readonly shared: Shared) {
    this.connector = connectorOf(shared.options)
  }

  /** Whether nothing waits and all connections, if any, are being closed. */
  get unused(): boolean {
    const closing = Array.from(this.connections).every((connection) =>
      connection.dropped && connection.request === undefined
    )
    return closing && this.pool.queued === 0
  }

  get status(): Status {
    const { dials, failedDials, name } = this
    const connections = Array.from(this.connections).filter((connection) => !connection.dropped)
    const state = connections.some((connection) => connection.connected)
      ? "ready"
      : connections.length > 0 || this.pool.queued > 0
      ? "connecting"
      : "idle"
    return { name, state, dials, failedDials }
  }

  send(request: PendingRequest): void {
    if (!this.pool.join(request)) {
      request.progress?.failed(`all ${this.connections.size} connections to ${this.name} are in use`)
    }
  }

  heard(): void {
    this.answers++
    this.stall.reset()
  }

  ended(request: PendingRequest): void {
    const connection = this.detach(request)
    if (connection?.dropped === false) {
      this.pool.release(connection)
    }
  }

  /** Ends the request of a connection that the caller has taken over. */
  upgraded(request: PendingRequest): void {
    const connection = this.detach(request)
    if (connection !== undefined) {
      this.discard(connection)
    }
  }

  failed(request: PendingRequest, error: Error): void {
    this.pool.leave(request)
    const connection = this.detach(request)
    if (connection === undefined) {
      return
    }
    if (request.sending) {
      // undici refused it before it got to the connection; the loop that grants connections goes on
      return this.pool.put(connection)
    }
    // a failure on a connection that was dropped before says nothing of the others, which are newer
    const accuses = !connection.dropped && this.accuses(request, error)
    this.discard(connection)
    if (accuses) {
      this.drop()
    }
    this.pool.serve()
  }

  disconnected(connection: PooledConnection): void {
    if (connection.request === undefined) {
      this.discard(connection)
    }
  }

  destroy(): Promise<unknown> {
    const error = poolClosed()
    const connections = Array.from(this.connections)
    this.pool.waiting.forEach((request) => request.onResponseError(undefined, error))
    return Promise.all(connections.map((connection) => connection.destroy(error)))
  }

  private open(): PooledConnection | undefined {
    const { connections } = this.shared.options
    if (this.connections.size >= (connections ?? Infinity)) {
      return undefined
    }
    const connection = new PooledConnection(this, this.connector, this.shared.options)
    this.connections.add(connection)
    return connection
  }

  private detach(request: PendingRequest): PooledConnection | undefined {
    const { connection } = request
    request.connection = undefined
    if (connection !== undefined) {
      connection.request = undefined
    }
    return connection
  }

  /** Closes a connection. It counts until its socket is closed: the server may limit connections too. */
  private discard(connection: PooledConnection): void {
    connection.dropped = true
    this.pool.remove(connection)
    void connection.destroy(new undici.errors.ClientDestroyedError()).then(() => this.forget(connection))
  }

  private forget(connection: PooledConnection): void {
    if (this.connections.delete(connection)) {
      this.pool.serve()
    }
  }

  /** Returns whether a failed request shows that the other connections may be broken too. */
  private accuses(request: PendingRequest, error: Error): boolean {
    if (isConnectionFailure(error)) {
      return !isOfBody(request.options.body, error)
    }
    // an answer to any request since it was sent shows that the origin is there
    return isGivenUp(error) && request.answers === this.answers &&
      this.stall.gaveUp(Deadline.unsafeNow(this.shared.clock) - request.sentAt)
  }

  /** Drops all connections: idle ones close at once, the others when their request has ended. */
  private drop(): void {
    this.stall.reset()
    this.connections.forEach((connection) => {
      if (!connection.dropped) {
        this.pool.remove(connection)
        connection.close(() => this.discard(connection))
      }
    })
  }
}
