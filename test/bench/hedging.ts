/**
 * Prints a table of latency and load: calls without a hedge, with the hedging of `@grpc/grpc-js`, and with a hedge in a policy, one after the
 * other against one server over loopback, which draws how long each request takes from the same numbers each time. Run it with
 * `npm run build && node --import tsx test/bench/hedging.ts`; `--calls=500` is shorter, and
 * `--interval=40` sends a call every 40 ms.
 */
// oxlint-disable no-await-in-loop -- one after the other is what is measured
import * as grpc from "@grpc/grpc-js"
import { Hedge, RpcRetry, withRpcRetry } from "effect-rpc-retry"
import * as Grpc from "effect-rpc-retry/Grpc"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { once } from "node:events"
import { Echo, type Text } from "../support/grpcClient.js"
import * as Random from "../support/random.js"

const option = (name: string, otherwise: number): number =>
  Number(process.argv.find((argument) => argument.startsWith(`--${name}=`))?.slice(name.length + 3) ?? otherwise)

const calls = option("calls", 5_000)

/** The milliseconds from one call to the next. */
const interval = option("interval", 4)

/** Median 5 ms; 2 % of the requests take 50 to 500 ms. */
const makeLaw = () => {
  const next = Random.make(1)
  const uniform = () => (next(1 << 20) + 0.5) / (1 << 20)
  const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
  return () => uniform() < 0.02 ? 50 + 450 * uniform() : 5 * Math.exp(0.3 * normal())
}

/** Answers after what the law says times the number that it is sent. Tells its parent its port, and when asked how many requests it had. */
const serve = () => {
  let law = makeLaw()
  let requests = 0
  const server = new grpc.Server()
  server.addService((Echo as unknown as { readonly service: grpc.ServiceDefinition }).service, {
    Echo: (call: grpc.ServerUnaryCall<Text, Text>, answer: grpc.sendUnaryData<Text>) => {
      requests++
      const timer = setTimeout(() => answer(null, call.request), law() * Number(call.request.value))
      call.on("cancelled", () => clearTimeout(timer))
    }
  })
  process.on("message", (message) => {
    process.send!({ requests })
    requests = 0
    law = message === "again" ? makeLaw() : law
  })
  process.on("disconnect", () => process.exit())
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (_, port) => process.send!({ port }))
}

const client = (port: number, options: grpc.ClientOptions) =>
  new Echo(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1, ...options })

const hedgingPolicy = {
  methodConfig: [{
    name: [{}],
    hedgingPolicy: { maxAttempts: 2, hedgingDelay: "0.015s", nonFatalStatusCodes: ["UNAVAILABLE"] }
  }]
}

/** The hedging of a policy, whose delay is given. */
const inPolicy = (after: Hedge.Options["after"]) => (port: number) => {
  const service = RpcRetry.make({
    default: { idempotent: true, hedge: { after, load: 0.05 } },
    budget: "off",
    metrics: "off"
  })
  const echo = Grpc.unary(client(port, Grpc.channelOptions), "Echo")
  return (value: string) =>
    Effect.runPromise(
      echo({ value }).pipe(withRpcRetry({ method: "Echo.Echo" }), Effect.provideService(RpcRetry.RpcRetry, service))
    )
}

const cases: Readonly<Record<string, (port: number) => (value: string) => Promise<unknown>>> = {
  "no hedge": (port) => {
    const echo = Grpc.unary(client(port, Grpc.channelOptions), "Echo")
    return (value) => Effect.runPromise(echo({ value }))
  },
  "grpc-js, `hedgingDelay` 15 ms": (port) => {
    const echo = client(port, { "grpc.service_config": JSON.stringify(hedgingPolicy) })
    return (value) =>
      new Promise((resolve, reject) => echo.Echo({ value }, (error) => error === null ? resolve(value) : reject(error)))
  },
  "`after` 15 ms, `load` 5 %": inPolicy(Duration.millis(15)),
  "`Hedge.quantile(0.95)`, `load` 5 %": inPolicy(Hedge.quantile(0.95))
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis))

/** Makes the calls, one each interval. Returns what each took in milliseconds, from the shortest. */
const timed = async (call: (value: string) => Promise<unknown>, slower: number): Promise<ReadonlyArray<number>> => {
  const start = performance.now()
  const pending: Array<Promise<number>> = []
  while (pending.length < calls) {
    for (const due = (performance.now() - start) / interval; pending.length < Math.min(due, calls);) {
      const begun = performance.now()
      pending.push(call(String(slower)).then(() => performance.now() - begun))
    }
    await sleep(1)
  }
  return (await Promise.all(pending)).toSorted((a, b) => a - b)
}

const measure = async () => {
  const child = fork(process.argv[1]!, ["serve"])
  const [{ port }] = await once(child, "message") as [{ port: number }]
  const requests = async (message: string) => {
    child.send(message)
    const [answer] = await once(child, "message") as [{ requests: number }]
    return answer.requests
  }
  const percent = (requests: number) => `${(100 * (requests / calls - 1)).toFixed(1)} %`
  const lines: Array<string> = []
  for (const [name, make] of Object.entries(cases)) {
    const call = make(port)
    await call("1")
    await requests("again")
    const usual = await timed(call, 1)
    const extra = percent(await requests("goOn"))
    await timed(call, 10)
    const extraWhenSlow = percent(await requests("goOn"))
    const [p50, p99] = [0.5, 0.99].map((share) => `${usual[Math.floor(calls * share)]!.toFixed(1)} ms`)
    lines.push(`| ${name} | ${p50} | ${p99} | ${extra} | ${extraWhenSlow} |`)
  }
  process.stdout.write(
    `| calls with | p50 | p99 | extra load | when the service is 10 times slower |\n| --- | --- | --- | --- | --- |\n${
      lines.join("\n")
    }\n`
  )
  process.exit()
}

await (process.argv[2] === "serve" ? serve() : measure())
