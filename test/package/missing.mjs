// Installed from the tarball without libraries that are optional: the entry points given as `Name:library` say what they miss,
// and the others work.
const needs = process.argv.slice(2).map((argument) => argument.split(":"))

const works = ["", "/RpcRetry", "/Connection", "/Gob", "/HttpRpc", "/JsonRpc", "/testing/Faults", "/testing/FlakyServer"]
  .filter((path) => !needs.some(([name]) => path === `/${name}`))

await Promise.all(needs.map(async ([name, library]) => {
  const message = await import(`effect-rpc-retry/${name}`).then(() => "it was loaded", (error) => error.message)
  if (!message.startsWith(`Cannot find package '${library}' imported from `)) {
    throw new Error(`effect-rpc-retry/${name} without ${library}: ${message}`)
  }
}))
await Promise.all(works.map((path) => import(`effect-rpc-retry${path}`)))
process.stdout.write(`${works.length} entry points work, and ${needs.map(([name]) => name).join(", ")} say what to install\n`)
