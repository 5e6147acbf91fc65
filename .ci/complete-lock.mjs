// Completes package-lock.json after `npm install`: adds the optional packages of other platforms that npm left out.
//
// npm leaves out what the registry at hand does not have, and a mirror may have the binaries of its own platform only.
// Then `npm ci` refuses the lock file. What is added has no integrity, which npm fills in where it can fetch the package.
//
//   rm -rf node_modules package-lock.json && npm install --package-lock-only && node .ci/complete-lock.mjs
import { readFileSync, writeFileSync } from "node:fs"

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"))
const systems = ["aix", "android", "darwin", "freebsd", "linux", "netbsd", "openbsd", "openharmony", "sunos", "win32"]
const processors = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64", "wasm32"]
const libraries = { gnu: "glibc", glibc: "glibc", musl: "musl" }

let added = 0
for (const owner of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(owner.optionalDependencies ?? {})) {
    const path = `node_modules/${name}`
    const parts = name.split(/[/-]/)
    const os = systems.find((system) => parts.includes(system))
    const cpu = processors.find((processor) => parts.includes(processor))
    if (lock.packages[path] !== undefined || os === undefined || cpu === undefined) {
      continue
    }
    const library = Object.keys(libraries).find((abi) => parts.includes(abi))
    lock.packages[path] = {
      version: version.replace(/^[\^~]/, ""),
      cpu: [cpu],
      ...(owner.dev ? { dev: true } : {}),
      ...(os === "linux" && library ? { libc: [libraries[library]] } : {}),
      license: owner.license ?? "MIT",
      optional: true,
      os: [os]
    }
    added++
  }
}
const [root, ...rest] = Object.keys(lock.packages).toSorted()
lock.packages = Object.fromEntries([root, ...rest].map((path) => [path, lock.packages[path]]))
writeFileSync("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(`${added} packages added\n`)
