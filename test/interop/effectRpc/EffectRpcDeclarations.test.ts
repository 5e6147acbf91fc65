/**
 * Clients in a package that is published with declarations: their types can be named there.
 */
import { fileURLToPath } from "node:url"
import ts from "typescript"
import { assert, describe, it } from "../../support/vitest.js"

const source = `
import * as Rpc from "@effect/rpc/Rpc"
import * as RpcClient from "@effect/rpc/RpcClient"
import * as RpcGroup from "@effect/rpc/RpcGroup"
import { RpcRetry } from "effect-rpc-retry"
import * as EffectRpc from "effect-rpc-retry/EffectRpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

class Users extends RpcGroup.make(
  Rpc.make("Get", { payload: { id: Schema.Int }, success: Schema.String }),
  Rpc.make("Watch", { success: Schema.String, stream: true })
).merge(RpcGroup.make(Rpc.make("all")).prefix("admin.")) {}

export const users = EffectRpc.make(Users)
export const get = Effect.map(users, (users) => users.Get)
export const watch = Effect.map(users, ({ Watch }) => ({ Watch }))
export const retried = Effect.map(users, (users) => RpcRetry.client(users))
export const parts = Effect.map(users, (users) => ({ ...users }))
export class Service extends Effect.Service<Service>()("Service", {
  scoped: Effect.map(RpcClient.make(Users), (client) => {
    const { Get, Watch, admin } = EffectRpc.client(client, Users)
    return { Get, Watch, admin }
  })
}) {}
`

describe("EffectRpc: declarations", () => {
  it("of clients, of their calls and of services made of them", { timeout: 600_000 }, () => {
    const root = fileURLToPath(new URL("../../..", import.meta.url))
    const file = `${root}test/transport/declared.ts`
    const { options } = ts.parseJsonConfigFileContent(
      ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile).config,
      ts.sys,
      root
    )
    const compiling = { ...options, noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: `${root}out` }
    const host = ts.createCompilerHost(compiling)
    const { fileExists, getSourceFile } = host
    host.fileExists = (name) => name === file || fileExists(name)
    host.getSourceFile = (name, ...others) =>
      name === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2022) : getSourceFile(name, ...others)
    let declarations = ""
    const program = ts.createProgram([file], compiling, host)
    const declared = program.getSourceFile(file)
    const emitted = program.emit(declared, (_name, text) => {
      declarations = text
    })
    const problems = [...program.getSemanticDiagnostics(declared), ...emitted.diagnostics]
    assert.deepStrictEqual(problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")), [])
    assert.include(declarations, "EffectRpc.CallOptions")
  })
})
