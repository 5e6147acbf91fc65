/**
 * The services of `test/interop/go/netrpc`, as a program declares them: once, for either codec.
 */
import * as Gob from "effect-rpc-retry/Gob"
import * as GoRpc from "effect-rpc-retry/GoRpc"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const Args = Schema.Struct({ A: Gob.Int, B: Gob.Int })

const Nothing = Schema.Struct({})

export const Quotient = Schema.Struct({ Quo: Gob.Int, Rem: Gob.Int })

const Something = Gob.named({
  int: Gob.Int,
  string: Schema.String,
  "main.Quotient": Quotient,
  "main.Anything": Schema.suspend((): Schema.Schema<Anything> => Anything)
})

export interface Anything {
  readonly Before: string
  readonly Any: { readonly name: string; readonly value: unknown } | undefined
  readonly List: ReadonlyArray<{ readonly name: string; readonly value: unknown } | undefined>
  readonly After: string
}

export const Anything = Schema.Struct({
  Before: Schema.String,
  Any: Something,
  List: Schema.Array(Something),
  After: Schema.String
}) as unknown as Schema.Schema<Anything>

/** The services of one client. */
export const services = (rpc: GoRpc.Client) => {
  const client = Effect.succeed(rpc)
  return {
    arith: GoRpc.service("Arith", {
      Multiply: { args: Args, reply: Gob.Int, idempotent: true },
      Divide: { args: Args, reply: Quotient }
    }, { client }),
    probe: GoRpc.service("Probe", {
      Sleep: { args: Gob.Int, reply: Gob.Int },
      Calls: { args: Nothing, reply: Gob.Int },
      Exit: { args: Nothing, reply: Gob.Int },
      EchoAny: { args: Anything, reply: Anything }
    }, { client })
  }
}
