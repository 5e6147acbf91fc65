/**
 * A little help with elements. All text is set as text, never as HTML.
 */

type Attributes = Readonly<Record<string, string | number | boolean | ((event: Event) => void) | undefined>>

const apply = (element: Element, attributes: Attributes, children: ReadonlyArray<Node | string>): void => {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name, value)
    } else if (value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value))
    }
  }
  element.append(...children)
}

export const h = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): HTMLElementTagNameMap[K] => {
  const element = document.createElement(tag)
  apply(element, attributes, children)
  return element
}

export const s = <K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: ReadonlyArray<Node | string>
): SVGElementTagNameMap[K] => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag)
  apply(element, attributes, children)
  return element
}

export const byId = (id: string): HTMLElement => document.getElementById(id)!

export const time = (millis: number): string =>
  millis < 1000 ? `${Math.round(millis * 10) / 10} ms` : `${Math.round(millis / 10) / 100} s`
