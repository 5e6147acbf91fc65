/**
 * A pool of connections each of which serves one request at a time: the list of idle ones, the queue of those that wait
 * for one, and the detection of a peer that stopped answering without closing anything.
 *
 * @internal
 */

import { FairQueue } from "../../internal/gate/fairQueue.js"

/**
 * How a {@link Pool} handles its connections.
 *
 * @internal
 */
export interface PoolOptions<C, W> {
  /** Opens one more connection; returns `undefined` when there are as many as allowed. */
  readonly open: () => C | undefined
  /** Returns whether a connection can take a request without a dial. Such connections are preferred. */
  readonly isReady: (connection: C) => boolean
  /** Hands a connection to a waiter. It belongs to the waiter until it is released or removed. */
  readonly grant: (connection: C, waiter: W) => void
}

/**
 * Hands out connections, each to one waiter at a time. The connection used last is taken first, so that those that are
 * not needed stay idle and can be closed. Waiters are served in the order in which they came.
 *
 * @internal
 */
export class Pool<C, W> {
  private readonly free: Array<C> = []
  private readonly queue = new FairQueue<W>()

  constructor(private readonly options: PoolOptions<C, W>) {}

  /** The idle connections, the one used last at the end. */
  get idle(): ReadonlyArray<C> {
    return this.free
  }

  /** The waiters, oldest first. */
  get waiting(): ReadonlyArray<W> {
    return this.queue.all()
  }

  /** The number of waiters. */
  get queued(): number {
    return this.queue.size
  }

  /** Asks for a connection. Returns whether one was granted at once; otherwise the waiter is in the queue. */
  join(waiter: W): boolean {
    this.queue.join(waiter)
    this.serve()
    return !this.queue.has(waiter)
  }

  /** Removes a waiter that gave up. */
  leave(waiter: W): void {
    this.queue.leave(waiter)
  }

  /** Returns a connection to the pool: the oldest waiter gets it, or it becomes idle. */
  release(connection: C): void {
    this.put(connection)
    this.serve()
  }

  /** Makes a connection idle without serving anyone. For use inside `grant`, whose caller serves the next waiter. */
  put(connection: C): void {
    this.free.push(connection)
  }

  /** Removes a connection from the idle ones, if it is there. */
  remove(connection: C): void {
    const at = this.free.indexOf(connection)
    if (at >= 0) {
      this.free.splice(at, 1)
    }
  }

  /** Serves waiters while there is a connection, or one more may be opened. */
  serve(): void {
    while (this.queue.size > 0) {
      const connection = this.take() ?? this.options.open()
      if (connection === undefined) {
        return
      }
      this.options.grant(connection, this.queue.poll()!)
    }
  }

  private take(): C | undefined {
    // -1, the last one, when none is ready
    return this.free.splice(this.free.findLastIndex(this.options.isReady), 1)[0]
  }
}

/**
 * How long requests must have waited in vain, added up, before the peer counts as stalled, in milliseconds. Less is an
 * impatient caller rather than a silent peer.
 */
const stallAfter = 100

/**
 * Detects a peer behind a network that drops packets: no connection to it ever breaks, and only requests that are given
 * up without an answer show it.
 *
 * @internal
 */
export class StallDetector {
  /** How long requests have waited that were given up since the peer was last heard, in milliseconds. */
  private waited = 0

  /** Starts over: the peer sent something, or its connections were dropped. */
  reset(): void {
    this.waited = 0
  }

  /** Adds the wait of a request that was given up, in milliseconds. Returns whether the peer counts as stalled now. */
  gaveUp(millis: number): boolean {
    this.waited += millis
    return this.waited >= stallAfter
  }
}
