/** Against the real etcd. */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Etcd from "../../../src/transport/Etcd.js"
import * as Server from "../../support/etcd.js"
import { eventually } from "../../support/eventually.js"
import { follow } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

describe.skipIf(Server.skipped !== undefined)("Etcd.prefix at the real etcd", () => {
  const last = (followed: { readonly lists: () => ReadonlyArray<ReadonlyArray<string>> }) =>
    followed.lists().at(-1)?.join(" ")

  const client = Effect.provide(FetchHttpClient.layer)

  it.scopedLive("sees keys that are there, come, change, go, and whose lease ends", () =>
    Effect.gen(function*() {
      const etcd = yield* Server.make
      yield* etcd.put("users/1", "10.0.0.1:80")
      yield* etcd.put("usert", "no user")
      const followed = yield* client(follow(Etcd.prefix({ prefix: "users/", url: etcd.url })))
      yield* eventually(() => last(followed) === "10.0.0.1:80")
      yield* etcd.put("users/2", "{\"address\":\"10.0.0.2:80\"}")
      yield* eventually(() => last(followed) === "10.0.0.1:80 10.0.0.2:80")
      yield* etcd.put("users/1", "10.0.0.9:80")
      yield* eventually(() => last(followed) === "10.0.0.9:80 10.0.0.2:80")
      yield* etcd.delete("users/1")
      yield* eventually(() => last(followed) === "10.0.0.2:80")
      yield* etcd.post("/v3/lease/grant", { TTL: "1", ID: "77" })
      yield* etcd.put("users/3", "10.0.0.3:80", { lease: "77" })
      yield* eventually(() => last(followed) === "10.0.0.2:80 10.0.0.3:80")
      yield* eventually(() => last(followed) === "10.0.0.2:80")
      assert.deepStrictEqual(followed.problems(), [])
    }))

  it.scopedLive("is right again after etcd was killed, changed and compacted", () =>
    Effect.gen(function*() {
      const etcd = yield* Server.make
      yield* etcd.put("users/1", "10.0.0.1:80")
      const followed = yield* client(follow(Etcd.prefix({ prefix: "users/", url: etcd.url })))
      yield* eventually(() => last(followed) === "10.0.0.1:80")
      yield* etcd.stop
      yield* eventually(() => followed.problems().length > 1)
      assert.strictEqual(last(followed), "10.0.0.1:80")
      yield* etcd.start
      const { header } = yield* etcd.put("users/1", "10.0.0.2:80")
      yield* etcd.compact(header.revision)
      yield* eventually(() => last(followed) === "10.0.0.2:80")
    }))

  it.scopedLive("logs in", () =>
    Effect.gen(function*() {
      const etcd = yield* Server.make
      yield* etcd.put("users/1", "10.0.0.1:80")
      yield* etcd.post("/v3/auth/user/add", { name: "root", password: "hunter2" })
      yield* etcd.post("/v3/auth/role/add", { name: "root" })
      yield* etcd.post("/v3/auth/user/grant", { user: "root", role: "root" })
      yield* etcd.post("/v3/auth/enable", {})
      const login = { name: "root", password: Redacted.make("hunter2") }
      const followed = yield* client(follow(Etcd.prefix({ prefix: "users/", url: etcd.url, login })))
      yield* eventually(() => last(followed) === "10.0.0.1:80")
      const refused = yield* client(follow(Etcd.prefix({ prefix: "users/", url: etcd.url })))
      yield* eventually(() => refused.problems().length > 0)
      assert.deepStrictEqual(refused.lists(), [])
    }))
})
