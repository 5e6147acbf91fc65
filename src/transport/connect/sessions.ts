/**
 * The HTTP/2 connections of a Connect transport to one server.
 *
 * Replaces `Http2SessionManager` of `@connectrpc/connect-node`: that one has no listener for errors while a connection
 * is made and after it was closed, so that such an error ends the process, and it does not tell which requests a server
 * has not processed.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Http2 from "node:http2"
import { unsafeNow } from "../../Deadline.js"

/** The limits of a connection, in milliseconds; `Infinity` for none. `ConnectNode.Options` documents them. @internal */
export interface Limits {
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  readonly pingIdleConnection: boolean
  readonly idleConnectionTimeoutMs: number
  readonly connectTimeoutMs: number
}

/** @internal */
export type SessionOptions = Http2.ClientSessionOptions | Http2.SecureClientSessionOptions

/** The longest timer of Node, in milliseconds. A longer one would end at once. */
const maxTimer = 0x7fff_ffff

const clock = Clock.make()

/** One connection, with the requests on it. @internal */
export class Http2Connection {
  /** The last stream that the server will process, once it has sent GOAWAY. */
  lastStreamId: number | undefined
  private isRetired = false
  private readonly streams = new Set<Http2.ClientHttp2Stream>()
  /** When the last request ended, in milliseconds of the monotonic clock. */
  private quietSince = unsafeNow(clock)
  private isPinging = false
  private verification: Promise<boolean> | undefined

  constructor(readonly session: Http2.ClientHttp2Session, private readonly limits: Limits) {
    session.on("goaway", (code, lastStreamId) => this.onGoaway(code, lastStreamId))
    session.on("timeout", () => this.onQuiet())
    session.setTimeout(limits.connectTimeoutMs > maxTimer ? 0 : limits.connectTimeoutMs)
  }

  /** Returns whether it takes requests. */
  get isOpen(): boolean {
    return !this.isRetired && this.lastStreamId === undefined && !this.session.closed && !this.session.destroyed
  }

  /** Called when the connection is established. From then on it does not keep the process running while it is idle. */
  opened(): void {
    this.session.unref()
    this.quietSince = unsafeNow(clock)
    this.watch()
  }

  /** Counts a request until its stream is closed. */
  add(stream: Http2.ClientHttp2Stream): void {
    this.streams.add(stream)
    if (this.streams.size === 1) {
      this.session.ref()
      this.watch()
    }
    stream.once("close", () => {
      this.streams.delete(stream)
      this.quietSince = unsafeNow(clock)
      if (this.streams.size > 0 || this.session.destroyed) {
        return
      }
      if (this.isOpen) {
        this.session.unref()
        this.watch()
      } else {
        this.session.destroy()
      }
    })
  }

  /**
   * Pings the server before a request on a connection that was quiet for longer than `pingIntervalMs`: a router may
   * have dropped it without notice. Returns whether it is alive.
   */
  verified(): Promise<boolean> {
    if (unsafeNow(clock) - this.quietSince <= this.limits.pingIntervalMs || this.streams.size > 0) {
      return Promise.resolve(true)
    }
    this.verification ??= new Promise<boolean>((resolve) => {
      this.session.once("close", () => resolve(false))
      // a request waits for the answer
      this.session.ref()
      this.ping(() => {
        if (this.streams.size === 0) {
          this.session.unref()
        }
        this.verification = undefined
        this.quietSince = unsafeNow(clock)
        resolve(true)
      })
    })
    return this.verification
  }

  /** Takes no more requests; those in flight go on. */
  retire(): void {
    this.isRetired = true
  }

  /** Closes it, with the requests on it. */
  end(): void {
    this.session.destroy(undefined, Http2.constants.NGHTTP2_CANCEL)
  }

  private onGoaway(code: number, lastStreamId: number): void {
    this.lastStreamId = lastStreamId
    if (code !== Http2.constants.NGHTTP2_NO_ERROR) {
      return
    }
    if (this.streams.size === 0) {
      this.session.destroy()
    }
    // Node does not end the streams that the server will not process
    this.streams.forEach((stream) => {
      if (stream.id !== undefined && stream.id > lastStreamId) {
        stream.destroy()
      }
    })
  }

  /** Sets the timer of the session. It restarts with every byte, and does not keep the process running. */
  private watch(): void {
    const { idleConnectionTimeoutMs, pingIdleConnection, pingIntervalMs } = this.limits
    const millis = this.streams.size > 0
      ? pingIntervalMs
      : Math.min(idleConnectionTimeoutMs, pingIdleConnection ? pingIntervalMs : Infinity)
    this.session.setTimeout(millis > maxTimer ? 0 : millis)
  }

  private onQuiet(): void {
    if (this.session.connecting || this.isPinging) {
      this.end()
    } else if (this.streams.size === 0 && unsafeNow(clock) - this.quietSince >= this.limits.idleConnectionTimeoutMs) {
      this.session.close()
    } else {
      this.ping(() => {})
    }
  }

  private ping(onAnswer: () => void): void {
    this.isPinging = true
    this.session.setTimeout(this.limits.pingTimeoutMs)
    this.session.ping((error) => {
      // on an error the connection is gone, and the listener of `close` handles that
      if (error === null) {
        this.isPinging = false
        this.watch()
        onAnswer()
      }
    })
  }
}

/** The connections to one authority: the current one, and those that finish their requests. @internal */
export class Sessions {
  private readonly connections = new Set<Http2Connection>()
  private current: Promise<Http2Connection> | undefined

  constructor(
    readonly authority: string,
    private readonly limits: Limits,
    private readonly options: SessionOptions | undefined
  ) {}

  /** Returns a connection that takes requests. Dials if there is none; callers share one dial. */
  acquire(): Promise<Http2Connection> {
    const current = this.current ??= this.dial()
    return current.then((connection) =>
      connection.isOpen
        ? connection.verified().then((isAlive) => isAlive && connection.isOpen ? connection : this.without(current))
        : this.without(current)
    )
  }

  /** Closes all connections, with the requests on them. The next request dials anew. */
  abort(): void {
    this.current = undefined
    this.connections.forEach((connection) => connection.end())
  }

  private without(connection: Promise<Http2Connection>): Promise<Http2Connection> {
    this.forget(connection)
    return this.acquire()
  }

  private forget(connection: Promise<Http2Connection>): void {
    if (this.current === connection) {
      this.current = undefined
    }
  }

  private dial(): Promise<Http2Connection> {
    const dialled: Promise<Http2Connection> = new Promise((resolve, reject) => {
      const session = Http2.connect(this.authority, this.options)
      const connection = new Http2Connection(session, this.limits)
      this.connections.add(connection)
      // never removed: an error without a listener ends the process
      session.on("error", reject)
      session.on("close", () => {
        this.connections.delete(connection)
        this.forget(dialled)
        reject(Object.assign(new Error("the connection was closed before it was made"), { code: "ECONNABORTED" }))
      })
      session.once("connect", () => {
        connection.opened()
        resolve(connection)
      })
    })
    dialled.catch(() => this.forget(dialled))
    return dialled
  }
}
