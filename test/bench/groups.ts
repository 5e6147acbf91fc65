/**
 * The groups of the bench, in the order of the tables. Each is loaded where it is run.
 */
import type { Group } from "./case.js"

export const groups: Readonly<Record<string, () => Promise<Group>>> = {
  success: () => import("./success.js").then(({ group }) => group),
  timeouts: () => import("./timeouts.js").then(({ group }) => group),
  failures: () => import("./failures.js").then(({ group }) => group),
  gates: () => import("./gates.js").then(({ group }) => group),
  hedge: () => import("./hedge.js").then(({ group }) => group),
  pending: () => import("./pending.js").then(({ group }) => group),
  signal: () => import("./signal.js").then(({ group }) => group),
  growth: () => import("./growth.js").then(({ group }) => group),
  gob: () => import("./gob.js").then(({ group }) => group),
  goRpc: () => import("./goRpc.js").then(({ group }) => group),
  adapters: () => import("./adapters.js").then(({ group }) => group),
  size: () => import("./size.js").then(({ group }) => group)
}
