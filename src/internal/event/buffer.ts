/**
 * Events that wait for a reader. Writing never waits: what does not fit pushes out the oldest.
 *
 * @internal
 */
import type { RetryEvent } from "./event.js"

/** @internal */
export const defaultCapacity = 1024

/** @internal */
export interface EventBuffer {
  readonly push: (event: RetryEvent) => void
  /** All that wait, in order, and before them how many were pushed out. */
  readonly takeAll: () => ReadonlyArray<RetryEvent>
}

/** @internal */
export const make = (capacity: number): EventBuffer => {
  let slots: Array<RetryEvent> = []
  let oldest = 0
  let dropped = 0
  return {
    push(event) {
      if (slots.length < capacity) {
        slots.push(event)
      } else {
        slots[oldest] = event
        oldest = (oldest + 1) % capacity
        dropped++
      }
    },
    takeAll() {
      const inOrder = [...slots.slice(oldest), ...slots.slice(0, oldest)]
      const events: ReadonlyArray<RetryEvent> = dropped === 0
        ? inOrder
        : [{ _tag: "EventsDropped", count: dropped }, ...inOrder]
      slots = []
      oldest = 0
      dropped = 0
      return events
    }
  }
}
