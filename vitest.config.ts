import { defineConfig } from "vitest/config"

const source = ["@effect-rpc-retry/source"]

export default defineConfig({
  resolve: { conditions: source },
  ssr: { resolve: { conditions: source } },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: "test/support/goPrograms.ts",
    // of every core: tests wait more than they work
    maxWorkers: "100%",
    // the log lines of calls that are to fail
    silent: "passed-only",
    // for a busy machine: a test that waits for what never comes ends here
    testTimeout: 60_000,
    hookTimeout: 60_000
  }
})
