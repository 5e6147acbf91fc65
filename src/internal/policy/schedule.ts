/**
 * The delays of a call: what schedules are made of, and how one is run.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Monotonic from "../ambient/monotonic.js"
import * as Step from "../effect/step.js"

/**
 * A schedule that goes on for ever and says its delays, each computed from the one before.
 *
 * @internal
 */
export const unfoldDelays = <S, In = unknown>(
  initial: S,
  next: (state: S, input: In) => Effect.Effect<readonly [delay: Duration.Duration, state: S]>
): Schedule.Schedule<Duration.Duration, In> =>
  Step.unfold(initial, (_, input: In, state) => Effect.map(next(state, input), ([delay, state]) => ({ delay, state })))

/**
 * Several schedules side by side, each with its own state; each input goes to one of them, and that one decides.
 *
 * @internal
 */
export const choose = <In, R>(
  schedules: ReadonlyMap<string, Schedule.Schedule<unknown, In, R>>,
  keyOf: (input: In) => string
): Schedule.Schedule<Duration.Duration, In, R> =>
  Step.unfold(new Map<string, unknown>(), (now, input: In, states) => {
    const key = keyOf(input)
    const schedule = schedules.get(key)
    if (schedule === undefined) {
      return Effect.succeed({ state: states, delay: undefined })
    }
    const state = states.has(key) ? states.get(key) : Step.initial(schedule)
    return Effect.map(Step.next(schedule, now, input, state), ({ delay, state }) => ({
      state: new Map(states).set(key, state),
      delay: delay === undefined ? undefined : Duration.millis(delay)
    }))
  })

/**
 * Delays that can be computed: the first is `base`, each next one `factor` times as long but at most `cap`, `retries` of
 * them. In milliseconds.
 */
interface Plan {
  readonly base: number
  readonly factor: number
  readonly cap: number
  readonly retries: number
}

/** Those of the schedules made here. Whatever an operator makes of such a schedule is another one, and has none. */
const plans = new WeakMap<object, Plan>()

const planned = <S extends object>(schedule: S, plan: Plan): S => {
  plans.set(schedule, plan)
  return schedule
}

/**
 * Makes an exponential backoff that does not end, in milliseconds.
 *
 * @internal
 */
export const exponential = (base: number, factor: number, cap: number): Schedule.Schedule<Duration.Duration> =>
  planned(
    unfoldDelays(base, (delay) => Effect.succeed([Duration.millis(delay), Math.min(cap, delay * factor)] as const)),
    { base, factor, cap, retries: Infinity }
  )

/**
 * Ends a schedule after `n` retries.
 *
 * @internal
 */
export const retries = <Out, In, R>(
  self: Schedule.Schedule<Out, In, R>,
  n: number
): Schedule.Schedule<Out, In, R> => {
  const ending = Schedule.map(Schedule.intersect(self, Schedule.recurs(n)), ([out]) => out)
  const plan = plans.get(self)
  return plan === undefined ? ending : planned(ending, { ...plan, retries: Math.min(n, plan.retries) })
}

/**
 * The schedule of one call. `next` gives the delay in milliseconds before the next attempt, or `undefined` when the
 * schedule is done.
 *
 * A `hint` of the server's takes the place of the delay, and after it the delays start over: those the schedule has
 * given before, for failures of the same kind, come again. The schedule itself goes on, for it also counts.
 *
 * @internal
 */
export interface Run<In, R> {
  readonly next: (now: number, input: In, hint?: Hint) => Step.Now<number | undefined, R>
  /** Takes the next step for an attempt that does not wait for its delay. Returns whether there is one. */
  readonly take: (now: number, input: In) => Step.Now<boolean, R>
}

/**
 * The delay that a server asks for, in milliseconds, and the shortest one that is waited for it: by default the first
 * that the schedule gave for a failure of the same kind.
 *
 * @internal
 */
export interface Hint {
  readonly delay: number
  readonly atLeast: number | undefined
}

/** How many delays are remembered, of each kind, to start over from; after them the last one stays. */
const remembered = 64

/** The delays that were given for failures of one kind, and how many have come again since the last hint. */
interface Given {
  readonly kind: string
  readonly delays: Array<number>
  again: number
}

/** The steps of a schedule: computed where it has a plan, else made by the schedule itself. */
interface Steps<In, R> {
  readonly next: (now: number, input: In) => Step.Now<number | undefined, R>
}

class Computed implements Steps<unknown, never> {
  private made = 0
  private delay: number

  constructor(private readonly plan: Plan) {
    this.delay = plan.base
  }

  next(): number | undefined {
    const { delay, plan } = this
    this.delay = Math.min(plan.cap, delay * plan.factor)
    return this.made++ < plan.retries ? Monotonic.between(0, delay) : undefined
  }
}

const stepsOf = <In, R>(schedule: Schedule.Schedule<unknown, In, R>): Steps<In, R> => {
  const plan = plans.get(schedule)
  return plan === undefined ? Step.stepper(schedule) : new Computed(plan)
}

class Running<In, R> implements Run<In, R> {
  private hinted = false
  /** Mostly one: a list takes less than a map. */
  private given: Array<Given> | undefined

  constructor(private readonly steps: Steps<In, R>, private readonly kindOf: (input: In) => string) {}

  next(now: number, input: In, hint?: Hint): Step.Now<number | undefined, R> {
    return Step.map(
      this.steps.next(now, input),
      (delay) => delay === undefined ? undefined : this.follow(delay, input, hint)
    )
  }

  take(now: number, input: In): Step.Now<boolean, R> {
    return Step.map(this.steps.next(now, input), (delay) => delay !== undefined && delay !== Infinity)
  }

  private follow(delay: number, input: In, hint: Hint | undefined): number {
    const given = this.remember(delay, this.kindOf(input))
    const { delays } = given
    if (hint !== undefined) {
      this.hinted = true
      this.given!.forEach((each) => {
        each.again = 0
      })
      return Math.max(hint.delay, hint.atLeast ?? delays[0]!)
    }
    return this.hinted ? delays[Math.min(given.again++, delays.length - 1)]! : delay
  }

  private remember(delay: number, kind: string): Given {
    const known = this.given?.find((each) => each.kind === kind)
    if (known === undefined) {
      const made: Given = { kind, delays: [delay], again: 0 }
      this.given = this.given === undefined ? [made] : [...this.given, made]
      return made
    }
    if (known.delays.length < remembered) {
      known.delays.push(delay)
    }
    return known
  }
}

/** @internal */
export const start = <In, R>(
  schedule: Schedule.Schedule<unknown, In, R>,
  kindOf: (input: In) => string
): Run<In, R> => new Running(stepsOf(schedule), kindOf)
