/** A generator of our own, so that a failure can be repeated: gives integers below `n`. */
export const make = (seed: number) => (n: number): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
  // the low bits of such a generator are hardly random
  return (seed >>> 8) % n
}
