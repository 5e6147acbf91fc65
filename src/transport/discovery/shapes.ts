/**
 * Shapes of addresses and of the answers of Go programs.
 *
 * @internal
 */
import * as Schema from "effect/Schema"

/** Returns `host:port`, with brackets around an address of IPv6. @internal */
export const join = (host: string, port: number): string => host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/** A field that Go leaves out, or writes as `null`, when it is empty. @internal */
export const maybe = <A, I>(schema: Schema.Schema<A, I>) => Schema.optional(Schema.NullOr(schema))
