/**
 * What somebody meant who wrote a name that does not exist.
 *
 * @internal
 */

/** How many letters have to be changed, added, left out or swapped with their neighbour to make one text of the other. */
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

/** A name that is longer than any of ours is not compared letter by letter. */
const maxLength = 64

/**
 * The nearest of the known names, where one is near enough to have been meant.
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
 * The end of a sentence that says that a name does not exist: the one that was meant, or all there are.
 *
 * @internal
 */
export const suggestion = (name: string, known: ReadonlyArray<string>): string => {
  const meant = nearest(name, known)
  return meant === undefined
    ? `: there ${known.length === 1 ? "is" : "are"} ${known.join(", ")}`
    : `, did you mean ${meant}?`
}
