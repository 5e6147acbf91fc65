/**
 * A fair queue of permits: first come, first served, and who does not want to wait any more leaves no trace.
 *
 * Effect 3's `Semaphore` is not that: each release wakes all that wait, and the oldest of them may get nothing.
 *
 * @internal
 */
import { FairQueue } from "./fairQueue.js"

/**
 * One that waits for a permit.
 *
 * @internal
 */
export class Waiter {
  /** Not in the queue yet, in it, in possession of a permit, or gone without one. */
  state: "New" | "Waiting" | "Granted" | "Gone" = "New"
  /** Called when its wait ends: it was granted a permit, or its time is over. Not when it leaves by itself. */
  wake: () => void = () => {}
}

/** @internal */
export class Permits {
  private readonly queue = new FairQueue<Waiter>()
  private held = 0

  /**
   * - `size`: how many permits there are, at least 1.
   * - `capacity`: how many can wait for one.
   */
  constructor(private size: number, readonly capacity: number) {}

  /** How many permits there are. */
  get limit(): number {
    return this.size
  }

  /** How many are held. It exceeds {@link limit} for a while after that was lowered. */
  get inFlight(): number {
    return this.held
  }

  /** How many wait for one. */
  get waiting(): number {
    return this.queue.size
  }

  /** Takes a permit, if one is free. None is free while anybody waits. */
  take(): boolean {
    if (this.held >= this.size) {
      return false
    }
    this.held++
    return true
  }

  /** Puts a new waiter at the end of the queue; `false` when the queue is full. */
  join(waiter: Waiter): boolean {
    if (this.queue.size >= this.capacity) {
      return false
    }
    waiter.state = "Waiting"
    this.queue.join(waiter)
    return true
  }

  /** Ends the wait of one whose time is over. It changes nothing for one that has a permit. */
  expire(waiter: Waiter): void {
    if (this.remove(waiter)) {
      waiter.wake()
    }
  }

  /** Takes out one that was interrupted. The permit that it was granted in the meantime, if any, goes back. */
  leave(waiter: Waiter): void {
    if (!this.remove(waiter) && waiter.state === "Granted") {
      waiter.state = "Gone"
      this.release()
    }
  }

  /** Gives a permit back: to whoever waits the longest. */
  release(): void {
    this.held--
    this.grant()
  }

  /** Changes how many permits there are. Those that are held stay; new ones go to those that wait. */
  resize(size: number): void {
    this.size = size
    while (this.queue.size > 0 && this.held < this.size) {
      this.grant()
    }
  }

  private grant(): void {
    const waiter = this.held < this.size ? this.queue.poll() : undefined
    if (waiter !== undefined) {
      this.held++
      waiter.state = "Granted"
      waiter.wake()
    }
  }

  /** Whether it was in the queue. */
  private remove(waiter: Waiter): boolean {
    if (!this.queue.leave(waiter)) {
      return false
    }
    waiter.state = "Gone"
    return true
  }
}
