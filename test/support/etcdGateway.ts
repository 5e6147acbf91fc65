/**
 * A stand-in for the JSON gateway of etcd, with its answers as etcd 3.4 was seen to write them, that misbehaves on cue.
 */
import { type Asked, body, type Handler, json } from "./discoveryHttp.js"

const encode = (text: string) => Buffer.from(text).toString("base64")

export const make = () => {
  const values = new Map<string, string>()
  const watches = new Set<ReturnType<typeof body>>()
  let revision = 10
  const state = {
    isDead: false,
    /** Accepts watches, and tells of no change. */
    isSilent: false,
    /** Earlier revisions cannot be watched from. */
    compacted: 0,
    /** Refuses watches with an error. */
    refusesWatches: false
  }
  const header = () => ({
    cluster_id: "324952591200643719",
    member_id: "3319814642761637952",
    revision: String(revision),
    raft_term: "2"
  })
  const tell = (event: unknown) => {
    if (!state.isSilent) {
      watches.forEach((watch) => watch.drip(`${JSON.stringify({ result: { header: header(), events: [event] } })}\n`))
    }
  }
  const watch = (asked: Asked): Response => {
    const { create_request: request } = JSON.parse(asked.body) as {
      readonly create_request: { readonly start_revision: string }
    }
    const watch = body()
    const write = (message: unknown) => watch.write(`${JSON.stringify(message)}\n`)
    if (state.refusesWatches) {
      write({ error: { grpc_code: 7, http_code: 403, message: "etcdserver: permission denied hunter2" } })
      watch.end()
      return new Response(watch.stream)
    }
    write({ result: { header: header(), created: true } })
    if (Number(request.start_revision) <= state.compacted) {
      write({ result: { header: header(), canceled: true, compact_revision: String(state.compacted + 1) } })
    } else {
      watches.add(watch)
    }
    return new Response(watch.stream)
  }
  const handle: Handler = (asked) => {
    if (state.isDead) {
      throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" })
    }
    switch (asked.path) {
      case "/v3/auth/authenticate":
        return json({ header: header(), token: "token-hunter2" })
      case "/v3/kv/range": {
        const kvs = Array.from(values, ([key, value]) => ({ key: encode(key), value: encode(value), version: "1" }))
        return json({ header: header(), ...(kvs.length === 0 ? {} : { kvs, count: String(kvs.length) }) })
      }
      default:
        return watch(asked)
    }
  }
  return {
    state,
    handle,
    watches: () => watches.size,
    put: (key: string, value: string) => {
      revision++
      values.set(key, value)
      tell({ kv: { key: encode(key), value: encode(value), mod_revision: String(revision) } })
    },
    delete: (key: string) => {
      revision++
      values.delete(key)
      tell({ type: "DELETE", kv: { key: encode(key), mod_revision: String(revision) } })
    },
    /** Goes back to a revision and values of before, with watches that wait for later revisions. */
    restore: (to: number, ...next: ReadonlyArray<readonly [key: string, value: string]>) => {
      revision = to
      values.clear()
      next.forEach(([key, value]) => values.set(key, value))
    },
    endWatches: () => {
      watches.forEach((watch) => watch.end())
      watches.clear()
    },
    cutWatches: () => {
      watches.forEach((watch) => watch.cut())
      watches.clear()
    }
  }
}
