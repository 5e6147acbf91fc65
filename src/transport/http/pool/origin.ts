/**
 * The connections to one origin, which are dropped together when one of them fails, and the requests that wait for one.
 *
 * Each connection is a `Client` of undici with at most one request. undici's `Pool` is not used: it loses sight of a client
 * whose dial failed, and a request that waits in it costs a dial after it was given up.
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

/** @internal */
export interface Options extends Omit<Undici.Client.Options, "allowH2" | "pipelining"> {
  readonly connections?: number | null | undefined
}

/**
 * Who is told before a request is written, among the options that undici hands through to the dispatcher.
 *
 * @internal
 */
export const progressKey = Symbol("effect-rpc-retry/HttpPool/progress")

/** @internal */
export type Handler = Undici.Dispatcher.DispatchHandler

type Controller = Undici.Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Handler["onResponseStart"]>>[2]

/** It has the methods of a handler; undici's types leave them out. */
const Decorator = undici.DecoratorHandler as unknown as new(handler: Handler) => {
  onRequestStart(controller: Controller, context: unknown): void
  onRequestUpgrade(controller: Controller, ...rest: ReadonlyArray<unknown>): void
  onResponseStart(controller: Controller, status: number, headers: Headers, message?: string): void
  onResponseEnd(controller: Controller, trailers: Headers): void
  onResponseError(controller: Controller | undefined, error: Error): void
}

/** A request that was wrong says nothing of its connection. */
const isConnectionFailure = (error: unknown): boolean => Option.isSome(Classify.systemError(error))

const isGivenUp = (error: unknown): boolean => Option.isSome(Classify.aborted(error))

/** What the caller was sending failed, not the connection. A body is destroyed for that only after the request was told. */
const isOfBody = (body: unknown, error: unknown): boolean =>
  Predicate.hasProperty(body, "errored") && body.errored === error

/**
 * What ends the requests of a pool that its owner has closed. undici has the same error for a connection that was given up, so
 * nobody else can tell from it.
 *
 * @internal
 */
export const poolClosed = (): Fatal => {
  const cause = new undici.errors.ClientDestroyedError()
  return new Fatal({ reason: "Cancelled", code: cause.code, message: "the client is closed", cause })
}

/** For how long an origin must have left requests without an answer before that is held against its connections. */
const patience = 100

/** A request, from when it is asked for until its end. @internal */
export class Watched extends Decorator {
  /** Where it was sent. Without one it waits, or is over. */
  lane: Lane | undefined = undefined
  /** While undici is being given it. */
  sending = false
  /** When it was sent, and how many answers had begun then. */
  sentAt = 0
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

  /** undici looks at the signal when it would send, and then gives up the connection too. So it is watched until then. */
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
    if (this.lane === undefined) {
      this.onResponseError(undefined, error)
    } else {
      void this.lane.destroy(error)
    }
  }
  private unwatch(): void {
    this.signal?.removeEventListener("abort", this.giveUp)
  }

  override onRequestStart(controller: Controller, context: unknown): void {
    this.unwatch()
    // undici writes it as soon as this is done
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
      // a decorator takes one answer, and there may be many of these before it
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
    // first: who is told of the failure may ask again at once
    this.origin.failed(this, error)
    super.onResponseError(controller, error)
  }
}

type Connector = Undici.buildConnector.connector

/** One connection, or the dial for it, and at most one request. */
class Lane {
  request: Watched | undefined = undefined
  /** It finishes the request that it has, if any, and takes no other. */
  dropped = false
  private readonly client: Undici.Client
  private dial: Net.Socket | undefined = undefined

  constructor(private readonly origin: Origin, private readonly connector: Connector, options: Options) {
    const connect: Connector = (target, callback) => this.connect(target, callback)
    this.client = new undici.Client(origin.name, { ...options, connect, pipelining: 1, allowH2: false })
    this.client.on("disconnect", () => origin.disconnected(this))
    this.client.on("connectionError", (_origin, _targets, error) => {
      origin.failedDials++
      // not again: a retry is the caller's
      void this.destroy(error)
    })
  }

  get connected(): boolean {
    return this.client.stats.connected
  }

  send(request: Watched): void {
    this.request = request
    request.lane = this
    request.sending = true
    this.client.dispatch(request.options, request as Handler)
    request.sending = false
  }

  close(closed: () => void): void {
    this.dropped = true
    this.client.close(closed)
  }

  /** undici does not know of a socket before it is connected. */
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
    // the type hides that undici's gives the socket; a function of the caller may not
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
  /** How long requests have waited that were given up since the last answer, in milliseconds. */
  private waited = 0
  private readonly waiting = new Set<Watched>()
  /** All that are not closed yet, those that were dropped and still have a request in flight included. */
  private readonly lanes = new Set<Lane>()
  private readonly connector: Connector

  constructor(readonly name: string, private readonly shared: Shared) {
    this.connector = connectorOf(shared.options)
  }

  /** All that it has, if anything, is being closed. */
  get unused(): boolean {
    const closing = Array.from(this.lanes).every((lane) => lane.dropped && lane.request === undefined)
    return closing && this.waiting.size === 0
  }

  get status(): Status {
    const { dials, failedDials, name } = this
    const lanes = Array.from(this.lanes).filter((lane) => !lane.dropped)
    const state = lanes.some((lane) => lane.connected)
      ? "ready"
      : lanes.length > 0 || this.waiting.size > 0
      ? "connecting"
      : "idle"
    return { name, state, dials, failedDials }
  }

  send(request: Watched): void {
    this.waiting.add(request)
    this.pump()
    if (this.waiting.has(request)) {
      request.progress?.failed(`all ${this.lanes.size} connections to ${this.name} are in use`)
    }
  }

  heard(): void {
    this.answers++
    this.waited = 0
  }

  ended(request: Watched): void {
    this.release(request)
    this.pump()
  }

  /** The connection is the caller's from now on. */
  upgraded(request: Watched): void {
    const lane = this.release(request)
    if (lane !== undefined) {
      this.discard(lane)
    }
  }

  failed(request: Watched, error: Error): void {
    this.waiting.delete(request)
    const lane = this.release(request)
    // one that waits says nothing; what undici refuses never gets to the connection, and the loop that sends it goes on
    if (lane !== undefined && !request.sending) {
      // nor does one of a connection that was dropped already: the others are new
      const accuses = !lane.dropped && this.accuses(request, error)
      this.discard(lane)
      if (accuses) {
        this.drop()
      }
      this.pump()
    }
  }

  disconnected(lane: Lane): void {
    if (lane.request === undefined) {
      this.discard(lane)
    }
  }

  destroy(): Promise<unknown> {
    const error = poolClosed()
    const lanes = Array.from(this.lanes)
    this.waiting.forEach((request) => request.onResponseError(undefined, error))
    return Promise.all(lanes.map((lane) => lane.destroy(error)))
  }

  private pump(): void {
    for (const request of this.waiting) {
      const lane = this.free()
      if (lane === undefined) {
        return
      }
      this.waiting.delete(request)
      request.answers = this.answers
      request.sentAt = Deadline.unsafeNow(this.shared.clock)
      lane.send(request)
    }
  }

  private free(): Lane | undefined {
    for (const lane of this.lanes) {
      if (lane.request === undefined && !lane.dropped) {
        return lane
      }
    }
    const { connections } = this.shared.options
    return this.lanes.size < (connections ?? Infinity) ? this.open() : undefined
  }

  private open(): Lane {
    const lane = new Lane(this, this.connector, this.shared.options)
    this.lanes.add(lane)
    return lane
  }

  private release(request: Watched): Lane | undefined {
    const { lane } = request
    request.lane = undefined
    if (lane !== undefined) {
      lane.request = undefined
    }
    return lane
  }

  /** It counts until its socket is closed: a server may have a limit too. */
  private discard(lane: Lane): void {
    lane.dropped = true
    void lane.destroy(new undici.errors.ClientDestroyedError()).then(() => this.forget(lane))
  }

  private forget(lane: Lane): void {
    if (this.lanes.delete(lane)) {
      this.pump()
    }
  }

  private accuses(request: Watched, error: Error): boolean {
    if (isConnectionFailure(error)) {
      return !isOfBody(request.options.body, error)
    }
    if (!isGivenUp(error) || request.answers !== this.answers) {
      return false
    }
    // no one has had an answer since it was sent: the connections may lead nowhere
    this.waited += Deadline.unsafeNow(this.shared.clock) - request.sentAt
    return this.waited >= patience
  }

  /** What is in flight ends as it would have; what is idle is closed at once. */
  private drop(): void {
    this.waited = 0
    this.lanes.forEach((lane) => {
      if (!lane.dropped) {
        lane.close(() => this.discard(lane))
      }
    })
  }
}
