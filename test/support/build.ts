/**
 * Builds `dist`: what `tsc -p src` emits, with the calls marked that a bundler may drop. Run by `npm run build`.
 */
import * as Path from "node:path"
import ts from "typescript"
import * as PureCalls from "./pureCalls.js"

const root = Path.join(import.meta.dirname, "..", "..")

const report = (diagnostics: ReadonlyArray<ts.Diagnostic>): void => {
  if (diagnostics.length > 0) {
    process.stderr.write(ts.formatDiagnostics(diagnostics, ts.createCompilerHost({})))
    process.exit(1)
  }
}

const config = ts.getParsedCommandLineOfConfigFile(Path.join(root, "src", "tsconfig.json"), {}, {
  ...ts.sys,
  onUnRecoverableConfigFileDiagnostic: (diagnostic) => report([diagnostic])
})!
report(config.errors)
const program = ts.createProgram(config.fileNames, config.options)
report(ts.getPreEmitDiagnostics(program))
report(program.emit(undefined, undefined, undefined, false, { after: [PureCalls.transformer] }).diagnostics)
