/**
 * A first-in, first-out queue whose members may leave from any place.
 *
 * @internal
 */

/** The place of a waiter. @internal */
export interface Node<W> {
  readonly waiter: W
  previous: Node<W> | undefined
  next: Node<W> | undefined
}

/**
 * A queue of waiters, each in it at most once. Every operation but `all` takes the same few steps however many wait.
 *
 * @internal
 */
export class FairQueue<W> {
  private first: Node<W> | undefined
  private last: Node<W> | undefined

  /** - `nodes`: where the queue finds the places of its waiters. */
  constructor(private readonly nodes: Map<W, Node<W>> = new Map()) {}

  /** The number of waiters. */
  get size(): number {
    return this.nodes.size
  }

  /** Returns whether a waiter is in the queue. */
  has(waiter: W): boolean {
    return this.nodes.has(waiter)
  }

  /** Adds a waiter at the end. */
  join(waiter: W): void {
    const node: Node<W> = { waiter, previous: this.last, next: undefined }
    this.nodes.set(waiter, node)
    if (this.last === undefined) {
      this.first = node
    } else {
      this.last.next = node
    }
    this.last = node
  }

  /** Removes a waiter. Returns whether it was in the queue. */
  leave(waiter: W): boolean {
    const node = this.nodes.get(waiter)
    if (node === undefined) {
      return false
    }
    this.nodes.delete(waiter)
    const { next, previous } = node
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
    return true
  }

  /** Removes the oldest waiter and returns it; returns `undefined` when there is none. */
  poll(): W | undefined {
    const waiter = this.first?.waiter
    if (waiter !== undefined) {
      this.leave(waiter)
    }
    return waiter
  }

  /** Returns the waiters, oldest first. */
  all(): ReadonlyArray<W> {
    const waiters: Array<W> = []
    for (let node = this.first; node !== undefined; node = node.next) {
      waiters.push(node.waiter)
    }
    return waiters
  }
}
