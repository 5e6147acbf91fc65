/**
 * Which service a call has that runs at another place than it was built: a layer that is given to a service of the
 * user's is in force where that is built, and not where its methods run.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import { globalValue } from "effect/GlobalValue"
import * as Option from "effect/Option"
import { read } from "../ambient/context.js"
import { versioned } from "../ambient/version.js"
import * as Runtime from "../effect/runtime.js"
import * as Result from "../result.js"

/**
 * The key of the service in a context, for those who may not know its type. It holds the version: calls do not see the
 * layer of another version of this package.
 *
 * @internal
 */
export const key: string = versioned("effect-rpc-retry/RpcRetry")

interface Reference<S> {
  readonly key: string
  readonly Service: S
}

/**
 * What a layer gave a fiber as the service, `undefined` where none did.
 *
 * @internal
 */
export const given = <S>(context: Context.Context<never>, reference: Reference<S>): S | undefined =>
  read<S | undefined>(context, reference, undefined)

/**
 * What a layer gave the fiber that runs this line; `undefined` also where no fiber does, as when a module is loaded.
 *
 * @internal
 */
export const builtWith = <S>(reference: Reference<S>): S | undefined =>
  Option.getOrUndefined(Option.map(Fiber.getCurrentFiber(), ({ currentContext }) => given(currentContext, reference)))

/**
 * Gives effects that are run later the service of the fiber that runs this line.
 *
 * @internal
 */
export const captured = (): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> => {
  const service = builtWith<unknown>({ key, Service: undefined })
  return service === undefined
    ? identity
    : (self) => Effect.provide(self, Context.unsafeMake<never>(new Map([[key, service]])))
}

/** The two facts of this process that the warning needs, shared by copies of this module. */
const process_ = globalValue(Symbol.for("effect-rpc-retry/wiring"), () => ({ layerBuilt: false, warned: false }))

/**
 * A layer was built in this process.
 *
 * @internal
 */
export const layerBuilt: Effect.Effect<void> = Effect.sync(() => {
  process_.layerBuilt = true
})

/** Bundlers put the value in; elsewhere there may be no `process`, or no leave to read it. */
const isProduction = (): boolean =>
  // oxlint-disable-next-line no-restricted-globals -- bundlers look for these very words
  Result.getOrElse(Result.try(() => process.env.NODE_ENV === "production"), () => false)

/**
 * A call runs without a layer. Where one was built in this process that is mostly a mistake: it is logged, once.
 *
 * @internal
 */
export const withoutLayer = (): void => {
  if (process_.layerBuilt && !process_.warned) {
    process_.warned = true
    if (!isProduction()) {
      Option.map(Fiber.getCurrentFiber(), (fiber) => Runtime.forkBeside(fiber, Effect.logWarning(warning)))
    }
  }
}

const warning =
  "RpcRetry: a call has the default policy and no budget, since it ran where no layer provides RpcRetry, though "
  + "this process has built one. A layer that is given to a service does not reach what its methods pipe through "
  + "withRpcRetry: take `const retry = yield* RpcRetry.bind` where the service is built, or provide the layer to the whole "
  + "program. This is logged once, and not where NODE_ENV is production."
