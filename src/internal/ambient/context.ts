/**
 * Reads references from a context and sets them. Kept in one file because Effect 4 renames the map inside a `Context`.
 *
 * @internal
 */
import * as Context from "effect/Context"
import * as Hash from "effect/Hash"

/**
 * Reads a reference that is usually not provided, and returns `orElse` when it is missing. A call reads five references
 * before its first attempt, and `Context.get` takes about 150 ns for each missing one; this lookup avoids that cost.
 *
 * @internal
 */
export const read = <S>(
  context: Context.Context<never>,
  reference: { readonly key: string; readonly Service: S },
  orElse: S
): S => {
  const value: S | undefined = context.unsafeMap.get(reference.key)
  return value === undefined ? orElse : value
}

/**
 * A context that computes its hash when it is asked. Effect asks each context that it provides, and those of its own
 * keep the hash in a property, which costs more than to compute it for a context that is provided once.
 */
class Copied {
  constructor(readonly unsafeMap: Map<string, unknown>) {}

  [Hash.symbol](): number {
    return Hash.number(this.unsafeMap.size)
  }
}

Object.setPrototypeOf(Copied.prototype, Object.getPrototypeOf(Context.empty()))

/**
 * A copy of a context while it is being made. `Context.add` would copy it for each value.
 *
 * @internal
 */
export class Copy {
  private readonly map: Map<string, unknown>

  constructor(context: Context.Context<never>) {
    this.map = new Map<string, unknown>(context.unsafeMap)
  }

  /** Sets a reference. */
  set<S>({ key }: { readonly key: string; readonly Service: S }, value: S): void {
    this.map.set(key, value)
  }

  /** The copy. */
  get done(): Context.Context<never> {
    return new Copied(this.map) as unknown as Context.Context<never>
  }
}

/** Copies a context. @internal */
export const copy = (context: Context.Context<never>): Copy => new Copy(context)
