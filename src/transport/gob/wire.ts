/**
 * How gob describes types: the ids that every stream knows, and the definitions that a stream sends.
 *
 * @internal
 */
import { fail, type Reader, Writer } from "./bytes.js"
import type { Basic } from "./type.js"

/** @internal */
export const basicIds: Record<Basic, number> = {
  bool: 1,
  int: 2,
  int64: 2,
  uint: 3,
  uint64: 3,
  float: 4,
  bytes: 5,
  string: 6,
  complex: 7
}

/** @internal */
export const interfaceId = 8

const basics: ReadonlyArray<Basic | undefined> = [
  undefined,
  "bool",
  "int",
  "uint",
  "float",
  "bytes",
  "string",
  "complex"
]

/** @internal */
export const kindOfId = (id: number): Basic => basics[id] ?? fail(`has the type ${id}, which is not defined`)

/** @internal */
export const nameOfId = (id: number): string => id === interfaceId ? "interface" : kindOfId(id)

/** The first id of a type that a stream defines. @internal */
export const firstId = 65

/** @internal */
export type WireType =
  | { readonly kind: "array"; readonly name: string; readonly item: number; readonly length: number }
  | { readonly kind: "slice"; readonly name: string; readonly item: number }
  | { readonly kind: "struct"; readonly name: string; readonly fields: ReadonlyArray<WireField> }
  | { readonly kind: "map"; readonly name: string; readonly key: number; readonly value: number }
  | { readonly kind: "external"; readonly name: string; readonly by: "gob" | "binary" | "text" }

/** @internal */
export interface WireField {
  readonly name: string
  readonly id: number
}

/** @internal */
export const describe = (type: WireType): string => {
  const length = type.kind === "array" ? ` of ${type.length}` : ""
  return `${type.kind}${length}${type.name === "" ? "" : ` ${type.name}`}`
}

/** Returns a field of a struct by its index. @internal */
export const fieldOf = (type: WireType & { readonly kind: "struct" }, i: number): WireField =>
  type.fields[i] ?? fail(`has a field ${i} of ${describe(type)}, which has ${type.fields.length}`)

const externals = ["gob", "binary", "text"] as const

/** Writes a struct: each field that is not zero, after the distance from the one before, and a 0 at the end. */
const writeStruct = (writer: Writer, fields: ReadonlyArray<((writer: Writer) => void) | undefined>): void => {
  let last = -1
  fields.forEach((write, i) => {
    if (write !== undefined) {
      writer.uint(i - last)
      write(writer)
      last = i
    }
  })
  writer.uint(0)
}

const int = (n: number) => n === 0 ? undefined : (writer: Writer) => writer.int(n)

const text = (text: string) => text === "" ? undefined : (writer: Writer) => writer.text(text)

const common = (name: string, id: number) => (writer: Writer) => writeStruct(writer, [text(name), int(id)])

const body = (type: WireType, id: number): ReadonlyArray<((writer: Writer) => void) | undefined> => {
  const first = common(type.name, id)
  switch (type.kind) {
    case "array":
      return [first, int(type.item), int(type.length)]
    case "slice":
      return [first, int(type.item)]
    case "map":
      return [first, int(type.key), int(type.value)]
    case "external":
      return [first]
    case "struct":
      return [
        first,
        type.fields.length === 0 ? undefined : (writer) => {
          writer.uint(type.fields.length)
          type.fields.forEach((field) => writeStruct(writer, [text(field.name), int(field.id)]))
        }
      ]
  }
}

const slotOf = (type: WireType): number => {
  switch (type.kind) {
    case "array":
      return 0
    case "slice":
      return 1
    case "struct":
      return 2
    case "map":
      return 3
    case "external":
      return 4 + externals.indexOf(type.by)
  }
}

/** Returns the definition of a type, as a message without its length. @internal */
export const definition = (id: number, type: WireType): Uint8Array => {
  const writer = new Writer()
  writer.int(-id)
  const slot = slotOf(type)
  writeStruct(writer, [
    ...Array.from({ length: slot }, () => undefined),
    (writer) => writeStruct(writer, body(type, id))
  ])
  return writer.written()
}

/** Reads a struct with the given fields, by their indexes. */
const readStruct = (reader: Reader, fields: ReadonlyArray<() => void>): void => {
  let field = -1
  for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
    field += delta
    const read = fields[field] ?? fail("has a type definition that is none")
    read()
  }
}

const readCommon = (reader: Reader): string => {
  let name = ""
  readStruct(reader, [() => {
    name = reader.text()
  }, () => void reader.int()])
  return name
}

const readFields = (reader: Reader, check: () => void): ReadonlyArray<WireField> => {
  const fields: Array<WireField> = []
  for (let left = reader.count(); left > 0; left--) {
    let name = ""
    let id = 0
    readStruct(reader, [() => {
      name = reader.text()
    }, () => {
      id = reader.int()
    }])
    fields.push({ name, id })
    check()
  }
  return fields
}

/** Reads a definition. Calls `check` repeatedly, which throws when it is too large. @internal */
export const readDefinition = (reader: Reader, check: () => void): WireType => {
  let type: WireType | undefined
  const numbers = (make: (name: string, a: number, b: number) => WireType) => () => {
    let name = ""
    let a = 0
    let b = 0
    readStruct(reader, [() => {
      name = readCommon(reader)
    }, () => {
      a = reader.int()
    }, () => {
      b = reader.int()
    }])
    type = make(name, a, b)
  }
  readStruct(reader, [
    numbers((name, item, length) => ({ kind: "array", name, item, length })),
    numbers((name, item) => ({ kind: "slice", name, item })),
    () => {
      let name = ""
      let fields: ReadonlyArray<WireField> = []
      readStruct(reader, [() => {
        name = readCommon(reader)
      }, () => {
        fields = readFields(reader, check)
      }])
      type = { kind: "struct", name, fields }
    },
    numbers((name, key, value) => ({ kind: "map", name, key, value })),
    ...externals.map((by) => numbers((name) => ({ kind: "external", name, by })))
  ])
  return type ?? fail("has a type definition that defines nothing")
}
