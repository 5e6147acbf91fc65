/**
 * A destination as a set of endpoints: follows its source, and makes each attempt at one of them.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import type { LazyArg } from "effect/Function"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import * as Utils from "effect/Utils"
import { CurrentAttempt, CurrentDeadline, IdempotencyKey, InheritedAttempt } from "../../Deadline.js"
import { type Fatal, isRetryable, Retryable, withEndpoint } from "../../RpcError.js"
import { read } from "../ambient/context.js"
import * as Progress from "../ambient/progress.js"
import { chosen, LegEndpoints, noneTried, TriedEndpoints } from "../ambient/tried.js"
import * as Causes from "../effect/cause.js"
import { retryableOf } from "../errors/cause.js"
import type { Breaker } from "../gate/circuitBreaker.js"
import { HeldGates } from "../gate/gate.js"
import { type Outcome, outcomeOf } from "../gate/outcome.js"
import * as Result from "../result.js"
import { closed, Dial } from "./dial.js"
import * as Discovery from "./discovery.js"
import type { EjectionSettings } from "./ejection.js"
import { type Choice, EndpointSet } from "./endpointSet.js"
import type { Member } from "./member.js"
import * as Picker from "./picker.js"
import * as Registry from "./registry.js"
import type { Prefer } from "./rotation.js"
import type { Endpoint, Source } from "./source.js"
import * as Telemetry from "./telemetry.js"

type Services = Context.Context<DefaultServices.DefaultServices>

/** Durations are in milliseconds. @internal */
export interface Settings {
  readonly destination: string
  readonly pick: Picker.Pick
  readonly prefer: Prefer | undefined
  readonly ejection: EjectionSettings | undefined
  readonly slowStart: number
  readonly breaker: LazyArg<Breaker> | undefined
  readonly emptyAfter: number
  /** `undefined` for no metrics. */
  readonly metrics: { readonly labels: number } | undefined
}

/** @internal */
export interface Core<Client> {
  readonly set: EndpointSet<Client>
  readonly discovery: Discovery.Discovery
  readonly telemetry: Telemetry.Telemetry
  readonly states: Effect.Effect<ReadonlyArray<Registry.State>>
  readonly scope: Scope.Scope
  readonly isClosed: LazyArg<boolean>
}

/**
 * Follows the source until the scope closes, which closes all clients too.
 *
 * @internal
 */
export const make = <Client, R, R2>(
  source: Source<R>,
  connect: (endpoint: Endpoint) => Effect.Effect<Client, unknown, R2>,
  { breaker, destination, ejection, emptyAfter, metrics, pick, prefer, slowStart }: Settings
): Effect.Effect<Core<Client>, never, Scope.Scope | R | Exclude<R2, Scope.Scope>> =>
  Effect.gen(function*() {
    const context = yield* Effect.context<Exclude<R2, Scope.Scope>>()
    const generator = new Utils.PCGRandom(yield* Random.nextInt)
    const telemetry = Telemetry.make(destination, metrics)
    let isClosed = false
    // a client that is slow to close delays no other
    const scope = yield* Effect.acquireRelease(Scope.make(ExecutionStrategy.parallel), (scope, exit) => {
      isClosed = true
      telemetry.close()
      return Scope.close(scope, exit)
    })
    // the context of the one who dials first is not that of all who wait: it has a deadline and an attempt
    const dialled = (endpoint: Endpoint) =>
      Effect.mapInputContext(
        Effect.suspend(() => connect(endpoint)),
        (own: Context.Context<Scope.Scope>) =>
          Context.add(context, Scope.Scope, Context.get(own, Scope.Scope)) as Context.Context<R2>
      )
    const set = new EndpointSet<Client>({
      destination,
      picker: Picker.make(pick, () => generator.number()),
      prefer,
      ejection,
      slowStart,
      breaker,
      telemetry,
      dial: (endpoint) => new Dial(dialled(endpoint), scope, () => isClosed)
    })
    const states = withServices((services) => set.states(services))
    const at = (services: Services) => ({
      destination,
      at: Context.get(services, Clock.Clock).unsafeCurrentTimeMillis()
    })
    const services = yield* withServices((services) => services)
    const discovery = yield* Scope.extend(
      Discovery.follow(source, {
        listed: (endpoints) =>
          Effect.flatMap(withServices((services) => set.replace(endpoints, services)), (left) => closeAll(left, scope)),
        failed: (error) => telemetry.emit({ _tag: "ListFailed", error, ...at(services) }),
        emptied: () => telemetry.emit({ _tag: "ListEmptied", ...at(services) }),
        emptyAfter,
        hasEndpoints: () => set.size > 0
      }),
      scope
    )
    yield* Registry.add({ destination, endpoints: states })
    return { set, discovery, telemetry, states, scope, isClosed: () => isClosed }
  }).pipe(Effect.mapInputContext(withoutCall))

/**
 * Endpoints that are made within a call outlive it: neither their source nor their clients have its deadline, its
 * attempt, its place in a gate or its span.
 */
const withoutCall = <R>(context: Context.Context<R>): Context.Context<R> =>
  Context.omit(
    CurrentAttempt,
    CurrentDeadline,
    IdempotencyKey,
    InheritedAttempt,
    HeldGates,
    LegEndpoints,
    Progress.CurrentAttemptProgress,
    TriedEndpoints,
    Tracer.ParentSpan
  )(context) as Context.Context<R>

/** Runs a step with the clock and the random numbers of the current fiber. */
const withServices = <A>(f: (services: Services) => A): Effect.Effect<A> =>
  Effect.withFiberRuntime((fiber) => Effect.succeed(f(fiber.currentDefaultServices)))

/**
 * Closes clients in the background: who has made the last call at one does not wait for it, but the scope of the
 * endpoints does when it closes.
 */
const closeAll = <Client>(members: ReadonlyArray<Member<Client>>, scope: Scope.Scope): Effect.Effect<void> =>
  Effect.forEach(members, ({ dial }) => Effect.forkIn(dial.close, scope), { discard: true })

/**
 * Makes an attempt at one of the endpoints. Each run chooses anew.
 *
 * @internal
 */
export const run = <Client, A, E, R>(
  core: Core<Client>,
  use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Retryable | Fatal, R> =>
  Effect.suspend(() =>
    core.discovery.isReady()
      ? attempt(core, use)
      : Effect.andThen(Progress.whileUnsent(() => core.discovery.ready), attempt(core, use))
  )

const attempt = <Client, A, E, R>(
  core: Core<Client>,
  use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Retryable | Fatal, R> =>
  Effect.withFiberRuntime((fiber) => {
    if (core.isClosed()) {
      return Effect.fail(closed())
    }
    const services = fiber.currentDefaultServices
    const progress = read(fiber.currentContext, Progress.CurrentAttemptProgress, undefined)
    const tried = read(fiber.currentContext, TriedEndpoints, noneTried)
    const legs = read(fiber.currentContext, LegEndpoints, undefined)
    return Effect.uninterruptibleMask((restore) => {
      const choice = core.set.choose(legs === undefined ? tried : [...tried, ...legs], services)
      if (choice === undefined) {
        return Effect.fail(noEndpoint(core))
      }
      const { member } = choice
      progress?.endpointChosen(member.name)
      if (legs !== undefined) {
        chosen(legs, member.name)
      }
      void Result.try(() => Telemetry.nameOnSpan(read(fiber.currentContext, Tracer.ParentSpan, undefined), member.name))
      let hasClient = false
      const made = atMember(member, (client, endpoint) => {
        hasClient = true
        return use(client, endpoint)
      })
      return Effect.matchCauseEffect(restore(made), {
        onSuccess: (answer) => {
          const exit = Exit.succeed(answer)
          return core.set.ended(choice, "Success", exit, services)
            ? Effect.andThen(closeAll([member], core.scope), exit)
            : exit
        },
        onFailure: (cause) => afterFailure(core, choice, cause, hasClient, progress, services)
      })
    })
  })

/** The attempt itself, once there is a client. */
const atMember = <Client, A, E, R>(
  { dial, endpoint }: Member<Client>,
  use: (client: Client, endpoint: Endpoint) => Effect.Effect<A, E, R>
): Effect.Effect<A, E | Retryable | Fatal, R> =>
  Effect.suspend(() =>
    dial.state === "Connected"
      ? use(dial.current!, endpoint)
      : Effect.flatMap(Progress.whileUnsent(() => dial.client), (client) => use(client, endpoint))
  )

const afterFailure = <Client, E>(
  core: Core<Client>,
  choice: Choice<Client>,
  cause: Cause.Cause<E>,
  hasClient: boolean,
  progress: Progress.AttemptProgress | undefined,
  services: Services
): Effect.Effect<never, E> => {
  const { member } = choice
  const exit = Exit.failCause(cause)
  const isUnmade = !hasClient && !Causes.hasInterruption(cause)
  const ended = isUnmade ? "Failure" : outcome(exit, progress)
  const isLast = core.set.ended(choice, ended, exit, services)
  const error = retryableOf(cause)
  if ((!hasClient && ended === "Failure") || (error !== undefined && isOfConnection(error))) {
    core.discovery.refresh()
  }
  const failed = Causes.mapFailures(
    exit,
    (error) => isRetryable(error) ? withEndpoint(error, member.name) as E : error
  )
  return isLast ? Effect.andThen(closeAll([member], core.scope), failed) : failed
}

const isOfConnection = ({ reason }: Retryable): boolean => reason === "ConnectionRefused" || reason === "ConnectionLost"

/** An attempt that its own timeout ended is interrupted, and is a failure all the same. */
const outcome = (
  exit: Exit.Exit<unknown, unknown>,
  progress: Progress.AttemptProgress | undefined
): Outcome => {
  const said = outcomeOf(exit)
  return said === "Ignored" && progress?.hasTimedOut() === true ? "Failure" : said
}

/** The error of an attempt when there is no endpoint: the source may give one before the next. */
const noEndpoint = <Client>({ discovery }: Core<Client>): Retryable =>
  new Retryable({
    reason: "Unavailable",
    delivery: "NotSent",
    cause: discovery.error() ?? "there are no endpoints"
  })
