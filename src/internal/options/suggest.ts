/**
 * "Did you mean" suggestions for misspelt names.
 *
 * @internal
 */

/** Returns the edit distance of two texts, where swapping two neighbouring letters counts as one edit. */
const distance = (a: string, b: string): number => {
  let beforeLast: ReadonlyArray<number> = []
  let last: ReadonlyArray<number> = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? beforeLast[j - 2]! + 1 : Infinity
      row.push(Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1), swapped))
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}

/** The longest name that is compared, since the comparison takes quadratic time. */
const maxLength = 64

/**
 * Returns the known name that is nearest to `name`: at most one edit for every three letters away, or else one that
 * contains it. Returns `undefined` when there is none.
 *
 * @internal
 */
export const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  if (name.length > maxLength) {
    return undefined
  }
  const given = name.toLowerCase()
  const [best] = known
    .map((each) => ({ each, distance: distance(given, each.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance)
  return best !== undefined && best.distance <= Math.max(1, Math.floor(given.length / 3))
    ? best.each
    : known.find((each) => given.length >= 4 && each.toLowerCase().includes(given))
}

/**
 * Returns the end of a sentence about an unknown name: the nearest known name, or a list of all known names.
 *
 * @internal
 */
export const suggestion = (name: string, known: ReadonlyArray<string>): string => {
  const meant = nearest(name, known)
  return meant === undefined
    ? `: there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`
    : `, did you mean ${meant}?`
}
