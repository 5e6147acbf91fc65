/**
 * The error of a fallback that failed.
 *
 * @internal
 */
import * as Data from "effect/Data"
import { isRpcError } from "../../RpcError.js"
import * as Read from "../errors/read.js"

/** Errors of ours have messages without secrets; of others only the name is shown. */
const shown = (error: unknown): string =>
  isRpcError(error) || error instanceof FallbackFailed
    ? error.message
    : Read.text(error, "_tag") ?? Read.text(error, "name") ?? "an error without a name"

/**
 * A call that failed, and whose fallback failed too. It has both errors.
 *
 * It is made for every typed failure of the handler, so that the error of the call is never lost behind that of its
 * fallback. Of errors that are not of this package the `message` has the tag or the name alone.
 *
 * `withRpcRetry` around it does not retry it.
 *
 * @since 0.1.0
 * @category errors
 */
export class FallbackFailed<out E = unknown, out F = unknown> extends Data.TaggedError("FallbackFailed")<{
  /** How the call failed: what the handler was given. */
  readonly error: E
  /** How the handler failed. */
  readonly fallback: F
}> {
  /** Says both, the call first. */
  override get message(): string {
    return `${shown(this.error)}; its fallback failed too: ${shown(this.fallback)}`
  }
}
