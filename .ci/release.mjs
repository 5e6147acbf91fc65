// Publishes the version in package.json: `npm run release`, or `npm run release -- --dry-run` to see what it would do.
//
// A release stops at the first thing that is wrong. A dry run tells of each, goes on, and publishes nothing.
// `--skip-tests`, only with `--dry-run`, leaves out what `.ci/run` has just run.
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as Path from "node:path"

process.chdir(Path.join(import.meta.dirname, ".."))

const known = new Set(["--dry-run", "--skip-tests"])
const given = process.argv.slice(2)
const isDryRun = given.includes("--dry-run")
const unknown = given.find((argument) => !known.has(argument))
if (unknown !== undefined || (given.includes("--skip-tests") && !isDryRun)) {
  process.stderr.write("usage: npm run release [-- --dry-run [--skip-tests]]\n")
  process.exit(2)
}

const say = (line) => process.stdout.write(`release: ${line}\n`)
const wrong = (problem) => {
  if (!isDryRun) {
    process.stderr.write(`release: stopped, ${problem}\n`)
    process.exit(1)
  }
  say(`would stop here, ${problem}`)
}
const run = (command, ...args) => {
  say([command, ...args].join(" "))
  execFileSync(command, args, { stdio: "inherit" })
}
const output = (command, ...args) => execFileSync(command, args, { encoding: "utf8" }).trim()

const { name, version } = JSON.parse(readFileSync("package.json", "utf8"))
const tag = `v${version}`
say(`${name} ${version}`)

if (output("git", "status", "--porcelain") !== "") {
  wrong("the working tree has changes")
}
if (output("git", "tag", "--list", tag) !== "") {
  wrong(`there is a tag ${tag}: raise the version in package.json and package-lock.json`)
}
if (JSON.parse(readFileSync("package-lock.json", "utf8")).version !== version) {
  wrong("package-lock.json has another version than package.json: run `npm install`")
}
const [, unreleased = "", latest = ""] = readFileSync("CHANGELOG.md", "utf8").split(/^## /m)
if (!/^\[Unreleased\]\s*$/.test(unreleased)) {
  wrong(`CHANGELOG.md has lines below [Unreleased]: put them below [${version}]`)
}
if (!new RegExp(`^\\[${version.replaceAll(".", "\\.")}\\] - \\d{4}-\\d{2}-\\d{2}\\n`).test(latest)) {
  wrong(`CHANGELOG.md does not begin with [${version}] and its date after [Unreleased]`)
}

if (!given.includes("--skip-tests")) {
  run("npm", "test")
  // also builds the package, and checks the licences of what it is used with
  run("bash", "test/package/run.sh")
}

// the proof of where a package was built is signed by the machine of a CI service
const hasProvenance = process.env.ACTIONS_ID_TOKEN_REQUEST_URL !== undefined || process.env.SIGSTORE_ID_TOKEN !== undefined
if (!hasProvenance) {
  wrong("provenance needs GitHub Actions with `id-token: write`, or GitLab with SIGSTORE_ID_TOKEN")
}
run("npm", "publish", "--provenance", "--access", "public", ...isDryRun ? ["--dry-run"] : [])
if (isDryRun) {
  say(`would tag ${tag}`)
} else {
  run("git", "tag", tag)
  say(`done: push the tag with \`git push origin ${tag}\``)
}
