/** A stand-in for the API of Kubernetes: EndpointSlices, listed in pages and watched, that misbehaves on cue. */
import { type Asked, body, type Handler, json } from "./discoveryHttp.js"

export interface Pod {
  readonly ip: string
  readonly ready?: boolean
  readonly zone?: string
  readonly name?: string
}

export const slice = (name: string, pods: ReadonlyArray<Pod>, more: Record<string, unknown> = {}) => ({
  metadata: { name },
  addressType: "IPv4",
  endpoints: pods.map(({ ip, name, ready, zone }) => ({
    addresses: [ip],
    conditions: ready === undefined ? {} : { ready },
    ...(zone === undefined ? {} : { zone }),
    ...(name === undefined ? {} : { nodeName: "node-1", targetRef: { kind: "Pod", name } })
  })),
  ports: [{ name: "grpc", port: 8080, protocol: "TCP" }],
  ...more
})

export type Slice = ReturnType<typeof slice>

export const make = () => {
  const slices = new Map<string, Slice>()
  /** The watches, and the version that each waits to be passed. */
  const watches = new Map<ReturnType<typeof body>, number>()
  let version = 100
  const state = {
    /** Refuses requests, as a server that is not there. */
    isDead: false,
    /** Accepts watches, and says nothing. */
    isSilent: false,
    /** Writes lines byte by byte. */
    drips: false,
    /** Versions below are too old to watch from. */
    oldest: 0,
    /** How it says that a version is too old. */
    tellsAs: "status" as "status" | "event",
    /** The status of all answers, where it is not 0. */
    status: 0,
    pageSize: 500
  }
  const withVersion = (slice: Slice, version: number) => ({
    ...slice,
    metadata: { ...slice.metadata, resourceVersion: String(version) }
  })
  const send = (watch: ReturnType<typeof body>, event: unknown) =>
    (state.drips ? watch.drip : watch.write)(`${JSON.stringify(event)}\n`)
  const tell = (event: unknown) => {
    if (!state.isSilent) {
      watches.forEach((from, watch) => {
        if (from < version) {
          send(watch, event)
        }
      })
    }
  }
  const handle: Handler = ({ params }: Asked) => {
    if (state.isDead) {
      throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
    }
    if (state.status > 0) {
      return json({ kind: "Status", code: state.status, message: "the secret is hunter2" }, {}, state.status)
    }
    if (params.get("watch") !== "1") {
      const from = Number(params.get("continue") ?? 0)
      const all = Array.from(slices.values())
      const to = from + state.pageSize
      return json({
        kind: "EndpointSliceList",
        metadata: { resourceVersion: String(version), ...(to < all.length ? { continue: String(to) } : {}) },
        items: all.slice(from, to).map((slice) => withVersion(slice, version))
      })
    }
    const isTooOld = Number(params.get("resourceVersion")) < state.oldest
    const status = { kind: "Status", code: 410, reason: "Expired" }
    if (isTooOld && state.tellsAs === "status") {
      return json(status, {}, 410)
    }
    const watch = body()
    if (isTooOld) {
      send(watch, { type: "ERROR", object: status })
      watch.end()
    } else {
      watches.set(watch, Number(params.get("resourceVersion")))
    }
    return new Response(watch.stream)
  }
  return {
    state,
    handle,
    watches: () => watches.size,
    /** Adds or changes a slice. */
    put: (slice: Slice) => {
      const type = slices.has(slice.metadata.name) ? "MODIFIED" : "ADDED"
      slices.set(slice.metadata.name, slice)
      version++
      tell({ type, object: withVersion(slice, version) })
    },
    delete: (name: string) => {
      const slice = slices.get(name)!
      slices.delete(name)
      version++
      tell({ type: "DELETED", object: withVersion(slice, version) })
    },
    bookmark: () => {
      version += 10
      tell({ type: "BOOKMARK", object: { kind: "EndpointSlice", metadata: { resourceVersion: String(version) } } })
    },
    version: () => version,
    /** Goes back to a version and slices of before. Watches from later versions wait in silence, until they end. */
    restore: (to: number, ...next: ReadonlyArray<Slice>) => {
      version = to
      slices.clear()
      next.forEach((slice) => slices.set(slice.metadata.name, slice))
    },
    /** Ends all watches, as a server does when their time is up. */
    endWatches: () => {
      watches.forEach((_, watch) => watch.end())
      watches.clear()
    },
    /** Breaks all watches. */
    cutWatches: () => {
      watches.forEach((_, watch) => watch.cut())
      watches.clear()
    },
    /** Forgets all watches without a word, as a router does. */
    forgetWatches: () => watches.clear(),
    write: (text: string) => watches.forEach((_, watch) => watch.write(text))
  }
}
