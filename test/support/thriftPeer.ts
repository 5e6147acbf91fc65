/**
 * Answers of Thrift written by hand, with the protocols of the library: those that its servers would not give, and worse.
 */
import * as thrift from "thrift"
import type { Flavour } from "./thriftServer.js"

const { CALL, EXCEPTION, REPLY } = thrift.Thrift.MessageType

const { I32, STRING } = thrift.Thrift.Type

export { CALL, EXCEPTION, REPLY }

const protocols = { binary: thrift.TBinaryProtocol, compact: thrift.TCompactProtocol }

/** The bytes of a message, without a frame. */
export const message = (
  protocol: Flavour["protocol"],
  { id = 1, name = "echo", type = REPLY }: {
    readonly id?: number | undefined
    readonly name?: string | undefined
    readonly type?: thrift.Thrift.MessageType | undefined
  },
  body: (output: thrift.TProtocol) => void
): Buffer => {
  const chunks: Array<Buffer> = []
  const transport = new thrift.TBufferedTransport(undefined, (chunk) => chunks.push(chunk!))
  const output = new protocols[protocol](transport)
  output.writeMessageBegin(name, type, id)
  output.writeStructBegin("")
  body(output)
  output.writeFieldStop()
  output.writeStructEnd()
  output.writeMessageEnd()
  transport.flush()
  return Buffer.concat(chunks)
}

export const text = (value: string, field = 0) => (output: thrift.TProtocol): void => {
  output.writeFieldBegin("", STRING, field)
  output.writeString(value)
  output.writeFieldEnd()
}

export const exception = (code: number, words: string) => (output: thrift.TProtocol): void => {
  text(words, 1)(output)
  output.writeFieldBegin("", I32, 2)
  output.writeI32(code)
  output.writeFieldEnd()
}

export const nothing = (): void => {}

export const framed = (bytes: Uint8Array): Buffer => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** As both kinds of headers begin; `headers` must fill words of four bytes. */
export const headed = (magic: number, headers: ReadonlyArray<number>, bytes: Uint8Array): Buffer => {
  const fixed = Buffer.alloc(10)
  fixed.writeUInt16BE(magic, 0)
  fixed.writeInt32BE(1, 4)
  fixed.writeUInt16BE(headers.length / 4, 8)
  return framed(Buffer.concat([fixed, Buffer.from(headers), bytes]))
}
