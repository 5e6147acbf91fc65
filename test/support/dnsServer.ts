/** A name server at a loopback port, over UDP and TCP, that answers as it is told. */
import * as Effect from "effect/Effect"
import * as Dgram from "node:dgram"
import * as Net from "node:net"

export type Record =
  | { readonly type: "A" | "AAAA"; readonly address: string; readonly ttl: number }
  | {
    readonly type: "SRV"
    readonly name: string
    readonly port: number
    readonly priority: number
    readonly weight: number
    readonly ttl: number
  }

/** What it does with a question. `"cut"` answers over UDP that the answer is too long, and over TCP with the records. */
export type Answer =
  | ReadonlyArray<Record>
  | "NXDOMAIN"
  | "SERVFAIL"
  | "silence"
  | { readonly cut: ReadonlyArray<Record> }

const types = { A: 1, AAAA: 28, SRV: 33 } as const
type Type = keyof typeof types

const nameBytes = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").filter((label) => label !== "").map((label) =>
      Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])
    ),
    Buffer.from([0])
  ])

const sixteen = (...numbers: ReadonlyArray<number>): Buffer => {
  const bytes = Buffer.alloc(2 * numbers.length)
  numbers.forEach((number, i) => bytes.writeUInt16BE(number, 2 * i))
  return bytes
}

const addressBytes = (address: string): Buffer => {
  if (!address.includes(":")) {
    return Buffer.from(address.split(".").map(Number))
  }
  const [before = "", after] = address.split("::")
  const groups = (text: string | undefined) =>
    (text ?? "").split(":").filter(Boolean).map((group) => parseInt(group, 16))
  const [first, last] = [groups(before), groups(after)]
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0)
  return sixteen(...first, ...zeros, ...last)
}

const recordBytes = (record: Record): Buffer => {
  const data = record.type === "SRV"
    ? Buffer.concat([sixteen(record.priority, record.weight, record.port), nameBytes(record.name)])
    : addressBytes(record.address)
  const head = Buffer.alloc(12)
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(types[record.type], 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(record.ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

const questionOf = (query: Buffer) => {
  const labels: Array<string> = []
  let at = 12
  while (query[at]! > 0) {
    labels.push(query.subarray(at + 1, at + 1 + query[at]!).toString())
    at += 1 + query[at]!
  }
  const number = query.readUInt16BE(at + 1)
  const type = (Object.keys(types) as Array<Type>).find((type) => types[type] === number)
  return { name: labels.join("."), type, question: query.subarray(12, at + 5) }
}

const respond = (query: Buffer, answer: Answer, overTcp: boolean): Buffer | undefined => {
  if (answer === "silence") {
    return undefined
  }
  const { question } = questionOf(query)
  const isCut = typeof answer === "object" && "cut" in answer && !overTcp
  const records = typeof answer === "string" ? [] : "cut" in answer ? (overTcp ? answer.cut : []) : answer
  const code = answer === "NXDOMAIN" ? 3 : answer === "SERVFAIL" ? 2 : 0
  const flags = 0x8180 | code | (isCut ? 0x0200 : 0)
  return Buffer.concat([
    query.subarray(0, 2),
    sixteen(flags, 1, records.length, 0, 0),
    question,
    ...records.map(recordBytes)
  ])
}

export const make = Effect.gen(function*() {
  const answers = new Map<string, Answer>()
  const asked: Array<string> = []
  const find = (query: Buffer, how: string): Answer => {
    const { name, type } = questionOf(query)
    asked.push(`${how} ${type} ${name}`)
    const named = Array.from(answers.keys()).some((key) => key.split(" ")[1] === name)
    return answers.get(`${type} ${name}`) ?? answers.get(`* ${name}`) ?? (named ? [] : "NXDOMAIN")
  }
  const sockets = () => {
    const tcp = Net.createServer((socket) => {
      socket.on("error", () => {})
      socket.on("data", (data) => {
        const query = data.subarray(2)
        const response = respond(query, find(query, "tcp"), true)
        if (response !== undefined) {
          socket.write(Buffer.concat([sixteen(response.length), response]))
        }
      })
    })
    const udp = Dgram.createSocket("udp4")
    udp.on("message", (query, from) => {
      const response = respond(query, find(query, "udp"), false)
      if (response !== undefined) {
        udp.send(response, from.port, from.address)
      }
    })
    return { tcp, udp }
  }
  // the port has to be free for both
  const listening = Effect.async<ReturnType<typeof sockets>, Error>((resume) => {
    const { tcp, udp } = sockets()
    tcp.once("error", (error) => {
      udp.close()
      resume(Effect.fail(error))
    })
    udp.bind(
      0,
      "127.0.0.1",
      () => tcp.listen(udp.address().port, "127.0.0.1", () => resume(Effect.succeed({ tcp, udp })))
    )
  })
  const { udp } = yield* Effect.acquireRelease(
    Effect.orDie(Effect.retry(listening, { times: 50 })),
    ({ tcp, udp }) =>
      Effect.sync(() => {
        udp.close()
        tcp.close()
      })
  )
  return {
    /** For the option `servers`. */
    server: `127.0.0.1:${udp.address().port}`,
    /** All questions so far, as `udp A name`. */
    asked,
    /** What it answers from now on, by `A name`, or `* name` for all kinds. A name that is known has no other records. */
    answer: (question: string, answer: Answer) => {
      answers.set(question, answer)
    }
  }
})

export const a = (address: string, ttl = 60): Record => ({ type: "A", address, ttl })
export const aaaa = (address: string, ttl = 60): Record => ({ type: "AAAA", address, ttl })
export const srv = (name: string, port: number, priority = 0, weight = 1): Record => ({
  type: "SRV",
  name,
  port,
  priority,
  weight,
  ttl: 60
})
