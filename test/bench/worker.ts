/**
 * One case in a process of its own: it prepares, warms up, and then makes a round whenever it is told to. With `--quick`
 * it makes one round of each case of the group.
 */
// oxlint-disable no-await-in-loop, no-unmodified-loop-condition -- one after the other is what is measured
import { type Case, isQuick } from "./case.js"
import { groups } from "./groups.js"

const [, , group, name, prepared] = process.argv

/** So long the code runs before it is measured, in milliseconds. */
const warmUp = 600

const start = async (made: Case) => {
  const round = await made(JSON.parse(prepared!) as Record<string, string>)
  for (const began = performance.now(); performance.now() - began < warmUp && !isQuick;) {
    await round()
  }
  return round
}

const { cases } = await groups[group!]!()
if (isQuick) {
  // that each case runs is all that is asked, and one process takes less time to start than many
  for (const made of Object.values(cases)) {
    await (await start(made))()
  }
  process.exit()
}
const round = await start(cases[name!]!)
process.on("message", () => {
  void round().then((figure) => process.send!(figure))
})
process.on("disconnect", () => process.exit())
process.send!("ready")
