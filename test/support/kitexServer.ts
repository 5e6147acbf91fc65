/**
 * The Kitex server of `test/interop/go/kitexthrift`, told what to do by its method `control`.
 */
import * as Thrift from "effect-rpc-retry/Thrift"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { Seen, Subject } from "./contract.js"
import type * as GoProgram from "./goProgram.js"
import type * as Types from "./thriftGen/es5/probe_types.js"
import { generated } from "./thriftServer.js"

const Seens = Schema.parseJson(Schema.Struct({
  seen: Schema.NullOr(Schema.Array(Schema.Struct({
    text: Schema.String,
    previousAttempts: Schema.Number,
    idempotencyKey: Schema.optional(Schema.String),
    remaining: Schema.optional(Schema.Number),
    cancelled: Schema.Boolean,
    contextDone: Schema.Boolean,
    isRetry: Schema.Boolean
  }))),
  told: Schema.NullOr(Schema.Array(Schema.String))
}))

export const busy = 1001

/** What is spoken is found out by the server. */
export const make = (
  program: ReturnType<typeof GoProgram.make>,
  options: Pick<Thrift.Settings<never>, "transport"> = {}
) =>
  Effect.gen(function*() {
    const scope = yield* Effect.scope
    let server = yield* program.serve()
    const { host, port } = server
    const control = yield* Thrift.make({ service: "Probe", client: generated.es5.Client, host, port, connections: 1 })
    const say = (command: object) => Effect.orDie(control.control(JSON.stringify(command)))
    const state = Effect.flatMap(say({ seen: true }), (text) => Effect.orDie(Schema.decode(Seens)(text)))
    const all = Effect.map(state, ({ seen }) => seen ?? [])
    return {
      port,
      probe: yield* Thrift.make({
        service: "Probe",
        client: generated.es5.Client,
        host,
        port,
        methods: { once: { idempotent: false } },
        retryOn: [busy],
        ...options
      }),
      script: (...steps: ReadonlyArray<string>) => Effect.asVoid(say({ script: steps })),
      told: Effect.map(state, ({ told }) => told ?? []),
      all,
      seen: Effect.map(all, (seen): ReadonlyArray<Seen> =>
        seen.map(({ idempotencyKey, previousAttempts, remaining, text }, i) => ({
          text,
          previousAttempts,
          idempotencyKey,
          remaining,
          cancelled: all.pipe(
            Effect.filterOrFail((now) =>
              now[i]!.cancelled
            ),
            Effect.retry(Schedule.spaced("2 millis")),
            Effect.ignore
          )
        }))),
      restart: Effect.gen(function*() {
        yield* server.kill
        server = yield* Scope.extend(program.serve("-address", server.address), scope)
        // the first answer of the new one is not the test's
        yield* say({ script: [] }).pipe(Effect.sandbox, Effect.retry(Schedule.spaced("5 millis")), Effect.orDie)
      })
    }
  })

export const subject = (
  program: ReturnType<typeof GoProgram.make>,
  transport: NonNullable<Thrift.Settings<never>["transport"]>
): Effect.Effect<Subject<Types.Missing | Types.Refused>, never, Scope.Scope> =>
  Effect.map(
    make(program, { transport }),
    ({ probe, restart, script, seen }): Subject<Types.Missing | Types.Refused> => ({
      echo: (text, options) => options?.idempotent === false ? probe.once(text) : probe.echo(text),
      script: (...steps) => script(...steps.map(({ _tag }) => _tag)),
      seen,
      restart
    })
  )
