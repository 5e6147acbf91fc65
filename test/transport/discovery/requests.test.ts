/** Answers that do not end, or are far too long: discovery fails, and fills no memory. */
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import type { Endpoints } from "effect-rpc-retry"
import * as Consul from "effect-rpc-retry/Consul"
import * as Etcd from "effect-rpc-retry/Etcd"
import * as Kubernetes from "effect-rpc-retry/Kubernetes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Http from "../../support/discoveryHttp.js"
import { eventually } from "../../support/eventually.js"
import * as KubernetesApi from "../../support/kubernetesApi.js"
import { follow } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const megabyte = new Uint8Array(1024 * 1024).fill("a".charCodeAt(0))

/** A body without an end, in parts of a megabyte. */
const endless = (part = megabyte) => {
  let parts = 0
  return {
    parts: () => parts,
    body: () =>
      new ReadableStream<Uint8Array>({
        // as a socket does it: others have their turn in between
        pull: async (controller) => {
          await new Promise((resolve) => setImmediate(resolve))
          parts++
          controller.enqueue(part)
        }
      })
  }
}

const followed = (
  source: Endpoints.Source<HttpClient.HttpClient | FileSystem.FileSystem>,
  handle: Http.Handler
) => {
  const { layer } = Http.memory({ handle })
  return Effect.provide(follow(source), Layer.merge(layer, Http.files({ [Http.tokenFile]: "token" })))
}

const kubernetes = Kubernetes.service({
  namespace: "shop",
  service: "users",
  url: "https://api",
  tokenFile: Http.tokenFile
})

const tooLong = "the answer has more than 16777216 bytes"

describe("an answer to discovery", () => {
  for (
    const [name, source] of Object.entries({
      "kubernetes shop/users": kubernetes,
      "consul users": Consul.service({ service: "users" }),
      "etcd users/": Etcd.prefix({ prefix: "users/" })
    })
  ) {
    it.scoped(`that does not end is given up at 16 MiB: ${name}`, () =>
      Effect.gen(function*() {
        const { body, parts } = endless()
        const told = yield* followed(source, () => new Response(body()))
        yield* eventually(() => told.updates.length > 0)
        assert.deepStrictEqual(told.problems(), [`${name}: ${tooLong}`])
        assert.isAtMost(parts(), 20)
      }))
  }

  /** A list, and then a watch with this body. */
  const watching = (body: () => ReadableStream<Uint8Array>): Http.Handler => {
    const api = KubernetesApi.make()
    api.put(KubernetesApi.slice("a", [{ ip: "10.0.0.1" }]))
    return (asked) => asked.params.get("watch") === "1" ? new Response(body()) : api.handle(asked)
  }

  it.scoped("whose line does not end is given up at 16 MiB", () =>
    Effect.gen(function*() {
      const { body, parts } = endless()
      const told = yield* followed(kubernetes, watching(body))
      yield* eventually(() => told.problems().length > 0)
      // what has come of the line is read before that is told
      assert.match(told.problems().join(), /^kubernetes shop\/users: the answer .* 16777216 bytes$/)
      assert.deepStrictEqual(told.lists(), [["10.0.0.1:8080"]])
      assert.isAtMost(parts(), 20)
    }))

  it.scoped("may have lines without an end, each of which is short", () =>
    Effect.gen(function*() {
      const bookmark = { type: "BOOKMARK", object: { metadata: { resourceVersion: "x".repeat(1024) } } }
      // each part begins and ends in the middle of a line
      const line = `${JSON.stringify(bookmark)}\n`
      const text = line.slice(500) + line.repeat(500) + line.slice(0, 500)
      const { body, parts } = endless(new TextEncoder().encode(text))
      const started = new TextEncoder().encode(line.slice(0, 500))
      const told = yield* followed(
        kubernetes,
        watching(() => {
          const reader = body().getReader()
          let isFirst = true
          return new ReadableStream<Uint8Array>({
            pull: async (controller) => {
              controller.enqueue(isFirst ? started : (await reader.read()).value!)
              isFirst = false
            }
          })
        })
      )
      yield* eventually(() => parts() * text.length > 40 * 1024 * 1024)
      yield* told.stop
      assert.deepStrictEqual(told.problems(), [])
    }))
})
