/**
 * Random times: how long a server works, how long a message travels.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import type { PCGRandom } from "effect/Utils"
import { DurationText } from "../../internal/config/decode.js"
import * as Result from "../../internal/result.js"
import { checkDuration, checkKnown, checkNumber, InvalidOption } from "../../InvalidOption.js"

/**
 * How long something takes: always the same, or drawn anew each time from a distribution.
 *
 * - `exponential`: its mean.
 * - `uniform`: its least and its greatest.
 * - `normal`: its mean and its standard deviation; what would be negative is zero.
 * - `lognormal`: its median, and the standard deviation of its logarithm.
 * - `collapse`: `base`, and `perRequest` for each request that is in service at that moment. A server whose answers
 *   take the longer the more it has to do.
 *
 * @since 0.1.0
 * @category models
 */
export type Law =
  | Duration.DurationInput
  | {
    /** The mean. */
    readonly exponential: Duration.DurationInput
  }
  | {
    /** The least and the greatest. */
    readonly uniform: readonly [least: Duration.DurationInput, greatest: Duration.DurationInput]
  }
  | {
    /** A bell curve. */
    readonly normal: {
      /** The mean. */
      readonly mean: Duration.DurationInput
      /** The standard deviation. */
      readonly deviation: Duration.DurationInput
    }
  }
  | {
    /** A bell curve of logarithms: most are short, few are very long. */
    readonly lognormal: {
      /** The median. */
      readonly median: Duration.DurationInput
      /** The standard deviation of the logarithm: 1 puts the longest hundredth above ten times the median. */
      readonly sigma: number
    }
  }
  | {
    /** Longer with each request in service. */
    readonly collapse: {
      /** With nothing else in service. */
      readonly base: Duration.DurationInput
      /** In addition, for each other request in service. */
      readonly perRequest: Duration.DurationInput
    }
  }

/**
 * A law that is valid.
 *
 * @internal
 */
export interface Sampler {
  /** Draws a time, in milliseconds. `others`: how many requests are in service. */
  readonly draw: (random: PCGRandom, others: number) => number
  /** The mean of what is drawn with nothing else in service, in milliseconds. */
  readonly mean: number
}

/** A number from a standard bell curve, by Box and Muller. */
const bell = (random: PCGRandom): number =>
  Math.sqrt(-2 * Math.log(1 - random.number())) * Math.cos(2 * Math.PI * random.number())

/**
 * Draws the time to the next event of those that come independently of each other, `mean` apart.
 *
 * @internal
 */
export const exponential = (random: PCGRandom, mean: number): number => -Math.log(1 - random.number()) * mean

/**
 * Checks a time, and returns its milliseconds. Text may have the short units of documents, such as `10s`.
 *
 * @internal
 */
export const millis = (
  where: string,
  field: string,
  input: unknown,
  zero: boolean
): Result.Result<number, InvalidOption> => {
  const short = Predicate.isString(input) ? Result.getOrUndefined(Result.decodeUnknown(DurationText)(input)) : undefined
  return Result.map(checkDuration(where, field, short ?? input as Duration.DurationInput, { zero }), Duration.toMillis)
}

const kinds = ["exponential", "uniform", "normal", "lognormal", "collapse"] as const

/**
 * Checks a law.
 *
 * - `field`: its name in errors.
 *
 * @internal
 */
export const validate = (where: string, field: string, law: unknown): Result.Result<Sampler, InvalidOption> =>
  Result.gen(function*() {
    const time = (input: unknown, name: string) => millis(where, `${field}${name}`, input, true)
    if (!Predicate.isRecord(law) || Duration.isDuration(law)) {
      const same = yield* time(law, "")
      return { draw: () => same, mean: same }
    }
    yield* checkKnown(where, law, kinds, `${field}.`)
    const invalid = (name: string, problem: string) =>
      Result.fail(new InvalidOption({ where, field: `${field}${name}`, problem }))
    const fields = function*(kind: string, known: ReadonlyArray<string>) {
      yield* checkKnown(where, law[kind], known, `${field}.${kind}.`)
      return law[kind] as Record<string, unknown>
    }
    if ("uniform" in law) {
      const uniform = law["uniform"]
      if (!Array.isArray(uniform) || uniform.length !== 2) {
        return yield* invalid(".uniform", "must be a list of the least and the greatest")
      }
      const least = yield* time(uniform[0], ".uniform[0]")
      const greatest = yield* time(uniform[1], ".uniform[1]")
      if (least > greatest) {
        return yield* invalid(".uniform", "must have the least first, and then the greatest")
      }
      return { draw: (random) => least + (greatest - least) * random.number(), mean: (least + greatest) / 2 }
    }
    if ("normal" in law) {
      const normal = yield* fields("normal", ["mean", "deviation"])
      const mean = yield* time(normal["mean"], ".normal.mean")
      const deviation = yield* time(normal["deviation"], ".normal.deviation")
      return { draw: (random) => Math.max(0, mean + deviation * bell(random)), mean }
    }
    if ("lognormal" in law) {
      const lognormal = yield* fields("lognormal", ["median", "sigma"])
      const median = yield* time(lognormal["median"], ".lognormal.median")
      const sigma = yield* checkNumber(where, `${field}.lognormal.sigma`, lognormal["sigma"] as number, {
        min: 0,
        max: 10
      })
      return { draw: (random) => median * Math.exp(sigma * bell(random)), mean: median * Math.exp(sigma * sigma / 2) }
    }
    if ("collapse" in law) {
      const collapse = yield* fields("collapse", ["base", "perRequest"])
      const base = yield* time(collapse["base"], ".collapse.base")
      const perRequest = yield* time(collapse["perRequest"], ".collapse.perRequest")
      return { draw: (_, others) => base + perRequest * others, mean: base }
    }
    const mean = yield* time(law["exponential"], ".exponential")
    return { draw: (random) => exponential(random, mean), mean }
  })

/**
 * The longest time, in milliseconds: there are counts for each second of a scenario.
 *
 * @internal
 */
export const longest = 31 * 86_400_000

/**
 * Shows a value that may come from a file: none as long as a file.
 *
 * @internal
 */
export const shown = (input: unknown): string => {
  const text = Predicate.isString(input) ? JSON.stringify(input) : Array.isArray(input) ? "a list" : String(input)
  return text.length <= 60 ? text : `${text.slice(0, 60)}...`
}

/**
 * Checks that a word is one of those that are known.
 *
 * @internal
 */
export const oneOf = <A extends string>(
  where: string,
  field: string,
  input: A,
  known: ReadonlyArray<A>
): Result.Result<A, InvalidOption> =>
  known.includes(input)
    ? Result.succeed(input)
    : Result.fail(
      new InvalidOption({
        where,
        field,
        problem: `must be ${known.map((each) => `"${each}"`).join(" or ")}, got ${shown(input)}`
      })
    )
