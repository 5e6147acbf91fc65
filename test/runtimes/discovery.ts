/**
 * What discovers endpoints, in the runtime that runs it: the first look-up fails, the next one finds an endpoint, and a
 * second one is there afterwards.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Consul from "effect-rpc-retry/Consul"
import * as Dns from "effect-rpc-retry/Dns"
import type * as Endpoints from "effect-rpc-retry/Endpoints"
import * as EndpointsFile from "effect-rpc-retry/EndpointsFile"
import * as Etcd from "effect-rpc-retry/Etcd"
import * as Kubernetes from "effect-rpc-retry/Kubernetes"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { type Case, expect, type Ports } from "./core.js"
import * as Found from "./found.js"

/** Follows a source up to its second list; `after` is run after each update. */
const follow = <R>(source: Endpoints.Source<R>, after: (number: number) => void = () => {}) => {
  const seen: Array<string> = []
  return source.updates(Stream.never).pipe(
    Stream.map((update) =>
      update._tag === "Failed" ? "failed" : update.endpoints.map(({ address }) => address).toSorted().join()
    ),
    Stream.changes,
    Stream.tap((update) => Effect.sync(() => after(seen.push(update)))),
    Stream.takeUntil((update) => update === Found.both.join()),
    Stream.runDrain,
    // what it said until then, where it never says that
    Effect.timeoutOption("20 seconds"),
    Effect.andThen(Effect.suspend(() => expect(["failed", Found.first, Found.both.join()])(seen)))
  )
}

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(Path.join(tmpdir(), "effect-rpc-retry-found-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true }))
)

const often = { every: "1 second", atMostEvery: "100 millis" } as const

export const cases = (ports: Ports): Readonly<Record<string, Case>> => ({
  "`Dns`": Effect.suspend(() =>
    follow(Dns.hosts({ name: Found.host, port: Found.port, servers: [`127.0.0.1:${ports.dns}`], ...often }))
  ),
  "`EndpointsFile`": Effect.gen(function*() {
    const path = Path.join(yield* folder, "users.json")
    const lists = [[Found.first], Found.both]
    yield* follow(EndpointsFile.watch({ path, every: "1 hour" }), (number) => {
      writeFileSync(`${path}.new`, JSON.stringify(lists[number - 1] ?? Found.both))
      renameSync(`${path}.new`, path)
    })
  }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)),
  "`Kubernetes`": Effect.gen(function*() {
    const tokenFile = Path.join(yield* folder, "token")
    writeFileSync(tokenFile, "a token")
    const url = `http://127.0.0.1:${ports.kubernetes}`
    yield* follow(Kubernetes.service({ namespace: "shop", service: "users", port: "grpc", url, tokenFile }))
  }).pipe(Effect.scoped, Effect.provide([NodeFileSystem.layer, FetchHttpClient.layer])),
  "`Consul`": Effect.suspend(() =>
    follow(Consul.service({ service: "users", url: `http://127.0.0.1:${ports.consul}` }))
  ).pipe(Effect.provide(FetchHttpClient.layer)),
  "`Etcd`": Effect.suspend(() => follow(Etcd.prefix({ prefix: "users/", url: `http://127.0.0.1:${ports.etcd}` }))).pipe(
    Effect.provide(FetchHttpClient.layer)
  )
})
