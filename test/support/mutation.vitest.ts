import { configDefaults, defineConfig, mergeConfig } from "vitest/config"
import shared from "../../vitest.config.js"

/** Titles of tests that take seconds, and of those that look at the timers of the process, which earlier mutants leave. */
const left = [
  "10,000 keys take no more room than maxKeys, be they all open",
  "100,000 waiters that are interrupted at random: every permit comes back",
  "a probe that is interrupted gives its place back at once, at whatever virtual millisecond that is",
  "at every virtual millisecond: no leg starts, no fiber, timer, permit or token is left, finalizers have run",
  "calls to a destination beyond the first 1000 have none either",
  "can be made inside thousands of others",
  "ends at its interruption, with its timer, and no further attempt is made",
  "gets its probe back from a call that is interrupted at whatever virtual millisecond",
  "interrupted at every virtual millisecond of a run: no permit, no waiter, no fiber, no timer is left",
  "is free during the delays of a call",
  "is left without a trace by a call that is interrupted at any millisecond of its delay",
  "is waited for, and leaves no timer",
  "makes the attempts, waits the delays and ends in the errors of the schedule itself, whatever fails",
  "no permit is lost where an interruption falls between two steps of admission",
  "on virtual time: sends twice what is accepted, and almost all again soon after the server recovers",
  "that answers later leaves no timer",
  "that fails later leaves no timer, nor do the attempts after it",
  "that interrupts its own caller before it waits is interrupted itself",
  "that opens during the delay ends the call at that moment on the live clock too, and leaves no timer",
  "the promised load holds when everything fails, whatever the schedule allows",
  "whose caller is interrupted at any moment: finalizers have run, no timer is left"
].join("|")

const test = new RegExp(`\\bit(?:\\.\\w+)?(?=\\(\\s*"(?:${left}))`, "g")

/** The files to run, with commas between them: the fewer there are, the sooner a mutant is through. */
const files = process.env["MUTATION_TESTS"]?.split(",")

/** Whether each file has modules of its own. It is slower, and what tests of timers need. */
const isolate = process.env["MUTATION_ISOLATE"] === "true"

/** The tests that run with mutants: those on virtual time, without servers. */
export default mergeConfig(
  { ...shared, test: { ...shared.test, globalSetup: [], include: files ?? shared.test?.include } },
  defineConfig({
    plugins: [{
      name: "leave-out-tests",
      enforce: "pre",
      transform: (code, id) => isolate || !id.endsWith(".test.ts") ? undefined : code.replace(test, "it.effect.skip")
    }],
    test: {
      isolate,
      // a mutant that leaves a caller waiting is not to take a minute
      testTimeout: 6000,
      setupFiles: ["test/support/mutationSetup.ts"],
      exclude: [
        ...configDefaults.exclude,
        "test/{interop,package,transport,types}/**",
        "test/stress/!(bulkhead).test.ts",
        "test/house.test.ts",
        "test/internal/telemetry/exporters.test.ts"
      ]
    }
  })
)
