/**
 * Scenarios with names.
 *
 * @internal
 */
import type { Scenario } from "./scenario.js"

/** Each scenario has the name that it is listed under. */
const named = <Name extends string>(
  all: { readonly [Key in Name]: Omit<Scenario, "name"> }
): { readonly [Key in Name]: Scenario } =>
  Object.fromEntries(
    Object.entries<Omit<Scenario, "name">>(all).map(([name, scenario]) => [name, { name, ...scenario }])
  ) as { readonly [Key in Name]: Scenario }

/** One server that does 60 requests per second, one after the other, also those that were given up. */
const steady = { service: 1000 / 60 }

/**
 * All of them, in the order in which they are listed.
 *
 * @internal
 */
export const scenarios = named({
  outage: {
    about: "the network holds all requests for 10 seconds, and then delivers them together; the server is half busy",
    duration: "150 seconds",
    clients: 10,
    arrivals: { poisson: 28 },
    servers: steady,
    faults: [{ kind: "outage", requests: "held", at: "20 seconds", for: "10 seconds" }]
  },
  brownout: {
    about: "the servers take three times as long for 20 seconds, which is more than they can do",
    duration: "150 seconds",
    clients: 10,
    arrivals: { poisson: 36 },
    servers: { nodes: 3, service: { exponential: "50 millis" } },
    faults: [{ kind: "slow", factor: 3, at: "20 seconds", for: "20 seconds" }]
  },
  slowNode: {
    about: "one of three servers takes ten times as long for 30 seconds",
    duration: "120 seconds",
    clients: 10,
    arrivals: { poisson: 36 },
    servers: { nodes: 3, service: { exponential: "40 millis" }, cancel: "queued" },
    faults: [{ kind: "slow", factor: 10, node: 0, at: "20 seconds", for: "30 seconds" }]
  },
  restart: {
    about: "three servers restart one after the other, each for 3 seconds",
    duration: "90 seconds",
    clients: 10,
    arrivals: { poisson: 30 },
    servers: { nodes: 3, service: { exponential: "40 millis" }, cancel: "queued" },
    faults: [20, 25, 30].map((at, node) => ({ kind: "restart", node, at: `${at} seconds`, for: "3 seconds" }))
  },
  retryStorm: {
    about: "the outage of the paper on metastable failures (HotOS 2021), at 280 of 300 requests per second",
    duration: "250 seconds",
    clients: 1,
    arrivals: { poisson: 280 },
    servers: { service: 1000 / 300 },
    faults: [{ kind: "outage", requests: "held", at: "10 seconds", for: "10 seconds" }]
  },
  closedLoop: {
    about: "ten workers that call again when they have been answered or have failed; all is refused for 10 seconds",
    duration: "90 seconds",
    clients: 1,
    arrivals: { closed: { workers: 10, pause: { exponential: "200 millis" } } },
    servers: { service: { exponential: "20 millis" }, concurrency: 10 },
    faults: [{ kind: "outage", requests: "refused", at: "10 seconds", for: "10 seconds" }]
  },
  tinyClients: {
    about: "a thousand clients that call every ten seconds; the first minute of an outage in which all is refused",
    duration: "180 seconds",
    clients: 1_000,
    arrivals: { poisson: 100 },
    servers: { service: { exponential: "20 millis" }, concurrency: 10 },
    faults: [{ kind: "outage", requests: "refused", at: "60 seconds", for: "60 seconds" }],
    warmUp: "60 seconds"
  }
})
