/**
 * The check of the address of a server.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"
import type { ConnectionOptions } from "node:tls"
import * as Excerpt from "../../internal/errors/excerpt.js"
import * as Result from "../../internal/result.js"
import { checkNumber, InvalidOption } from "../../InvalidOption.js"
import { got, invalid, isName } from "../shared/options.js"
import * as NodeSocket from "./socket.js"

/** `host` and `port`, or the `path` of a Unix socket; with TLS or without. @internal */
export type Address =
  & ({ readonly host: string; readonly port: number } | { readonly path: string })
  & { readonly tls?: ConnectionOptions | undefined }

/** Checks an address without connecting to it. @internal */
export const checkAddress = (where: string, address: Address): Result.Result<void, InvalidOption> =>
  Result.gen(function*() {
    if ("path" in address) {
      if (!isName(address.path)) {
        return yield* invalid(where, "path", `must be the path of a socket, ${got(address.path)}`)
      }
    } else {
      if (!isName(address.host)) {
        return yield* invalid(where, "host", `must be a name or an address, ${got(address.host)}`)
      }
      yield* checkNumber(where, "port", address.port, { min: 1, max: 65_535, integer: true })
    }
    const { tls } = address
    if (tls !== undefined) {
      const problem = Predicate.isRecord(tls)
        ? NodeSocket.validateTls(tls)
        : Result.fail(`must be an object, got ${Excerpt.kindOf(tls)}`)
      yield* Result.mapError(problem, (problem) => new InvalidOption({ where, field: "tls", problem }))
    }
  })
