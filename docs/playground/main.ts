/**
 * The page: what can be said on it, the workers that run it, and what they answer.
 */
import { scenarios } from "../../src/testing/simulator/scenarios.js"
import * as Chart from "./chart.js"
import { byId, h } from "./dom.js"
import * as Editor from "./editor.js"
import type { Call, Input, Job, Message } from "./protocol.js"
import * as Results from "./results.js"
import * as Share from "./share.js"
import * as Timeline from "./timeline.js"

const names = ["a", "b"] as const
type Name = typeof names[number]

/** What is known of a side. */
interface Shown {
  worker: Worker | undefined
  share: number | undefined
  description: string
  call: Call | undefined
  run: Chart.Run | undefined
  erase: (() => void) | undefined
}

const source = URL.createObjectURL(
  new Blob([byId("worker").textContent!], { type: "text/javascript" })
)

const shown: Record<Name, Shown> = Object.fromEntries(
  names.map((name) => [name, {
    worker: undefined,
    share: undefined,
    description: "",
    call: undefined,
    run: undefined,
    erase: undefined
  }])
) as Record<Name, Shown>

let state: Share.State = Share.initial

/** The start of a run, when nothing more is said. */
let later: ReturnType<typeof setTimeout> | undefined

const control = <K extends "input" | "select" | "textarea">(id: string) => byId(id) as HTMLElementTagNameMap[K]
const scenario = control<"select">("scenario")
const written = control<"textarea">("written")
const load = control<"input">("load")
const clients = control<"input">("clients")
const seed = control<"input">("seed")
const endpoints = control<"input">("endpoints")
const script = control<"input">("script")

const editors = Object.fromEntries(
  names.map((name) => [name, Editor.make(name, (side) => change({ [name]: side }))])
) as Record<Name, Editor.Editor>
byId("policies").append(...names.map((name) => editors[name].element))

/** The number in a field; `undefined` for an empty one. */
const numberIn = (text: string): number | undefined => text.trim() === "" ? undefined : Number(text)

/** What is wrong with the numbers beside the scenario; `undefined` when nothing is. The worker knows their bounds. */
const wrongNumber = (): string | undefined =>
  ([[load, state.load], [clients, state.clients], [seed, state.seed]] as const)
    .filter(([, text]) => Number.isNaN(Number(text)))
    .map(([{ labels }, text]) => `${labels![0]!.textContent} must be a number, got ${text.slice(0, 60)}`)[0]

const listed = Object.values(scenarios)

const chosen = () => listed.find(({ name }) => name === state.scenario) ?? scenarios.outage

const scenarioText = (): string => state.written === "" ? JSON.stringify(chosen(), null, 2) : state.written

const jobOf = (name: Name): Job => ({
  ...state[name],
  scenario: scenarioText(),
  load: numberIn(state.load),
  clients: numberIn(state.clients),
  seed: numberIn(state.seed) ?? 1,
  endpoints: state.endpoints,
  script: state.script
})

const problem = (input: Exclude<Input, "document">, text: string): void => {
  byId(`${input}-problem`).textContent = text
}

/** Ends a run where it is. */
const stop = (name: Name): void => {
  shown[name].worker?.terminate()
  shown[name].worker = undefined
  shown[name].share = undefined
}

const running = () => names.filter((name) => shown[name].worker !== undefined)

const showProgress = (): void => {
  const shares = names.flatMap((name) => shown[name].share ?? [])
  const isRunning = running().length > 0
  const status = byId("status")
  const share = shares.length === 0 ? 1 : shares.reduce((sum, share) => sum + share, 0) / shares.length
  byId("cancel").toggleAttribute("disabled", !isRunning)
  control<"input">("progress").toggleAttribute("hidden", !isRunning)
  ;(byId("progress") as HTMLProgressElement).value = share
  const text = isRunning ? "running" : status.dataset["end"] ?? "done"
  if (status.textContent !== text) {
    status.textContent = text
  }
  document.body.dataset["state"] = isRunning ? "running" : status.dataset["end"] ?? "done"
}

const drawCharts = (): void => {
  const runs = names.flatMap((name) => shown[name].run ?? [])
  const most = Chart.mostOf(runs)
  for (const name of names) {
    const { erase, run } = shown[name]
    erase?.()
    shown[name].erase = undefined
    if (run !== undefined) {
      shown[name].erase = Chart.draw(byId(`chart-${name}`), run, most)
      byId(`figure-${name}`).setAttribute("aria-label", Results.sentence(name.toUpperCase(), run.report))
    }
  }
  byId("table").replaceChildren(Results.table(shown.a.run?.report, shown.b.run?.report))
}

const drawCalls = (): void => {
  const span = Timeline.spanOf(names.flatMap((name) => shown[name].call ?? []))
  for (const name of names) {
    const { call } = shown[name]
    if (call !== undefined) {
      byId(`call-${name}`).replaceChildren(Timeline.draw(call, span))
    }
  }
}

const receive = (name: Name, message: Message): void => {
  const side = shown[name]
  switch (message._tag) {
    case "Wrong":
      if (message.input === "document") {
        editors[name].wrong(message.problem)
      } else {
        problem(message.input, message.problem)
      }
      if (message.input !== "script") {
        byId("status").dataset["end"] = "something is wrong above"
        stop(name)
        drawCharts()
        showProgress()
      }
      return
    case "Described":
      byId(`describe-${name}`).textContent = message.text
      return
    case "Called":
      side.call = message.call
      return drawCalls()
    case "Progress":
      side.share = message.share
      return showProgress()
    case "Done":
      side.run = message
      stop(name)
      drawCharts()
      performance.mark("chart")
      return showProgress()
  }
}

const start = (name: Name): void => {
  stop(name)
  const worker = new Worker(source)
  shown[name].worker = worker
  shown[name].share = 0
  worker.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    if (shown[name].worker === worker) {
      receive(name, data)
    }
  })
  // such as one that has used up its memory
  worker.addEventListener("error", ({ message }) => {
    if (shown[name].worker === worker) {
      receive(name, { _tag: "Wrong", input: "scenario", problem: `the run has ended early: ${message}` })
    }
  })
  worker.postMessage(jobOf(name), [])
}

const startAll = (): void => {
  clearTimeout(later)
  delete byId("status").dataset["end"]
  const wrong = wrongNumber()
  if (wrong !== undefined) {
    problem("scenario", wrong)
    return end("something is wrong above")
  }
  problem("scenario", "")
  problem("script", "")
  names.forEach((name) => {
    editors[name].wrong("")
    // what is shown stays until there is something new
    shown[name].run = undefined
    start(name)
  })
  showProgress()
}

/** Ends both runs, and one that is about to start. */
const end = (how: string): void => {
  clearTimeout(later)
  byId("status").dataset["end"] = how
  names.forEach(stop)
  drawCharts()
  showProgress()
}

const show = (): void => {
  names.forEach((name) => editors[name].show(state[name]))
  scenario.value = chosen().name
  byId("about").textContent = state.written === "" ? chosen().about ?? "" : "written by hand, see below"
  const active = document.activeElement
  const fields = [
    [load, state.load],
    [clients, state.clients],
    [seed, state.seed],
    [script, state.script],
    [written, scenarioText()]
  ] as const
  fields.filter(([field, value]) => field !== active && field.value !== value)
    .forEach(([field, value]) => field.value = value)
  endpoints.checked = state.endpoints
}

/** Runs anew when nothing has been said for a moment. */
const change = (to: Partial<Share.State>): void => {
  state = { ...state, ...to }
  show()
  // also where the history may not be written to, as in a frame
  location.replace(`#${Share.toFragment(state)}`)
  clearTimeout(later)
  names.forEach(stop)
  document.body.dataset["state"] = "waiting"
  later = setTimeout(startAll, 250)
}

const restore = (): void => {
  const said = location.hash.slice(1)
  const read = said === "" ? Share.initial : Share.fromFragment(said)
  state = read ?? Share.initial
  byId("notice").textContent = read === undefined ? "This link could not be read; these are the defaults." : ""
}

scenario.addEventListener("input", () => change({ scenario: scenario.value, written: "", load: "", clients: "" }))
written.addEventListener("input", () => change({ written: written.value }))
load.addEventListener("input", () => change({ load: load.value }))
clients.addEventListener("input", () => change({ clients: clients.value }))
seed.addEventListener("input", () => change({ seed: seed.value }))
endpoints.addEventListener("input", () => change({ endpoints: endpoints.checked }))
script.addEventListener("input", () => change({ script: script.value }))
byId("to-results").addEventListener("click", () => {
  // the focus goes there too: the next Tab is in the results
  byId("results").focus({ preventScroll: true })
  byId("results").scrollIntoView()
})
byId("cancel").addEventListener("click", () => end("cancelled"))
byId("again").addEventListener("click", startAll)
byId("share").addEventListener("click", async () => {
  location.replace(`#${Share.toFragment(state)}`)
  byId("shared").textContent = await navigator.clipboard.writeText(location.href).then(
    () => "the link is copied",
    () => "copy the address of this page"
  )
})
addEventListener("hashchange", () => {
  // not by this page itself
  if (location.hash.slice(1) !== Share.toFragment(state)) {
    restore()
    show()
    startAll()
  }
})
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts)

scenario.append(...listed.map(({ name }) => h("option", { value: name }, name)))
restore()
show()
startAll()
