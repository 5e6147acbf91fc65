import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/TestClock"
import { InvalidOption } from "../../../src/InvalidOption.js"
import * as Kubernetes from "../../../src/transport/Kubernetes.js"
import * as Http from "../../support/discoveryHttp.js"
import { eventually } from "../../support/eventually.js"
import * as Api from "../../support/kubernetesApi.js"
import { follow, listed } from "../../support/sources.js"
import { assert, describe, it } from "../../support/vitest.js"

const options = { namespace: "shop", service: "users", tokenFile: Http.tokenFile }
const { slice } = Api

const token = { [Http.tokenFile]: "first-secret\n" }

/** The stand-in in memory, and a source of it. */
const inMemory = (contents: Record<string, string> = token) => {
  const api = Api.make()
  const { layer, seen } = Http.memory(api)
  const provided = Layer.merge(layer, Http.files(contents))
  return {
    api,
    seen,
    watched: () => seen.filter(({ params }) => params.get("watch") === "1"),
    follow: (more: Partial<Kubernetes.Options> = {}) =>
      Effect.provide(follow(Kubernetes.service({ ...options, ...more })), provided)
  }
}

/** Lets promises of the client settle. */
const settle = TestClock.adjust("1 millis")

describe("Kubernetes.service at a real HTTP server", () => {
  it.scopedLive("lists, and sees what is added, changed and deleted, with lines split in the middle of a character", () =>
    Effect.gen(function*() {
      const api = Api.make()
      api.state.drips = true
      api.put(slice("a", [{ ip: "10.0.0.1", zone: "zürich-1", name: "users-1" }]))
      const server = yield* Http.served(api)
      const followed = yield* follow(Kubernetes.service({ ...options, url: server.url })).pipe(
        Effect.provide(Layer.merge(server.layer, Http.files(token)))
      )
      yield* eventually(() => api.watches() === 1)
      assert.deepStrictEqual(followed.updates, [
        listed({ address: "10.0.0.1:8080", zone: "zürich-1", attributes: { node: "node-1", pod: "users-1" } })
      ])
      api.put(slice("b", [{ ip: "10.0.0.2", zone: "zürich-2" }]))
      yield* eventually(() => followed.updates.length === 2)
      assert.deepStrictEqual(
        followed.updates[1],
        listed(
          { address: "10.0.0.1:8080", zone: "zürich-1", attributes: { node: "node-1", pod: "users-1" } },
          { address: "10.0.0.2:8080", zone: "zürich-2", attributes: {} }
        )
      )
      api.put(slice("a", [{ ip: "10.0.0.1", ready: false }, { ip: "10.0.0.3", ready: true }]))
      api.delete("b")
      yield* eventually(() => followed.updates.length === 4)
      assert.deepStrictEqual(followed.lists().slice(2), [["10.0.0.3:8080", "10.0.0.2:8080"], ["10.0.0.3:8080"]])
      const [first, second] = server.seen
      assert.strictEqual(first?.path, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices")
      assert.strictEqual(first?.params.get("labelSelector"), "kubernetes.io/service-name=users")
      assert.strictEqual(first?.headers["authorization"], "Bearer first-secret")
      assert.strictEqual(second?.params.get("allowWatchBookmarks"), "true")
      assert.strictEqual(second?.params.get("timeoutSeconds"), "60")
      assert.strictEqual(second?.params.get("resourceVersion"), "101")
      // the watch is given up on the wire
      yield* followed.stop
      yield* eventually(() => second!.isOver)
    }))

  it.scoped("notices a watch that has gone silent, and lists again", () =>
    Effect.gen(function*() {
      const api = Api.make()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      api.state.isSilent = true
      const server = yield* Http.served(api)
      const followed = yield* follow(Kubernetes.service({ ...options, url: server.url })).pipe(
        Effect.provide(Layer.merge(server.layer, Http.files(token)))
      )
      yield* eventually(() => api.watches() === 1)
      api.put(slice("a", [{ ip: "10.0.0.2" }]))
      yield* TestClock.adjust("69 seconds")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:8080"]])
      yield* TestClock.adjust("1 seconds")
      yield* eventually(() => followed.updates.length === 2)
      assert.deepStrictEqual(followed.problems(), ["kubernetes shop/users: the watch has gone silent"])
      yield* TestClock.adjust("100 millis")
      yield* eventually(() => followed.updates.length === 3)
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080"])
    }))
})

describe("Kubernetes.service", () => {
  it.scoped("goes on from the version of a bookmark when a watch ends", () =>
    Effect.gen(function*() {
      const { api, follow, watched } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      const followed = yield* follow()
      yield* settle
      api.bookmark()
      yield* settle
      api.endWatches()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(watched().map(({ params }) => params.get("resourceVersion")), ["101", "111"])
      api.put(slice("a", [{ ip: "10.0.0.2" }]))
      yield* settle
      api.endWatches()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(watched().at(-1)?.params.get("resourceVersion"), "112")
      // a watch that ends is no failure, and nothing is listed anew
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:8080"], ["10.0.0.2:8080"]])
      assert.deepStrictEqual(followed.problems(), [])
    }))

  it.scoped("lists again after a watch without a word, as where the server was restored to a time before", () =>
    Effect.gen(function*() {
      const { api, follow, watched } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      api.bookmark()
      const followed = yield* follow()
      yield* settle
      api.restore(20, slice("a", [{ ip: "10.0.0.2" }]))
      api.put(slice("b", [{ ip: "10.0.0.3" }]))
      yield* TestClock.adjust("1 minute")
      api.endWatches()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080", "10.0.0.3:8080"])
      assert.strictEqual(watched().at(-1)?.params.get("resourceVersion"), "21")
      api.put(slice("b", [{ ip: "10.0.0.4" }]))
      yield* settle
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080", "10.0.0.4:8080"])
      assert.deepStrictEqual(followed.problems(), [])
    }))

  it.scoped("starts at most one watch a second at a server that ends them at once", () =>
    Effect.gen(function*() {
      const { api, follow, watched } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      yield* follow()
      yield* Effect.forEach(Array.from({ length: 100 }), () =>
        Effect.andThen(Effect.sync(api.endWatches), TestClock.adjust("100 millis")))
      assert.isAtMost(watched().length, 11)
    }))

  for (const tellsAs of ["status", "event"] as const) {
    it.scoped(`lists again when its version is too old, told as ${tellsAs === "status" ? "a status" : "an event"}`, () =>
      Effect.gen(function*() {
        const { api, follow } = inMemory()
        api.put(slice("a", [{ ip: "10.0.0.1" }]))
        const followed = yield* follow()
        yield* settle
        Object.assign(api.state, { tellsAs, oldest: 1_000, isSilent: true })
        api.put(slice("a", [{ ip: "10.0.0.2" }]))
        api.endWatches()
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(followed.problems().slice(0, 1), [
          tellsAs === "status"
            ? "kubernetes shop/users: answered with status 410"
            : "kubernetes shop/users: the version to watch from is too old"
        ])
        Object.assign(api.state, { oldest: 0, isSilent: false })
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080"])
        yield* settle
        assert.strictEqual(api.watches(), 1)
      }))
  }

  it.scoped("lists again when a watch breaks, ends in the middle of a line, or says what is no event", () =>
    Effect.gen(function*() {
      const { api, follow } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      const followed = yield* follow()
      const breaks = [
        [() => api.cutWatches(), "the answer broke off"],
        [() => {
          api.write("{\"type\":\"ADDED\",\"obj")
          api.endWatches()
        }, "the answer is not JSON: a body of 20 bytes"],
        [() => api.write("{\"type\":\"ADDED\",\"object\":{\"password\":\"hunter2\"}}\n"), "the answer does not fit: "]
      ] as const
      for (const [end, problem] of breaks) {
        yield* TestClock.adjust("40 seconds")
        end()
        yield* settle
        assert.include(followed.problems().at(-1), problem)
        assert.notInclude(followed.problems().at(-1), "hunter2")
        const before = followed.lists().length
        yield* TestClock.adjust("1 second")
        assert.isAbove(followed.lists().length, before)
        api.forgetWatches()
        yield* TestClock.adjust("71 seconds")
      }
    }))

  it.scoped("keeps its list while the API is dead for an hour, and is right within half a minute when it is back", () =>
    Effect.gen(function*() {
      const { api, follow, seen } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }]))
      const followed = yield* follow()
      yield* settle
      api.state.isDead = true
      api.cutWatches()
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:8080"]])
      assert.include(followed.problems().at(-1), "kubernetes shop/users: the request failed with ECONNREFUSED")
      assert.isBelow(seen.length, 250)
      api.state.isDead = false
      api.put(slice("a", [{ ip: "10.0.0.2" }]))
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(followed.lists().at(-1), ["10.0.0.2:8080"])
    }))

  it.scoped("reads the token again for each request, and shows it in no error", () =>
    Effect.gen(function*() {
      const contents: Record<string, string> = { [Http.tokenFile]: "first-secret" }
      const { api, follow, seen } = inMemory(contents)
      const followed = yield* follow()
      contents[Http.tokenFile] = "second-secret"
      api.state.status = 403
      api.cutWatches()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(seen.at(-1)?.headers["authorization"], "Bearer second-secret")
      assert.strictEqual(followed.problems().at(-1), "kubernetes shop/users: answered with status 403")
      api.state.status = 0
      api.state.isDead = true
      yield* TestClock.adjust("1 minute")
      assert.notInclude(Inspectable.format(followed.updates) + JSON.stringify(followed.updates), "secret")
    }))

  it.scoped("shows no token that no header can have", () =>
    Effect.gen(function*() {
      const { follow, seen } = inMemory({ [Http.tokenFile]: "hunter2\nhunter2" })
      const followed = yield* follow()
      yield* settle
      const problem = "kubernetes shop/users: the token has characters that no header can have"
      assert.strictEqual(followed.problems()[0], problem)
      assert.deepStrictEqual(seen, [])
    }))

  it.scoped("sends no token where it is told so, reads lists of many pages, and takes what Go leaves out", () =>
    Effect.gen(function*() {
      const { api, follow, seen } = inMemory()
      api.state.pageSize = 2
      for (let i = 1; i <= 5; i++) {
        api.put(slice(`s${i}`, [{ ip: `10.0.0.${i}` }]))
      }
      api.put(slice("s6", [], { endpoints: null, ports: null }))
      const followed = yield* follow({ tokenFile: false })
      yield* settle
      assert.lengthOf(followed.lists()[0]!, 5)
      assert.isUndefined(seen[0]?.headers["authorization"])
    }))

  it.scoped("takes the port that is named or given, and fails where it is not clear", () =>
    Effect.gen(function*() {
      const ports = [{ name: "http", port: 80 }, { name: "grpc", port: 9000 }]
      for (
        const [port, expected] of [["grpc", "10.0.0.1:9000"], [7000, "10.0.0.1:7000"]] as const
      ) {
        const { api, follow } = inMemory()
        api.put(slice("a", [{ ip: "10.0.0.1" }], { ports }))
        const followed = yield* follow({ port })
        yield* settle
        assert.deepStrictEqual(followed.lists()[0], [expected])
      }
      const { api, follow } = inMemory()
      api.put(slice("a", [{ ip: "10.0.0.1" }], { ports }))
      const followed = yield* follow()
      yield* settle
      assert.include(followed.problems()[0], "the service has several ports: the option port must name one")
    }))

  it.scoped("fails where no slice has the port of that name, and takes those that have it", () =>
    Effect.gen(function*() {
      for (
        const [port, ports, problem] of [
          ["grcp", [{ name: "grpc", port: 9000 }], "the service has no port named grcp"],
          [undefined, [], "the service has no port: the option port must be a number"]
        ] as const
      ) {
        const { api, follow } = inMemory()
        api.put(slice("a", [{ ip: "10.0.0.1" }], { ports }))
        const followed = yield* follow({ port })
        yield* settle
        assert.deepStrictEqual(followed.problems(), [`kubernetes shop/users: ${problem}`])
        assert.deepStrictEqual(followed.lists(), [])
      }
      const { api, follow } = inMemory()
      api.put(slice("old", [{ ip: "10.0.0.1" }], { ports: [] }))
      api.put(slice("new", [{ ip: "10.0.0.2" }]))
      const followed = yield* follow({ port: "grpc" })
      yield* settle
      assert.deepStrictEqual(followed.lists(), [["10.0.0.2:8080"]])
    }))

  it.scoped("takes a pod of both families once, and brackets for IPv6 alone", () =>
    Effect.gen(function*() {
      const { api, follow } = inMemory()
      api.put(slice("four", [{ ip: "10.0.0.1" }]))
      api.put(slice("six", [{ ip: "fd00::1" }], { addressType: "IPv6" }))
      const followed = yield* follow()
      yield* settle
      api.delete("four")
      yield* settle
      assert.deepStrictEqual(followed.lists(), [["10.0.0.1:8080"], ["[fd00::1]:8080"]])
    }))

  it("refuses options that cannot be used", () => {
    for (
      const [more, message] of [
        [{ namespace: "" }, "namespace must be a name of Kubernetes, got \"\""],
        [{ service: "a/b" }, "service must be a name of Kubernetes, got \"a/b\""],
        [{ port: 0 }, "port must be an integer from 1 to 65535, got 0"],
        [{ url: "api" }, "url must have a host, and neither a query nor a fragment"],
        [{ url: "https://me:pw@api" }, "url must not have a user or a password in it"],
        [{ tokenFile: "" }, "tokenFile must be a path, or false, got \"\""],
        [{ watchFor: "1 hour" }, "watchFor in seconds must be an integer from 1 to 600, got 3600"],
        [{ prot: 1 }, "prot is not an option, did you mean port?"]
      ] as ReadonlyArray<[object, string]>
    ) {
      let thrown: unknown
      try {
        Kubernetes.service({ ...options, ...more })
      } catch (error) {
        thrown = error
      }
      assert.instanceOf(thrown, InvalidOption)
      assert.include((thrown as InvalidOption).message, `Kubernetes.service: ${message}`)
    }
  })
})
