/**
 * The bytes that `time.Time` writes of itself.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"

/** From the first of January of the year 1 to that of 1970, in seconds. */
const unixEpoch = 62_135_596_800n

/** @internal */
export const decode = (bytes: Uint8Array): Option.Option<DateTime.Utc> => {
  if (bytes.length === 0) {
    return DateTime.make(Number(-unixEpoch) * 1000)
  }
  if ((bytes[0] !== 1 || bytes.length !== 15) && (bytes[0] !== 2 || bytes.length !== 16)) {
    return Option.none()
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return DateTime.make(Number(view.getBigInt64(1) - unixEpoch) * 1000 + Math.floor(view.getInt32(9) / 1_000_000))
}

/** In UTC. @internal */
export const encode = ({ epochMillis }: DateTime.Utc): Uint8Array => {
  const bytes = new Uint8Array(15)
  const view = new DataView(bytes.buffer)
  const seconds = Math.floor(epochMillis / 1000)
  view.setUint8(0, 1)
  view.setBigInt64(1, BigInt(seconds) + unixEpoch)
  view.setInt32(9, (epochMillis - seconds * 1000) * 1_000_000)
  // UTC
  view.setInt16(13, -1)
  return bytes
}
