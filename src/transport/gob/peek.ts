/**
 * Reads the beginning of a value that was not received completely.
 *
 * @internal
 */
import { Reader } from "./bytes.js"
import type { Value } from "./stream.js"
import { forget } from "./types.js"
import { Walker } from "./walker.js"
import * as Wire from "./wire.js"

/** Returns a field of a struct that is an unsigned integer, from the beginning of the struct. @internal */
export const uintField = ({ parts, types }: Value, name: string): number | undefined => {
  const reader = new Reader(parts[0]!)
  const wire = types.of(reader.int())
  if (wire?.kind !== "struct") {
    return undefined
  }
  const place = wire.fields.findIndex((field) => field.name === name && field.id === Wire.basicIds.uint)
  let at = -1
  for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
    at += delta
    if (at >= place) {
      break
    }
    new Walker(types, forget, Wire.fieldOf(wire, at).id, 1).walk(reader)
  }
  // zeros are not sent
  return place === -1 ? undefined : at === place ? reader.uint() : 0
}
