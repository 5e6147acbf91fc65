/**
 * Marks the calls that make the value of a constant, or the parent of a class, when a module is loaded: `@__PURE__`.
 *
 * A bundler keeps such a call, and all that it names with it, unless it is told that the call only makes a value. In
 * this package all of them do: a call made for its effect stands as a statement of its own, which is left as it is.
 */
import ts from "typescript"

/** Whether a call is what another one is made on, as `a()` is in `a()()` and `a().b()`: the outer mark is enough. */
const isCallee = (node: ts.Node): boolean => {
  const parent: ts.Node | undefined = node.parent
  return parent !== undefined &&
    ((ts.isCallExpression(parent) && parent.expression === node) ||
      (ts.isPropertyAccessExpression(parent) && isCallee(parent)))
}

export const transformer: ts.TransformerFactory<ts.SourceFile> = (context) => (file) => {
  const visit = (node: ts.Node): ts.Node => {
    if (ts.isFunctionLike(node)) {
      return node
    }
    const visited = ts.visitEachChild(node, visit, context)
    return (ts.isCallExpression(visited) || ts.isNewExpression(visited)) && !isCallee(ts.getOriginalNode(node))
      ? ts.addSyntheticLeadingComment(visited, ts.SyntaxKind.MultiLineCommentTrivia, " @__PURE__ ", false)
      : visited
  }
  const statement = (node: ts.Node): ts.Node =>
    ts.isVariableStatement(node) || ts.isClassDeclaration(node) || ts.isExportAssignment(node) ? visit(node) : node
  return ts.visitEachChild(file, statement, context)
}
