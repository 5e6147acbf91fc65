/**
 * Decodes values into the types that are asked for, as Go does.
 *
 * @internal
 */
import * as Result from "../../internal/result.js"
import * as Limit from "../shared/limit.js"
import { anyBasic, basic, built, bytes, cost, costOfObject, costOfTable, define, notSent, put } from "./build.js"
import type { Entries, Fields, OfKind } from "./build.js"
import { fail, Problem, Reader } from "./bytes.js"
import { maxDepth, type Named } from "./encoder.js"
import type { Value } from "./stream.js"
import type { GobType } from "./type.js"
import { forget, type Types } from "./types.js"
import { concrete, Walker } from "./walker.js"
import * as Wire from "./wire.js"

/** Decodes a value as a type, or, without one, by the definitions of the stream alone. @internal */
export const decode = (value: Value, type: GobType | undefined): unknown => {
  const reading = new Reading(value, type)
  while (!reading.step()) {
    // it has no end but its own
  }
  return reading.result
}

/** The number of items and fields that are decoded in one step: a few milliseconds. @internal */
export const perStep = 4_000

/** How many parts of a value are skipped in the time in which one is decoded. */
const skipsPerItem = 16

/** Returned in place of a value when the step ends before it is decoded. */
const paused = Symbol("paused")

/** As `paused`, when nothing of the value was read yet. */
const notBegun = Symbol("notBegun")

const mismatch = (wire: Wire.WireType | undefined, id: number, type: GobType): never =>
  fail(`is ${wire === undefined ? Wire.nameOfId(id) : Wire.describe(wire)}, and not ${type.kind}`)

const atEnd = (reader: Reader, value: unknown): unknown => reader.left === 0 ? value : fail("has more after a value")

/**
 * Decodes a value in steps. `step` returns whether `result` is complete; other work can run between steps.
 *
 * A step that ends inside the value leaves a stack of continuations, innermost first, each of which takes the next
 * decoded part.
 *
 * @internal
 */
export class Reading {
  private readonly types: Types
  private next = 1
  /** The names of the fields that lead to the current value. */
  private readonly path: Array<string> = []
  private left = 0
  private memory: number
  private saved: Array<(value: unknown) => unknown>
  result: unknown

  constructor(private readonly value: Value, type: GobType | undefined) {
    this.types = value.types
    this.memory = Limit.memoryOf(value.limit.bytes)
    this.saved = [() => this.whole(type)]
  }

  /** Decodes on. Returns whether the value is complete; throws a `Problem` when it does not fit the type. */
  step(): boolean {
    this.left = perStep
    const saved = this.saved
    this.saved = []
    return Result.getOrThrowWith(
      Result.try(() => {
        let value: unknown
        for (let i = 0; i < saved.length; i++) {
          value = saved[i]!(value)
          if (value === paused) {
            this.saved.push(...saved.slice(i + 1))
            return false
          }
        }
        this.result = value
        return true
      }),
      (failure) => failure instanceof Problem ? this.locate(failure) : failure
    )
  }

  private locate({ message }: Problem): Problem {
    return new Problem(this.path.length === 0 ? message : `at ${this.path.join(".")} ${message}`)
  }

  private save(next: (value: unknown) => unknown): typeof paused {
    this.saved.push(next)
    return paused
  }

  private readonly charge = (memory: number): void => {
    this.memory -= memory
    if (this.memory < 0) {
      fail(`is ${Limit.tooMuch(this.value.limit)}`)
    }
  }

  private whole(type: GobType | undefined): unknown {
    const { parts, problem } = this.value
    if (problem !== undefined) {
      return fail(problem)
    }
    const reader = new Reader(parts[0]!)
    const id = reader.int()
    if (reader.left === 0 && type?.kind === "optional") {
      // a nil pointer is its type alone
      return type.absent
    }
    this.types.single(reader, id)
    const value = this.read(reader, type, id, 0)
    return value === paused ? this.save((value) => atEnd(reader, value)) : atEnd(reader, value)
  }

  /** Continues in the next message of the value. Its definitions are known already. */
  private goOn(reader: Reader): void {
    reader.continue(this.value.parts[this.next++] ?? fail("ends in the middle of a value"))
  }

  /** Skips a field. A step skips more than it decodes. */
  private skip(reader: Reader, walker: Walker): unknown {
    const before = walker.passed
    const until = before + skipsPerItem * Math.max(1, this.left)
    let isAtEnd = walker.walk(reader, until)
    while (isAtEnd === false) {
      this.goOn(reader)
      isAtEnd = walker.walk(reader, until)
    }
    this.left -= (walker.passed - before) / skipsPerItem
    if (isAtEnd === undefined) {
      return this.save(() => this.skip(reader, walker))
    }
    return walker.problem === undefined ? undefined : fail(walker.problem)
  }

  private read(reader: Reader, type: GobType | undefined, id: number, depth: number): unknown {
    if (depth > maxDepth) {
      return fail(`is nested deeper than ${maxDepth} levels`)
    }
    const wire = this.types.of(id)
    if (type === undefined) {
      return this.any(reader, wire, id, depth)
    }
    switch (type.kind) {
      case "optional":
        return this.read(reader, type.of(), id, depth)
      case "interface":
        return id === Wire.interfaceId ? this.named(reader, type.types, depth) : mismatch(wire, id, type)
      case "slice":
      case "array": {
        if (
          wire?.kind !== type.kind || (wire.kind === "array" && type.kind === "array" && wire.length !== type.length)
        ) {
          return mismatch(wire, id, type)
        }
        const length = reader.count()
        if (type.kind === "array" && length !== type.length) {
          return fail(`has ${length} items, and not ${type.length}`)
        }
        return this.list(reader, type.item(), wire.item, length, depth)
      }
      case "map":
        return wire?.kind === "map" ? this.map(reader, type, wire, depth) : mismatch(wire, id, type)
      case "struct":
        return wire?.kind === "struct" ? this.struct(reader, type, wire, depth) : mismatch(wire, id, type)
      case "external":
        return wire?.kind === "external" && wire.by === type.by ? bytes(reader, this.charge) : mismatch(wire, id, type)
      case "bytes":
        // a string of Go need not be valid text
        return id === Wire.basicIds.bytes || id === Wire.basicIds.string
          ? bytes(reader, this.charge)
          : mismatch(wire, id, type)
      default:
        return id === Wire.basicIds[type.kind] ? basic(reader, type.kind, this.charge) : mismatch(wire, id, type)
    }
  }

  private any(reader: Reader, wire: Wire.WireType | undefined, id: number, depth: number): unknown {
    switch (wire?.kind) {
      case undefined:
        return id === Wire.interfaceId
          ? this.named(reader, undefined, depth)
          : anyBasic(reader, Wire.kindOfId(id), this.charge)
      case "slice":
      case "array":
        return this.list(reader, undefined, wire.item, reader.count(), depth)
      case "map":
        return this.map(reader, undefined, wire, depth)
      case "external":
        return bytes(reader, this.charge)
      case "struct":
        this.charge(cost.record)
        return this.anyFields(reader, wire, depth, {}, -1)
    }
  }

  private list(reader: Reader, item: GobType | undefined, id: number, length: number, depth: number): unknown {
    this.charge(cost.list + cost.slot * length)
    return this.items(reader, item, id, depth, Array<unknown>(length), 0)
  }

  private items(
    reader: Reader,
    item: GobType | undefined,
    id: number,
    depth: number,
    out: Array<unknown>,
    from: number
  ): unknown {
    for (let i = from; i < out.length; i++) {
      const value = --this.left < 0 ? notBegun : this.read(reader, item, id, depth + 1)
      if (value === notBegun || value === paused) {
        return this.saveItems(value === paused, reader, item, id, depth, out, i)
      }
      out[i] = value
    }
    return out
  }

  private saveItems(
    isBegun: boolean,
    reader: Reader,
    item: GobType | undefined,
    id: number,
    depth: number,
    out: Array<unknown>,
    i: number
  ): typeof paused {
    return this.save((value) => {
      if (!isBegun) {
        return this.items(reader, item, id, depth, out, i)
      }
      out[i] = value
      return this.items(reader, item, id, depth, out, i + 1)
    })
  }

  private map(
    reader: Reader,
    type: OfKind<"map", GobType> | undefined,
    wire: OfKind<"map", Wire.WireType>,
    depth: number
  ): unknown {
    const left = reader.count()
    const isRecord = type?.record === true
    this.charge(isRecord ? cost.record + cost.recordEntry * left : cost.map + cost.mapEntry * left)
    return this.entries({ reader, type, wire, depth, left, out: isRecord ? {} : new Map() })
  }

  private entries(map: Entries): unknown {
    const { depth, out, reader, type, wire } = map
    for (; map.left > 0; map.left--) {
      if (--this.left < 0) {
        return this.save(() => this.entries(map))
      }
      const key = this.read(reader, type?.key(), wire.key, depth + 1)
      if (key === paused) {
        return this.save((key) => {
          const isPaused = this.entry(map, key) === paused
          map.left--
          return isPaused ? this.save(() => this.entries(map)) : this.entries(map)
        })
      }
      if (this.entry(map, key) === paused) {
        map.left--
        return this.save(() => this.entries(map))
      }
    }
    return out
  }

  private entry(map: Entries, key: unknown): unknown {
    const value = this.read(map.reader, map.type?.value(), map.wire.value, map.depth + 1)
    return value === paused ? this.save((value) => put(map.out, key, value)) : put(map.out, key, value)
  }

  private struct(
    reader: Reader,
    type: OfKind<"struct", GobType>,
    wire: OfKind<"struct", Wire.WireType>,
    depth: number
  ): unknown {
    const fields = type.fields()
    this.charge(costOfObject(fields.length))
    return this.fields({ reader, fields, wire, depth, read: fields.map(() => notSent), sent: -1, own: -1 })
  }

  private fields(struct: Fields): unknown {
    const { depth, fields, read, reader, wire } = struct
    for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
      struct.sent += delta
      this.left--
      const { id, name } = Wire.fieldOf(wire, struct.sent)
      // most fields arrive in the order of the schema
      const own = fields[struct.own + 1]?.name === name
        ? struct.own + 1
        : fields.findIndex((field) => field.name === name)
      if (own === -1) {
        if (this.skip(reader, new Walker(this.types, forget, id, depth + 1)) === paused) {
          return this.save(() => this.fields(struct))
        }
        continue
      }
      struct.own = own
      this.path.push(name)
      const value = this.read(reader, fields[own]!.type, id, depth + 1)
      if (value === paused) {
        return this.saveField(struct)
      }
      this.path.pop()
      read[own] = value
    }
    return built(fields, read, depth, this.charge)
  }

  private saveField(struct: Fields): typeof paused {
    return this.save((value) => {
      this.path.pop()
      struct.read[struct.own] = value
      return this.fields(struct)
    })
  }

  private anyFields(
    reader: Reader,
    wire: OfKind<"struct", Wire.WireType>,
    depth: number,
    out: Record<string, unknown>,
    from: number
  ): unknown {
    let sent = from
    for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
      sent += delta
      this.left--
      this.charge(costOfTable(1) - costOfTable(0))
      const { id, name } = Wire.fieldOf(wire, sent)
      const value = this.read(reader, undefined, id, depth + 1)
      if (value === paused) {
        return this.saveAny(reader, wire, depth, out, sent)
      }
      define(out, name, value)
    }
    return out
  }

  private saveAny(
    reader: Reader,
    wire: OfKind<"struct", Wire.WireType>,
    depth: number,
    out: Record<string, unknown>,
    sent: number
  ): typeof paused {
    return this.save((value) => {
      define(out, Wire.fieldOf(wire, sent).name, value)
      return this.anyFields(reader, wire, depth, out, sent)
    })
  }

  private named(
    reader: Reader,
    types: ReadonlyMap<string, () => GobType> | undefined,
    depth: number
  ): Named | undefined | typeof paused {
    const name = reader.text()
    if (name === "") {
      return undefined
    }
    this.charge(costOfObject(2) + cost.text + name.length)
    let id = concrete(reader, forget)
    while (id === undefined) {
      this.goOn(reader)
      id = concrete(reader, forget)
    }
    this.types.single(reader, id)
    const type = types === undefined
      ? undefined
      : types.get(name)?.() ?? fail(`has a ${JSON.stringify(name)}, which is not one of Gob.named here`)
    const value = this.read(reader, type, id, depth + 1)
    return value === paused ? this.save((value) => ({ name, value })) : { name, value }
  }
}
