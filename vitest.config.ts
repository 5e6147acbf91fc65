import { defineConfig } from "vitest/config"

const source = ["@effect-rpc-retry/source"]

export default defineConfig({
  resolve: { conditions: source },
  ssr: { resolve: { conditions: source } },
  test: {
    include: ["test/**/*.test.ts"],
    // the log lines of calls that are to fail
    silent: "passed-only",
    testTimeout: 20_000,
    hookTimeout: 120_000
  }
})
