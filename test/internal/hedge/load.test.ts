import * as FastCheck from "effect/FastCheck"
import { Load } from "../../../src/internal/hedge/load.js"
import { assert, describe, it } from "../../support/vitest.js"

describe("the load of a hedge", () => {
  it("never pays for more than was earned, and is never negative, whatever is asked when", () => {
    const share = FastCheck.double({ min: 0.001, max: 1, noNaN: true })
    const step = FastCheck.constantFrom("earn", "take", "turned away")
    FastCheck.assert(
      FastCheck.property(share, FastCheck.array(step, { maxLength: 500 }), (share, steps) => {
        const load = new Load(share)
        let [earned, taken] = [0, 0]
        for (const step of steps) {
          if (step === "earn") {
            load.earn()
            earned++
          } else if (load.take()) {
            if (step === "take") {
              taken++
            } else {
              load.refund()
            }
          }
          assert.isAtMost(taken, share * earned + 1e-6)
          assert.isTrue(load.level >= 0 && load.level <= 20)
        }
      })
    )
  })

  it("pays for one leg after twenty calls at 5 %, in spite of rounding", () => {
    const load = new Load(0.05)
    for (let round = 0; round < 1000; round++) {
      for (let i = 0; i < 20; i++) {
        assert.isFalse(load.take())
        load.earn()
      }
      assert.isTrue(load.take())
    }
  })
})
