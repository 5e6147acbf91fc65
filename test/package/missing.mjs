// Installed from the tarball, without any of the optional libraries: the entry points that need one say which, the others work.
const needs = {
  Grpc: "@grpc/grpc-js",
  Connect: "@connectrpc/connect",
  EffectRpc: "@effect/rpc",
  Thrift: "thrift",
  HttpPool: "@effect/platform-node"
}
const works = ["", "/RpcRetry", "/Connection", "/GoRpc", "/Gob", "/HttpRpc", "/JsonRpc", "/testing/Faults", "/testing/FlakyServer"]

await Promise.all(Object.entries(needs).map(async ([name, library]) => {
  const message = await import(`effect-rpc-retry/${name}`).then(() => "it was loaded", (error) => error.message)
  if (!message.startsWith(`Cannot find package '${library}' imported from `)) {
    throw new Error(`effect-rpc-retry/${name} without ${library}: ${message}`)
  }
}))
await Promise.all(works.map((path) => import(`effect-rpc-retry${path}`)))
process.stdout.write(
  `without the optional libraries ${works.length} entry points work, and ${Object.keys(needs).length} say what to install\n`
)
