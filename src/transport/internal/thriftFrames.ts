/**
 * How messages stand on a connection: one after another, each behind its length, or behind its length and headers.
 *
 * @internal
 */
import type { Facts } from "./facts.js"
import * as Header from "./thriftHeader.js"
import type { Procedure, Protocol } from "./thriftMessage.js"

/** @internal */
export type Transport = "buffered" | "framed" | "header" | "ttheader"

/** A message that has come. @internal */
export interface Framed extends Header.Headed {
  /** Of the whole frame; `undefined` where only the message itself says where it ends. */
  readonly length: number | undefined
}

/** Not before there are so many bytes is it worth another look. @internal */
export interface Incomplete {
  readonly needed: number
}

/** @internal */
export interface Frames {
  readonly write: (message: Uint8Array, procedure: Procedure, id: number, facts: Facts) => Uint8Array
  /** Throws what is wrong with the bytes. */
  readonly read: (bytes: Uint8Array) => Framed | Incomplete
  readonly sendsFacts: boolean
}

const lengthBytes = 4

const none: ReadonlyMap<string, string> = new Map()

/** The whole frame, with its length. */
const whole = (bytes: Uint8Array, maxFrameBytes: number): Uint8Array | Incomplete => {
  if (bytes.length < lengthBytes) {
    return { needed: lengthBytes }
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0)
  if (length < 0 || length > maxFrameBytes) {
    // bytes of a text or of an unframed message are such a length too
    throw new Error(`a frame of ${length} bytes; the most is ${maxFrameBytes}`)
  }
  return bytes.length < lengthBytes + length ? { needed: lengthBytes + length } : bytes.subarray(0, lengthBytes + length)
}

const framed = (maxFrameBytes: number, read: (frame: Uint8Array) => Header.Headed): Frames["read"] => (bytes) => {
  const frame = whole(bytes, maxFrameBytes)
  return "needed" in frame ? frame : { ...read(frame), length: frame.length }
}

/** @internal */
export const make = (transport: Transport, protocol: Protocol, maxFrameBytes: number): Frames => {
  switch (transport) {
    case "buffered":
      return {
        write: (message) => message,
        read: (bytes) => {
          if (bytes.length > maxFrameBytes) {
            throw new Error(`a message of more than ${maxFrameBytes} bytes`)
          }
          return { payload: bytes, headers: none, length: undefined }
        },
        sendsFacts: false
      }
    case "framed":
      return {
        write: (message) => {
          const bytes = new Uint8Array(lengthBytes + message.length)
          new DataView(bytes.buffer).setInt32(0, message.length)
          bytes.set(message, lengthBytes)
          return bytes
        },
        read: framed(maxFrameBytes, (frame) => ({ payload: frame.subarray(lengthBytes), headers: none })),
        sendsFacts: false
      }
    case "header":
      return {
        write: (message, _, id, facts) => Header.writeTHeader(message, id, protocol, facts),
        read: framed(maxFrameBytes, (frame) => Header.readTHeader(frame, protocol)),
        sendsFacts: true
      }
    case "ttheader":
      return {
        write: (message, { isOneway, name }, id, facts) => Header.writeTTHeader(message, id, name, isOneway, facts),
        read: framed(maxFrameBytes, Header.readTTHeader),
        sendsFacts: true
      }
  }
}
