/**
 * How messages are framed on a connection: bare, after their length, or after their length and headers.
 *
 * @internal
 */
import type { Facts } from "../../Deadline.js"
import { Problem } from "../../internal/errors/excerpt.js"
import * as Header from "./header.js"
import type { Procedure, Protocol } from "./message.js"
import * as Scanner from "./scanner.js"

/** @internal */
export type Transport = "buffered" | "framed" | "header" | "ttheader"

/** A message that was received. @internal */
export interface Framed extends Header.Headed {
  /** The size of the whole frame, in bytes. */
  readonly length: number
}

/** The number of bytes that must be there before it is worth reading again. @internal */
export interface Incomplete {
  readonly needed: number
}

/** @internal */
export interface Frames {
  readonly write: (message: Uint8Array, procedure: Procedure, id: number, facts: Facts) => Uint8Array
  /** Makes a reader of one frame. It is called with all bytes received so far, until the frame is complete. */
  readonly reader: () => ReadFrame
}

/** Reads a frame, and throws the problem with its bytes. */
type ReadFrame = (bytes: Uint8Array) => Framed | Incomplete

const lengthBytes = 4

const none: ReadonlyMap<string, string> = new Map()

/** Returns a complete frame with its length. */
const whole = (bytes: Uint8Array, maxFrameBytes: number): Uint8Array | Incomplete => {
  if (bytes.length < lengthBytes) {
    return { needed: lengthBytes }
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getInt32(0)
  if (length < 0 || length > maxFrameBytes) {
    // text and unframed messages begin with such a number too
    throw new Problem(`a frame of ${length} bytes; the most is ${maxFrameBytes}`)
  }
  return bytes.length < lengthBytes + length
    ? { needed: lengthBytes + length }
    : bytes.subarray(0, lengthBytes + length)
}

/**
 * How many times the size limit of an answer its decoded value may take in memory: a byte can be a struct, and a struct
 * is an object.
 */
const growth = 8

const scannerOf = (protocol: Protocol, maxFrameBytes: number) => Scanner.make(protocol, growth * maxFrameBytes)

const framed = (maxFrameBytes: number, protocol: Protocol, read: (frame: Uint8Array) => Header.Headed) => {
  const readFrame: ReadFrame = (bytes) => {
    const frame = whole(bytes, maxFrameBytes)
    if ("needed" in frame) {
      return frame
    }
    const headed = read(frame)
    scannerOf(protocol, maxFrameBytes).scan(headed.payload)
    return { ...headed, length: frame.length }
  }
  return () => readFrame
}

/** Reads messages without a frame, whose end only a scan can find. */
const unframed = (maxFrameBytes: number, protocol: Protocol) => (): ReadFrame => {
  const scanner = scannerOf(protocol, maxFrameBytes)
  return (bytes) => {
    const found = scanner.scan(bytes)
    if (("needed" in found ? found.needed : found.length) > maxFrameBytes) {
      throw new Problem(`a message of more than ${maxFrameBytes} bytes`)
    }
    return "needed" in found
      ? found
      : { payload: bytes.subarray(0, found.length), headers: none, length: found.length }
  }
}

/** @internal */
export const make = (transport: Transport, protocol: Protocol, maxFrameBytes: number): Frames => {
  switch (transport) {
    case "buffered":
      return {
        write: (message) => message,
        reader: unframed(maxFrameBytes, protocol)
      }
    case "framed":
      return {
        write: (message) => {
          const bytes = new Uint8Array(lengthBytes + message.length)
          new DataView(bytes.buffer).setInt32(0, message.length)
          bytes.set(message, lengthBytes)
          return bytes
        },
        reader: framed(maxFrameBytes, protocol, (frame) => ({ payload: frame.subarray(lengthBytes), headers: none }))
      }
    case "header":
      return {
        write: (message, _, id, facts) => Header.writeTHeader(message, id, protocol, facts),
        reader: framed(maxFrameBytes, protocol, (frame) => Header.readTHeader(frame, protocol))
      }
    case "ttheader":
      return {
        write: (message, { isOneway, name }, id, facts) => Header.writeTTHeader(message, id, name, isOneway, facts),
        reader: framed(maxFrameBytes, protocol, Header.readTTHeader)
      }
  }
}
