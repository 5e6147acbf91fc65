/**
 * The budget of extra legs. Each first leg earns a share of an extra one, and each extra leg costs one. It starts empty
 * and never falls below zero, so at every instant the extra legs so far are at most that share of the first legs so
 * far, however slow the server is.
 *
 * @internal
 */

/**
 * The most extra legs that can be saved up: what a client adds at most when its server suddenly slows down. Where legs
 * come due as often as they are earned, about (1 - share) / (2 x capacity) of what is earned is lost because it is
 * full: a fortieth.
 */
const capacity = 20

/** Allows for rounding: in binary floating point twenty credits of 0.05 may add up to slightly less than 1. */
const tolerance = 1e-9

/** @internal */
export class Load {
  private readonly capacity: number
  private saved: number

  /** - `share`: the extra legs per first leg, as in 0.05; `Infinity` for as many as are due. */
  constructor(private readonly share: number) {
    this.capacity = share === Infinity ? Infinity : capacity
    this.saved = share === Infinity ? Infinity : 0
  }

  /** The extra legs that may start now, with a fraction, from 0 to 20; `Infinity` for a share without bound. */
  get level(): number {
    return Math.round(this.saved * 1e9) / 1e9
  }

  /** Records a first leg. */
  earn(): void {
    this.saved = Math.min(this.capacity, this.saved + this.share)
  }

  /** Pays for an extra leg. Returns `false`, and takes nothing, when there is not enough. */
  take(): boolean {
    if (this.saved < 1 - tolerance) {
      return false
    }
    this.saved = Math.max(0, this.saved - 1)
    return true
  }

  /** Returns the cost of an extra leg that was turned away before anything was sent. */
  refund(): void {
    this.saved = Math.min(this.capacity, this.saved + 1)
  }
}
