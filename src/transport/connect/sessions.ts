/**
 * The HTTP/2 connections of a Connect transport to one server.
 *
 * `Http2SessionManager` of `@connectrpc/connect-node` does not fit: it leaves a connection without a listener for errors while it
 * is made and when it has gone, so that Node ends the process, and it tells nobody which requests a server has not looked at.
 *
 * @internal
 */
import * as Clock from "effect/Clock"
import * as Http2 from "node:http2"
import { unsafeNow } from "../../Deadline.js"

/** In milliseconds. `Infinity` is never. @internal */
export interface Limits {
  readonly pingIntervalMs: number
  readonly pingTimeoutMs: number
  readonly pingIdleConnection: boolean
  readonly idleConnectionTimeoutMs: number
  readonly connectTimeoutMs: number
}

/** @internal */
export type SessionOptions = Http2.ClientSessionOptions | Http2.SecureClientSessionOptions

/** More than a timer of Node can wait: it would end at once. */
const maxTimer = 0x7fff_ffff

const clock = Clock.make()

/** One connection. @internal */
export class Line {
  /** The last stream that the server looks at, once it has said that it takes no more. */
  lastStreamId: number | undefined
  private isRetired = false
  private readonly streams = new Set<Http2.ClientHttp2Stream>()
  private quietSince = unsafeNow(clock)
  private isPinging = false
  private verification: Promise<boolean> | undefined

  constructor(readonly session: Http2.ClientHttp2Session, private readonly limits: Limits) {
    session.on("goaway", (code, lastStreamId) => this.onGoaway(code, lastStreamId))
    session.on("timeout", () => this.onQuiet())
    session.setTimeout(limits.connectTimeoutMs > maxTimer ? 0 : limits.connectTimeoutMs)
  }

  /** Whether it takes requests. */
  get isOpen(): boolean {
    return !this.isRetired && this.lastStreamId === undefined && !this.session.closed && !this.session.destroyed
  }

  /** From when it was made: an idle connection does not keep the process running. */
  made(): void {
    this.session.unref()
    this.quietSince = unsafeNow(clock)
    this.watch()
  }

  /** Counts a request. */
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

  /** A router on the way may have forgotten a quiet connection, and tells nobody: the server is asked before a request. */
  verified(): Promise<boolean> {
    if (unsafeNow(clock) - this.quietSince <= this.limits.pingIntervalMs || this.streams.size > 0) {
      return Promise.resolve(true)
    }
    this.verification ??= new Promise<boolean>((resolve) => {
      this.session.once("close", () => resolve(false))
      this.ping(() => {
        this.verification = undefined
        this.quietSince = unsafeNow(clock)
        resolve(true)
      })
    })
    return this.verification
  }

  /** Takes no more requests: those that are there go on. */
  retire(): void {
    this.isRetired = true
  }

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
    // Node leaves them waiting for an answer
    this.streams.forEach((stream) => {
      if (stream.id !== undefined && stream.id > lastStreamId) {
        stream.destroy()
      }
    })
  }

  /** The timer of Node's sessions starts anew with every byte, and keeps no process running. */
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
      // an error means that the connection has gone, which its other listeners are told
      if (error === null) {
        this.isPinging = false
        this.watch()
        onAnswer()
      }
    })
  }
}

/** @internal */
export class Sessions {
  private readonly lines = new Set<Line>()
  private current: Promise<Line> | undefined

  constructor(
    readonly authority: string,
    private readonly limits: Limits,
    private readonly options: SessionOptions | undefined
  ) {}

  /** A connection that takes requests, made if there is none. Callers that wait share one dial. */
  acquire(): Promise<Line> {
    const current = this.current ??= this.dial()
    return current.then((line) =>
      line.isOpen
        ? line.verified().then((isAlive) => isAlive && line.isOpen ? line : this.without(current))
        : this.without(current)
    )
  }

  /** Ends all connections, with the requests on them. The next request makes a new one. */
  abort(): void {
    this.current = undefined
    this.lines.forEach((line) => line.end())
  }

  private without(line: Promise<Line>): Promise<Line> {
    this.forget(line)
    return this.acquire()
  }

  private forget(line: Promise<Line>): void {
    if (this.current === line) {
      this.current = undefined
    }
  }

  private dial(): Promise<Line> {
    const dialled: Promise<Line> = new Promise((resolve, reject) => {
      const session = Http2.connect(this.authority, this.options)
      const line = new Line(session, this.limits)
      this.lines.add(line)
      // stays for as long as the connection is there: an error that nobody hears ends the process
      session.on("error", reject)
      session.on("close", () => {
        this.lines.delete(line)
        this.forget(dialled)
        reject(Object.assign(new Error("the connection was closed before it was made"), { code: "ECONNABORTED" }))
      })
      session.once("connect", () => {
        line.made()
        resolve(line)
      })
    })
    dialled.catch(() => this.forget(dialled))
    return dialled
  }
}
