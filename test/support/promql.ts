/**
 * What a PromQL expression asks for, read by Prometheus' own grammar.
 */
import { parser } from "@prometheus-io/lezer-promql"

export interface Asked {
  /** Where the expression is not PromQL. */
  readonly errors: ReadonlyArray<string>
  /** Names of metrics, as regular expressions that match the whole name. */
  readonly metrics: ReadonlyArray<string>
  /** Names of labels, in matchers and groupings. */
  readonly labels: ReadonlyArray<string>
  /** Label values that are asked for exactly. */
  readonly values: ReadonlyArray<readonly [label: string, value: string]>
}

export const ask = (expression: string): Asked => {
  // what Grafana fills in
  const filled = expression.replaceAll("$__rate_interval", "1m").replaceAll("$method", ".*")
  const errors: Array<string> = []
  const metrics: Array<string> = []
  const labels = new Set<string>()
  const values: Array<readonly [string, string]> = []
  const text = (node: { readonly from: number; readonly to: number }) => filled.slice(node.from, node.to)
  parser.parse(filled).iterate({
    enter: ({ name, node }) => {
      if (node.type.isError) {
        errors.push(`at ${node.from}: ${filled}`)
      } else if (name === "Identifier" && node.parent?.name === "VectorSelector") {
        metrics.push(text(node))
      } else if (name === "UnquotedLabelMatcher") {
        const [label, operator, quoted] = [node.firstChild!, node.firstChild!.nextSibling!, node.lastChild!].map(text)
        const value: string = JSON.parse(quoted!)
        if (label === "__name__") {
          metrics.push(value)
        } else if (operator === "=") {
          values.push([label!, value])
        }
      }
      if (name === "LabelName" && text(node) !== "__name__") {
        labels.add(text(node))
      }
    }
  })
  return { errors, metrics, labels: Array.from(labels), values }
}
