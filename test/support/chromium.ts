/**
 * Debian's Chromium, without a window. Where there is none, the tests that need it are skipped and say so; `.ci/run` installs it.
 */
import { existsSync } from "node:fs"
import { chromium } from "playwright-core"

const executablePath = "/usr/bin/chromium"

/** Why the tests are skipped, or `undefined` when they are not. */
export const skipped = existsSync(executablePath)
  ? undefined
  : `skipped: ${executablePath} was not found; install Debian's chromium to run the tests of the playground`

export const launch = () =>
  chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      // it looks for updates and for its makers' hosts otherwise
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync"
    ]
  })
