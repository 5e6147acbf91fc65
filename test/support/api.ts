/**
 * The public API as text: what each entry point exports, with its type, one after the other in alphabetic order. A change of
 * it shows in review as a change of `test/package/api.txt`.
 */
import { readFileSync, writeFileSync } from "node:fs"
import * as Path from "node:path"
import { pathToFileURL } from "node:url"
import ts from "typescript"

const root = Path.join(import.meta.dirname, "..", "..")

/** Where the text is kept. */
export const file = Path.join(root, "test", "package", "api.txt")

/** The source of each entry point, by its name. */
const entries = (): ReadonlyArray<readonly [name: string, source: string]> => {
  const { exports } = JSON.parse(readFileSync(Path.join(root, "package.json"), "utf8")) as {
    readonly exports: Readonly<Record<string, { readonly [condition: string]: string } | string | null>>
  }
  return Object.entries(exports).flatMap(([name, target]) => {
    const source = target === null || typeof target === "string" ? undefined : target["@effect-rpc-retry/source"]
    if (source === undefined) {
      return []
    }
    if (!source.includes("*")) {
      return [[name, source] as const]
    }
    const [before, after] = source.split("*") as [string, string]
    return ts.sys.readDirectory(Path.join(root, before), [".ts"], undefined, ["*.ts"]).map((path) => {
      const part = Path.basename(path).slice(0, -after.length)
      return [name.replace("*", part), `${before}${part}${after}`] as const
    })
  }).filter(([name]) => name !== "./index" && name !== "./tsconfig")
}

const printer = ts.createPrinter({ removeComments: true })

const flags = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.UseAliasDefinedOutsideCurrentScope |
  ts.TypeFormatFlags.WriteArrowStyleSignature

const isInternal = (node: ts.Node): boolean => ts.getJSDocTags(node).some((tag) => tag.tagName.text === "internal")

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim()

/** A declaration without what is internal in it. */
const printed = (declaration: ts.Declaration): string => {
  const shown = ts.isInterfaceDeclaration(declaration)
    ? ts.factory.updateInterfaceDeclaration(
      declaration,
      declaration.modifiers,
      declaration.name,
      declaration.typeParameters,
      declaration.heritageClauses,
      declaration.members.filter((member) => !isInternal(member))
    )
    : declaration
  return oneLine(printer.printNode(ts.EmitHint.Unspecified, shown, declaration.getSourceFile()))
}

/** The API of today. */
export const print = (): string => {
  const config = ts.parseJsonConfigFileContent(
    ts.readConfigFile(Path.join(root, "tsconfig.json"), ts.sys.readFile).config,
    ts.sys,
    root
  )
  const all = entries()
  const program = ts.createProgram(all.map(([, source]) => Path.join(root, source)), config.options)
  const checker = program.getTypeChecker()
  const text = all.toSorted(([a], [b]) => a < b ? -1 : 1).map(([name, source]) => {
    const entry = program.getSourceFile(Path.join(root, source))!
    const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(entry)!)
    const lines = exported.toSorted((a, b) => a.name < b.name ? -1 : 1).flatMap((symbol) => {
      const original = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
      return (original.declarations ?? []).flatMap((declaration) => {
        if (
          isInternal(declaration) || (ts.isVariableDeclaration(declaration) && isInternal(declaration.parent.parent))
        ) {
          return []
        }
        if (ts.isSourceFile(declaration)) {
          return [`${symbol.name}: module`]
        }
        return ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration)
          ? [printed(declaration).replace(/^export /, "")]
          : [
            `${symbol.name}: ${
              oneLine(checker.typeToString(checker.getTypeOfSymbolAtLocation(original, entry), entry, flags))
            }`
          ]
      })
    })
    return [`# effect-rpc-retry${name.slice(1)}`, "", ...lines, ""].join("\n")
  })
  // where a module is on this machine says nothing of it
  return text.join("\n").replaceAll(/import\("[^"]*\/([^"/]+)"\)/g, "import(\"$1\")")
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  writeFileSync(file, print())
}
