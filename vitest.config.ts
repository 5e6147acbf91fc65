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
    coverage: {
      // with `npm run test:coverage`: what decides and counts, by its own tests
      provider: "v8",
      include: ["src/internal/{engine,gate,budget,policy}/**", "src/RetrySchedule.ts"],
      reporter: ["text-summary"],
      reportsDirectory: "node_modules/.cache/coverage",
      thresholds: { statements: 94, branches: 95, functions: 93, lines: 94 }
    },
    // for a busy machine: a test that waits for what never comes ends here
    testTimeout: 600_000,
    hookTimeout: 600_000
  }
})
