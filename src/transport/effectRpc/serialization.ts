/**
 * Reads text in parts as one text.
 *
 * @internal
 */
import { constPing } from "@effect/rpc/RpcMessage"
import * as RpcSerialization from "@effect/rpc/RpcSerialization"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

type Serialization = RpcSerialization.RpcSerialization["Type"]

/** Returns whether messages are text whose parts arrive as they are cut, as NDJSON is. */
const isTextInParts = (serialization: Serialization): boolean =>
  serialization.includesFraming && Predicate.isString(serialization.unsafeMake().encode(constPing))

/**
 * Decodes text that is cut within a character. The library decodes each part by itself, and puts replacement characters
 * where one was cut.
 */
const inParts = (serialization: Serialization): Serialization =>
  isTextInParts(serialization)
    ? {
      ...serialization,
      unsafeMake: () => {
        const parser = serialization.unsafeMake()
        const text = new TextDecoder()
        return {
          encode: (message) => parser.encode(message),
          decode: (data) => parser.decode(Predicate.isString(data) ? data : text.decode(data, { stream: true }))
        }
      }
    }
    : serialization

/** Makes a protocol whose text may be cut anywhere. @internal */
export const readingInParts = <A, E, R>(protocol: Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    RpcSerialization.RpcSerialization,
    (serialization) => Effect.provideService(protocol, RpcSerialization.RpcSerialization, inParts(serialization))
  )
