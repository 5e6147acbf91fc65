/**
 * A fair queue of permits: first come, first served, and who does not want to wait any more leaves no trace.
 *
 * Effect 3's `Semaphore` is not that: each release wakes all that wait, and the oldest of them may get nothing.
 *
 * @internal
 */

/**
 * A place in the queue. The queue links the places to each other, so that any of them is taken out in one step.
 *
 * @internal
 */
export class Waiter {
  /** Where it stands: not in the queue yet, in it, in possession of a permit, or gone without one. */
  state: "New" | "Waiting" | "Granted" | "Gone" = "New"
  previous: Waiter | undefined = undefined
  next: Waiter | undefined = undefined
  /** Called when its wait ends: it was granted a permit, or its time is over. Not when it leaves by itself. */
  wake: () => void = () => {}
}

/** @internal */
export class Permits {
  private first: Waiter | undefined = undefined
  private last: Waiter | undefined = undefined
  private held = 0
  private queued = 0

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
    return this.queued
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
    if (this.queued >= this.capacity) {
      return false
    }
    waiter.state = "Waiting"
    waiter.previous = this.last
    if (this.last === undefined) {
      this.first = waiter
    } else {
      this.last.next = waiter
    }
    this.last = waiter
    this.queued++
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
    while (this.first !== undefined && this.held < this.size) {
      this.grant()
    }
  }

  private grant(): void {
    const waiter = this.first
    if (waiter !== undefined && this.held < this.size) {
      this.held++
      this.unlink(waiter)
      waiter.state = "Granted"
      waiter.wake()
    }
  }

  /** Whether it was in the queue. */
  private remove(waiter: Waiter): boolean {
    if (waiter.state !== "Waiting") {
      return false
    }
    this.unlink(waiter)
    waiter.state = "Gone"
    return true
  }

  private unlink(waiter: Waiter): void {
    const { next, previous } = waiter
    if (previous === undefined) {
      this.first = next
    } else {
      previous.next = next
    }
    if (next === undefined) {
      this.last = previous
    } else {
      next.previous = previous
    }
    waiter.previous = undefined
    waiter.next = undefined
    this.queued--
  }
}
