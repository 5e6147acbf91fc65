// Reads an SBOM (CycloneDX) from standard input: what a project has with the package and all libraries it is used with.
// Fails for a licence that is not in the list.
import { readFileSync } from "node:fs"

const allowed = new Set(["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD"])

const isAllowed = (expression) =>
  expression.replace(/^\(|\)$/g, "").split(/ (?:OR|AND) /).every((license) => allowed.has(license))

const { components } = JSON.parse(readFileSync(0, "utf8"))
const licenseOf = ({ licenses: [first] = [] }) => first?.license?.id ?? first?.expression ?? first?.license?.name ?? "none"
const counts = new Map()
for (const component of components) {
  const license = licenseOf(component)
  if (!isAllowed(license)) {
    throw new Error(`${component.name}@${component.version} has the licence ${license}`)
  }
  counts.set(license, (counts.get(license) ?? 0) + 1)
}
if (!components.some(({ name }) => name === "effect-rpc-retry")) {
  throw new Error("the list does not have the package itself")
}
const list = Array.from(counts, ([license, count]) => `${license} ${count}`).join(", ")
process.stdout.write(`${components.length} packages with licences that are allowed: ${list}\n`)
