/**
 * Encodes values, and before the first value of a type the definition of the type.
 *
 * @internal
 */
import * as Result from "../../internal/result.js"
import { fail, Writer } from "./bytes.js"
import { definitionOf } from "./definition.js"
import { type Field, type GobType, maxTypes, pointed } from "./type.js"
import * as Wire from "./wire.js"

/** The deepest nesting of values that are encoded or decoded. @internal */
export const maxDepth = 1_000

/** A value of an interface type, with the name of its concrete type. @internal */
export interface Named {
  readonly name: string
  readonly value: unknown
}

/** @internal */
export interface Complex {
  readonly re: number
  readonly im: number
}

/** Encodes the values of one stream. @internal */
export class Encoder {
  /** The ids of types by their definitions: types that are defined alike have the same id, whatever their schema. */
  private readonly ids = new Map<string, number>()
  private nextId = Wire.firstId
  private definitions: Array<Uint8Array> = []
  private readonly spare: Array<Writer> = []

  /**
   * Adds the messages for values to a stream: new definitions, then the values. When it throws, nothing was added, and
   * the types of the values count as not sent.
   */
  encode(stream: Writer, ...values: ReadonlyArray<readonly [type: GobType, value: unknown]>): void {
    this.definitions = []
    const firstId = this.nextId
    const written = Result.try(() => values.map(([type, value]) => this.body(type, value)))
    if (Result.isFailure(written)) {
      this.forget(firstId)
      throw Result.failureOf(written)
    }
    this.definitions.forEach((definition) => stream.block(definition))
    Result.successOf(written).forEach((body) => {
      stream.block(body.written())
      this.spare.push(body)
    })
  }

  private body(type: GobType, value: unknown): Writer {
    const body = this.writer()
    body.int(this.idOf(type))
    this.single(body, type, value, 0)
    return body
  }

  private writer(): Writer {
    return this.spare.pop()?.clear() ?? new Writer()
  }

  private forget(firstId: number): void {
    if (this.nextId > firstId) {
      this.ids.forEach((id, definition) => {
        if (id >= firstId) {
          this.ids.delete(definition)
        }
      })
      this.nextId = firstId
    }
  }

  /** Writes a value that is no field of a struct. */
  private single(writer: Writer, type: GobType, value: unknown, depth: number): void {
    const bare = pointed(type)
    if (bare.kind !== "struct") {
      writer.uint(0)
    }
    this.write(writer, type, value, depth)
  }

  private idOf(type: GobType): number {
    const bare = pointed(type)
    if (bare.kind === "interface") {
      return Wire.interfaceId
    }
    if (bare.kind in Wire.basicIds) {
      return Wire.basicIds[bare.kind as keyof typeof Wire.basicIds]
    }
    const definition = definitionOf(bare)
    const known = this.ids.get(definition)
    if (known !== undefined) {
      return known
    }
    if (this.ids.size >= maxTypes) {
      fail(
        `would define more than ${maxTypes} types in one stream, which keeps them: make schemas once, and with the same names`
      )
    }
    const id = this.nextId++
    this.ids.set(definition, id)
    // reserve the index: the definition goes before those of its parts
    const place = this.definitions.push(new Uint8Array()) - 1
    this.definitions[place] = Wire.definition(id, this.wireOf(bare))
    return id
  }

  private wireOf(type: GobType): Wire.WireType {
    switch (type.kind) {
      case "slice":
        return { kind: "slice", name: "", item: this.idOf(type.item()) }
      case "array":
        return { kind: "array", name: "", item: this.idOf(type.item()), length: type.length }
      case "map":
        return { kind: "map", name: "", key: this.idOf(type.key()), value: this.idOf(type.value()) }
      case "struct":
        return {
          kind: "struct",
          name: type.name,
          fields: type.fields().map((field) => ({ name: field.name, id: this.idOf(field.type) }))
        }
      case "external":
        return { kind: "external", name: type.name, by: type.by }
      default:
        return fail(`${type.kind} is not defined by a stream`)
    }
  }

  private write(writer: Writer, type: GobType, value: unknown, depth: number): void {
    if (depth > maxDepth) {
      fail(`is nested deeper than ${maxDepth} levels`)
    }
    switch (type.kind) {
      case "bool":
        return writer.uint(value === true ? 1 : 0)
      case "int":
      case "int64":
        return writer.int(value as number | bigint)
      case "uint":
      case "uint64":
        return writer.uint(value as number | bigint)
      case "float":
        return writer.float(value as number)
      case "complex": {
        const { im, re } = value as Complex
        writer.float(re)
        return writer.float(im)
      }
      case "string":
        return writer.text(value as string)
      case "bytes":
      case "external":
        return writer.block(value as Uint8Array)
      case "slice":
      case "array": {
        const items = value as ReadonlyArray<unknown>
        const item = type.item()
        writer.uint(items.length)
        return items.forEach((one) => this.element(writer, item, one, depth))
      }
      case "map": {
        const entries = type.record
          ? Object.entries(value as Readonly<Record<string, unknown>>)
          : Array.from(value as ReadonlyMap<unknown, unknown>)
        writer.uint(entries.length)
        return entries.forEach(([key, one]) => {
          this.element(writer, type.key(), key, depth)
          this.element(writer, type.value(), one, depth)
        })
      }
      case "struct":
        return this.struct(writer, type.fields(), value as Readonly<Record<string, unknown>>, depth)
      case "optional":
        return value === undefined || value === null
          ? fail("is absent where gob has no place for nil: only a field of a struct can be")
          : this.write(writer, type.of(), value, depth)
      case "interface":
        return this.named(writer, type.types, value as Named | undefined, depth)
    }
  }

  private element(writer: Writer, type: GobType, value: unknown, depth: number): void {
    this.write(writer, type, value, depth + 1)
  }

  private struct(
    writer: Writer,
    fields: ReadonlyArray<Field>,
    value: Readonly<Record<string, unknown>>,
    depth: number
  ): void {
    let last = -1
    fields.forEach(({ name, type }, i) => {
      if (!isLeftOut(type, value[name])) {
        writer.uint(i - last)
        last = i
        this.write(writer, type, value[name], depth + 1)
      }
    })
    writer.uint(0)
  }

  private named(
    writer: Writer,
    types: ReadonlyMap<string, () => GobType>,
    value: Named | undefined,
    depth: number
  ): void {
    if (value === undefined) {
      return writer.text("")
    }
    const type = types.get(value.name)?.() ?? fail(`has a ${JSON.stringify(value.name)}, which is not registered`)
    writer.text(value.name)
    writer.int(this.idOf(type))
    const body = this.writer()
    this.single(body, type, value.value, depth + 1)
    writer.block(body.written())
    this.spare.push(body)
  }
}

/**
 * Returns whether a field is left out of a struct: the receiver makes the zero value itself. An empty map is sent, as
 * the receiver would have a nil map otherwise, which cannot be written to. A type that encodes itself is left out when
 * its zero value is encoded as no bytes, which it may not be able to decode.
 */
const isLeftOut = (type: GobType, value: unknown): boolean => {
  switch (type.kind) {
    case "bool":
      return value === false
    case "int":
    case "int64":
    case "uint":
    case "uint64":
    case "float":
      return Object.is(Number(value), 0)
    case "string":
      return value === ""
    case "bytes":
    case "external":
    case "slice":
      return (value as ReadonlyArray<unknown>).length === 0
    case "optional":
    case "interface":
      return value === undefined || value === null
    default:
      return false
  }
}
