/**
 * A stand-in for an agent of Consul: blocking queries for the health of services, as its documentation describes them.
 * The shape of an instance is that of the answer in the documentation of `/v1/health/service/:service`.
 */
import { type Asked, type Handler, json } from "./discoveryHttp.js"

export const instance = (id: string, address: string, port: number, more: Record<string, unknown> = {}) => ({
  Node: {
    ID: "40e4a748-2192-161a-0510-9bf59fe950b5",
    Node: "node-1",
    Address: "10.1.10.12",
    Datacenter: "dc1",
    TaggedAddresses: { lan: "10.1.10.12", wan: "10.1.10.12" },
    Meta: { instance_type: "t2.medium" }
  },
  Service: {
    ID: id,
    Service: "users",
    Tags: ["primary"],
    Address: address,
    Meta: { version: "4.0" },
    Port: port,
    Weights: { Passing: 10, Warning: 1 },
    Namespace: "default",
    ...more
  },
  Checks: [{ Node: "node-1", CheckID: "service:users", Name: "Service 'users' check", Status: "passing", Output: "" }]
})

export type Instance = ReturnType<typeof instance>

export const make = () => {
  let instances: ReadonlyArray<Instance> = []
  let index = 100
  const waiting = new Set<() => void>()
  const state = {
    isDead: false,
    /** Never answers a query that waits. */
    isSilent: false,
    /** The status of all answers, where it is not 0. */
    status: 0,
    /** Leaves out all instances, which the token may not read. A query with an index is not told so. */
    isFiltered: false,
    /** Another text for the header, where it is given. */
    header: undefined as string | undefined
  }
  const wake = () => {
    const all = Array.from(waiting)
    waiting.clear()
    all.forEach((one) => one())
  }
  const answer = (asked: string | null) => {
    if (state.isDead) {
      throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
    }
    return state.status > 0
      ? json("rpc error making call: ACL not found", {}, state.status)
      : state.isFiltered
      ? json([], {
        "x-consul-index": String(index),
        ...(asked === null ? { "x-consul-results-filtered-by-acls": "true" } : {})
      })
      : json(instances, { "x-consul-index": state.header ?? String(index) })
  }
  const handle: Handler = async ({ params }: Asked) => {
    const asked = params.get("index")
    if (!state.isDead && (state.isSilent ? asked !== null : Number(asked) >= index && asked !== null)) {
      await new Promise<void>((resolve) => {
        waiting.add(resolve)
      })
    }
    return answer(asked)
  }
  return {
    state,
    handle,
    waiting: () => waiting.size,
    set: (...next: ReadonlyArray<Instance>) => {
      instances = next
      index++
      wake()
    },
    /** Wakes all queries, as a change of another service does, or the end of their wait. */
    wake: (step = 1) => {
      index += step
      wake()
    },
    /** Sets the index back, as a restore of the servers does. */
    restore: (to: number, ...next: ReadonlyArray<Instance>) => {
      index = to
      instances = next
      wake()
    },
    /** Forgets the queries that wait, without a word. */
    forget: () => waiting.clear()
  }
}
