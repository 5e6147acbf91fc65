/**
 * The policy of a side: what it does, its fields as controls, and the document beside them.
 */
import { h } from "./dom.js"
import { type Choice, type Field, get, groups, type Json, set } from "./fields.js"
import type { Kind } from "./protocol.js"
import type { Side } from "./share.js"

const kinds: ReadonlyArray<readonly [Kind, string]> = [
  ["document", "a layer, as below"],
  ["layer", "RpcRetry.layer(), the defaults"],
  ["default", "withRpcRetry alone, without a layer"],
  ["grpcA6", "preset grpcA6"],
  ["aws2026", "preset aws2026"],
  ["kitexFailure", "preset kitexFailure"],
  ["sreTenPercent", "preset sreTenPercent"],
  ["plain", "plain Effect.retry, 3 times"],
  ["none", "no retry"]
]

export interface Editor {
  readonly element: HTMLElement
  readonly show: (side: Side) => void
  /** Shows what is wrong with the document; nothing for `""`. */
  readonly wrong: (problem: string) => void
}

const parsed = (document: string): Json | undefined => {
  try {
    return document.trim() === "" ? {} : JSON.parse(document) as Json
  } catch {
    return undefined
  }
}

const choiceOf = (choices: ReadonlyArray<Choice>, value: Json | undefined): number =>
  choices.findIndex(({ is, value: own }) => is === undefined ? value === own : is(value))

/** A control of a field, what it shows of a document, and what it says the field is. */
const controlOf = (id: string, field: Field, changed: (value: Json | undefined, needs?: Choice["needs"]) => void) => {
  const { choices, hint = "", isNumber = false, label, path, when } = field
  const control = choices === undefined
    ? h("input", {
      id,
      type: "text",
      inputmode: isNumber ? "decimal" : "text",
      placeholder: hint,
      spellcheck: "false",
      autocomplete: "off"
    })
    : h("select", { id }, ...choices.map(({ label }, i) => h("option", { value: i }, label)))
  control.addEventListener("input", () => {
    const text = control.value.trim()
    changed(
      choices !== undefined
        ? choices[Number(text)]?.value
        : text === ""
        ? undefined
        : isNumber && Number.isFinite(Number(text))
        ? Number(text)
        : text,
      choices?.[Number(text)]?.needs
    )
  })
  const element = h("div", { class: "field" }, h("label", { for: id }, label), control)
  return {
    element,
    show: (document: Json) => {
      const value = get(document, path)
      element.hidden = when !== undefined && !when(document)
      if (choices !== undefined) {
        control.value = String(choiceOf(choices, value))
      } else if (document !== undefined && control !== globalThis.document.activeElement) {
        control.value = value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value)
      }
    }
  }
}

export const make = (name: string, changed: (side: Side) => void): Editor => {
  let side: Side = { kind: "document", document: "{}" }
  const id = (what: string) => `${name}-${what}`

  const kind = h(
    "select",
    { id: id("kind") },
    ...kinds.map(([value, label]) => h("option", { value }, label))
  )
  const text = h("textarea", {
    id: id("document"),
    rows: 9,
    spellcheck: "false",
    autocomplete: "off",
    "aria-describedby": id("problem")
  })
  const problem = h("p", { id: id("problem"), class: "problem", role: "alert" })
  const copied = h("span", { role: "status" })

  const change = (to: Partial<Side>) => {
    side = { ...side, ...to }
    show(side)
    changed(side)
  }
  const controls = groups.map(({ fields, legend }) => ({
    legend,
    fields: fields.map((field) =>
      controlOf(id(field.path.join(".")), field, (value, needs) => {
        const changed = set(parsed(side.document) ?? {}, field.path, value)
        const document = needs === undefined ? changed : set(changed, needs.path, needs.value)
        change({ document: JSON.stringify(document ?? {}, null, 2) })
      })
    )
  }))
  const copy = async () => {
    await navigator.clipboard.writeText(text.value).then(
      () => copied.textContent = "copied",
      () => {
        text.select()
        copied.textContent = "press Ctrl+C to copy"
      }
    )
  }
  const format = () => {
    const document = parsed(text.value)
    if (document !== undefined) {
      change({ document: JSON.stringify(document, null, 2) })
    }
  }
  const document_ = h(
    "div",
    { class: "document" },
    ...controls.map(({ fields, legend }) =>
      h("fieldset", {}, h("legend", {}, legend), ...fields.map(({ element }) => element))
    ),
    h("label", { for: id("document") }, "the document: edit it, paste one, or copy it"),
    text,
    problem,
    h(
      "div",
      { class: "row" },
      h("button", { type: "button", id: id("copy"), click: copy }, "Copy"),
      h("button", { type: "button", click: format }, "Format"),
      copied
    )
  )
  kind.addEventListener("input", () => change({ kind: kind.value as Kind }))
  text.addEventListener("input", () => change({ document: text.value }))

  const show = (next: Side): void => {
    side = next
    kind.value = side.kind
    document_.hidden = side.kind !== "document"
    if (text.value !== side.document) {
      text.value = side.document
    }
    const document = parsed(side.document)
    if (document !== undefined) {
      controls.forEach(({ fields }) => fields.forEach((field) => field.show(document)))
    }
  }

  return {
    element: h(
      "section",
      { class: "card", "aria-labelledby": id("title") },
      h("h2", { id: id("title") }, `Policy ${name.toUpperCase()}`),
      h("div", { class: "field wide" }, h("label", { for: id("kind") }, "clients have"), kind),
      document_
    ),
    show,
    wrong: (said) => {
      problem.textContent = said
      text.toggleAttribute("aria-invalid", said !== "")
    }
  }
}
