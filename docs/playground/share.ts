/**
 * The state of the page, and its text in the fragment of a link.
 */
import { type Kind, others } from "./protocol.js"

export interface Side {
  readonly kind: Kind
  /** The text of the document of a layer. It is kept while the side does something else. */
  readonly document: string
}

export interface State {
  readonly a: Side
  readonly b: Side
  /** The name of a scenario. */
  readonly scenario: string
  /** The text of a scenario that was written by hand; empty for the named one as it is. */
  readonly written: string
  readonly load: string
  readonly clients: string
  readonly seed: string
  readonly endpoints: boolean
  readonly script: string
}

export const initial: State = {
  a: { kind: "document", document: `{\n  "default": {\n    "deadline": "3s"\n  }\n}` },
  b: { kind: "plain", document: "{}" },
  scenario: "outage",
  written: "",
  load: "",
  clients: "",
  seed: "1",
  endpoints: false,
  script: "unavailable 30ms, hang, ok 40ms"
}

export const toFragment = (state: State): string => {
  const bytes = new TextEncoder().encode(JSON.stringify(state))
  const binary = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

const isSide = (side: unknown): side is Side =>
  typeof side === "object" && side !== null && "kind" in side && "document" in side &&
  typeof side.document === "string" && ["document", ...others].includes(side.kind as Kind)

/** Each field of the other state that is of the right type, and the initial one for the others. */
const merged = (read: object): State =>
  Object.fromEntries(
    Object.entries(initial).map(([key, value]) => {
      const said = (read as Record<string, unknown>)[key]
      const isFine = key === "a" || key === "b" ? isSide(said) : typeof said === typeof value
      return [key, isFine ? said : value]
    })
  ) as unknown as State

/** Reads a fragment; `undefined` for one that is of no state. */
export const fromFragment = (fragment: string): State | undefined => {
  try {
    const binary = atob(fragment.replaceAll("-", "+").replaceAll("_", "/"))
    const read: unknown = JSON.parse(new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0))))
    return typeof read === "object" && read !== null ? merged(read) : undefined
  } catch {
    return undefined
  }
}
