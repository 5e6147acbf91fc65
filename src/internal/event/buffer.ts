/**
 * A bounded buffer between a call and a reader of its events. Writing never waits: when the buffer is full the oldest
 * event is dropped.
 *
 * @internal
 */
import type { RetryEvent } from "./event.js"

/**
 * The capacity of a buffer in events, where no other is given.
 *
 * @internal
 */
export const defaultCapacity = 1024

/**
 * A bounded buffer of events.
 *
 * @internal
 */
export interface EventBuffer {
  /** Adds an event, and drops the oldest one when the buffer is full. */
  readonly push: (event: RetryEvent) => void
  /** Empties the buffer and returns its events in order, after an `EventsDropped` if any were dropped. */
  readonly takeAll: () => ReadonlyArray<RetryEvent>
}

/**
 * Makes an empty buffer for up to `capacity` events.
 *
 * @internal
 */
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
