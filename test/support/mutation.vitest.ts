import { configDefaults, defineConfig, mergeConfig } from "vitest/config"
import shared from "../../vitest.config.js"

/** The tests that run with mutants: those on virtual time, without servers. */
export default mergeConfig(
  { ...shared, test: { ...shared.test, globalSetup: [] } },
  defineConfig({
    test: {
      exclude: [
        ...configDefaults.exclude,
        "test/{interop,stress,package,types}/**",
        "test/house.test.ts",
        "test/internal/telemetry/exporters.test.ts"
      ]
    }
  })
)
