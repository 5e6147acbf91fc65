/**
 * Fails when something that a user can import, or a field, an option or a method of it, has no doc comment of its own: an
 * editor shows nothing there.
 */
import { readFileSync } from "node:fs"
import * as Path from "node:path"
import ts from "typescript"

const root = Path.join(import.meta.dirname, "..", "..")

const { exports } = JSON.parse(readFileSync(Path.join(root, "package.json"), "utf8"))

const config = ts.parseJsonConfigFileContent(
  ts.readConfigFile(Path.join(root, "tsconfig.json"), ts.sys.readFile).config,
  ts.sys,
  root
)

const isEntry = (file: string) => /^src\/(\w+|transport\/\w+|testing\/\w+)\.ts$/.test(Path.relative(root, file))

const program = ts.createProgram(config.fileNames.filter(isEntry), config.options)
const checker = program.getTypeChecker()

const isInternal = (node: ts.Node): boolean => ts.getJSDocTags(node).some((tag) => tag.tagName.text === "internal")

/** The text of the comment right above a node, without its tags. */
const docOf = (node: ts.Node): string => {
  const [doc] = ts.getJSDocCommentsAndTags(node).filter(ts.isJSDoc)
  return ts.getTextOfJSDocComment(doc?.comment)?.trim() ?? ""
}

/** The fields and methods that are written out in a type. */
const membersOf = (node: ts.Node): ReadonlyArray<ts.TypeElement> => {
  if (ts.isInterfaceDeclaration(node)) {
    return node.members.flatMap((member) => [member, ...nested(member)])
  }
  if (ts.isTypeAliasDeclaration(node)) {
    return literalsOf(node.type).flatMap(({ members }) => members.flatMap((member) => [member, ...nested(member)]))
  }
  return []
}

/** Object types written out in a type, but for those of conditional types, which compute and are not filled in by users. */
const literalsOf = (type: ts.TypeNode | undefined): ReadonlyArray<ts.TypeLiteralNode> =>
  type === undefined
    ? []
    : ts.isTypeLiteralNode(type)
    ? [type]
    : ts.isUnionTypeNode(type) || ts.isIntersectionTypeNode(type)
    ? type.types.flatMap(literalsOf)
    : ts.isParenthesizedTypeNode(type)
    ? literalsOf(type.type)
    : ts.isTypeReferenceNode(type) && ["ReadonlyArray", "Readonly", "Partial"].includes(type.typeName.getText())
    ? (type.typeArguments ?? []).flatMap(literalsOf)
    : []

const nested = (member: ts.TypeElement): ReadonlyArray<ts.TypeElement> =>
  ts.isPropertySignature(member)
    ? literalsOf(member.type).flatMap(({ members }) => members.flatMap((inner) => [inner, ...nested(inner)]))
    : []

/** The options written out in the parameters of a function. */
const optionsOf = (node: ts.Node): ReadonlyArray<ts.TypeElement> => {
  const found: Array<ts.TypeElement> = []
  const visit = (child: ts.Node): void => {
    if (ts.isParameter(child)) {
      literalsOf(child.type).forEach(({ members }) =>
        members.forEach((member) => found.push(member, ...nested(member)))
      )
    }
    ts.forEachChild(child, visit)
  }
  if (ts.isVariableDeclaration(node)) {
    const { initializer, type } = node
    ;[type, initializer !== undefined && ts.isArrowFunction(initializer) ? initializer : undefined]
      .forEach((part) => part !== undefined && visitSignature(part, visit))
  }
  return found
}

const visitSignature = (part: ts.Node, visit: (node: ts.Node) => void): void =>
  ts.isArrowFunction(part) ? part.parameters.forEach(visit) : ts.forEachChild(part, visit)

const where = (node: ts.Node): string => {
  const file = node.getSourceFile()
  const { line } = file.getLineAndCharacterOfPosition(node.getStart())
  return `${Path.relative(root, file.fileName)}:${line + 1}`
}

/** A type id, and what has a name no user writes, says all by its name. */
const isPlumbing = (member: ts.TypeElement): boolean => {
  const name = member.name?.getText() ?? ""
  return name.startsWith("[") || name.startsWith("\"~") || name === "_tag" || name.startsWith("\"none of")
}

const problems = new Set<string>()
const said = (node: ts.Node, name: string): void => {
  if (docOf(node) === "" && !isInternal(node)) {
    problems.add(`${where(node)} ${name} has no doc comment of its own`)
  }
}

for (const file of program.getSourceFiles().filter(({ fileName }) => isEntry(fileName))) {
  const symbol = checker.getSymbolAtLocation(file)
  for (const exported of symbol === undefined ? [] : checker.getExportsOfModule(symbol)) {
    const original = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
    for (const declaration of original.declarations ?? []) {
      const own = declaration.getSourceFile().fileName
      if (!own.startsWith(Path.join(root, "src")) || ts.isSourceFile(declaration) || isInternal(declaration)) {
        continue
      }
      const documented = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration
      if (exported.name !== "TypeId" && !exported.name.startsWith("is")) {
        said(documented, exported.name)
      }
      for (const member of [...membersOf(declaration), ...optionsOf(declaration)]) {
        if (!isPlumbing(member)) {
          said(member, `${exported.name}.${member.name?.getText() ?? "(call)"}`)
        }
      }
    }
  }
}

if (Object.keys(exports).length === 0 || problems.size > 0) {
  process.stderr.write(`${Array.from(problems).toSorted().join("\n")}\n${problems.size} without a doc comment\n`)
  process.exitCode = 1
} else {
  process.stdout.write("every exported member has a doc comment\n")
}
