/**
 * An estimate of how long attempts of a method take, in about 2 kB. Each operation is one synchronous step. Durations
 * and instants are in milliseconds of the monotonic clock.
 *
 * An attempt that was cancelled before its answer is a censored sample: it would have taken at least that long. Left
 * out, or counted as if it had been answered, such samples make the estimate too short, because the slow attempts are
 * the ones that are cancelled. The quantile is therefore the one of the Kaplan-Meier estimator, which uses both kinds.
 *
 * @internal
 */

/** The number of buckets of a histogram. */
const buckets = 128

/** The ratio of the bounds of a bucket: the last one ends at 0.5 x 1.1^128, about 99 seconds. */
const growth = Math.log(1.1)

/** The upper bound of the first bucket is this times 1.1. */
const shortest = 0.5

/** The time after which samples start to be forgotten. */
const windowMillis = 30_000

/** The samples in the tail, beyond the quantile, that a window has to expect. */
const tailSamples = 5

const bucketOf = (millis: number): number =>
  millis <= shortest ? 0 : Math.min(buckets - 1, Math.floor(Math.log(millis / shortest) / growth))

/** Returns the duration at a position within a bucket, from 0 to 1. */
const durationAt = (bucket: number, position: number): number => shortest * Math.exp((bucket + position) * growth)

/** Counts of samples for each bucket: those that were answered, then those that were cancelled. */
interface Histogram {
  readonly counts: Uint32Array
  samples: number
}

const makeHistogram = (): Histogram => ({ counts: new Uint32Array(2 * buckets), samples: 0 })

/**
 * The estimate of one quantile of the latencies of one method.
 *
 * @internal
 */
export class Latency {
  private current = makeHistogram()
  private previous = makeHistogram()
  private currentSince: number | undefined
  private estimate: number | undefined
  private samplesSinceEstimate = 0
  private readonly minimumSamples: number

  /** - `quantile`: between 0 and 1, as in 0.95. */
  constructor(private readonly quantile: number) {
    // rounded, as 5 / (1 - 0.9) is slightly more than 50 in binary floating point
    this.minimumSamples = Math.ceil(tailSamples / (1 - quantile) - 1e-6)
  }

  /** Adds an attempt that was answered after `millis`, or cancelled then. */
  add(now: number, millis: number, isAnswered: boolean): void {
    this.rotate(now)
    this.current.counts[bucketOf(millis) + (isAnswered ? 0 : buckets)]!++
    this.current.samples++
    this.samplesSinceEstimate++
  }

  /** Returns the quantile in milliseconds; `undefined` while there are too few samples for it. */
  value(): number | undefined {
    const samples = this.current.samples + this.previous.samples
    if (samples < this.minimumSamples) {
      return undefined
    }
    // a hundredth more samples hardly change it
    if (this.estimate === undefined || this.samplesSinceEstimate * 100 >= samples) {
      this.estimate = this.kaplanMeier(samples)
      this.samplesSinceEstimate = 0
    }
    return this.estimate
  }

  /**
   * Forgets the previous window when the current one is complete: long enough, and with enough samples, so that the
   * estimate of a method that is called rarely does not disappear.
   */
  private rotate(now: number): void {
    this.currentSince ??= now
    if (now - this.currentSince >= windowMillis && this.current.samples >= this.minimumSamples) {
      const oldest = this.previous
      oldest.counts.fill(0)
      oldest.samples = 0
      this.previous = this.current
      this.current = oldest
      this.currentSince = now
    }
  }

  /** Goes up the buckets until the share of attempts that take longer falls to what the quantile leaves. */
  private kaplanMeier(samples: number): number {
    const wanted = 1 - this.quantile
    let atRisk = samples
    let longer = 1
    let last = 0
    for (let bucket = 0; bucket < buckets && atRisk > 0; bucket++) {
      const answered = this.current.counts[bucket]! + this.previous.counts[bucket]!
      const cancelled = this.current.counts[bucket + buckets]! + this.previous.counts[bucket + buckets]!
      if (answered + cancelled > 0) {
        last = bucket
        // those that were cancelled within the bucket were at risk for half of it
        const after = longer * Math.max(0, 1 - answered / Math.max(answered, atRisk - cancelled / 2))
        if (after <= wanted) {
          const position = after > 0
            ? Math.log(longer / wanted) / Math.log(longer / after)
            : (longer - wanted) / longer
          return durationAt(bucket, position)
        }
        longer = after
        atRisk -= answered + cancelled
      }
    }
    // the attempts beyond were all cancelled: it is at least as long as the longest of them
    return durationAt(last, 1)
  }
}
