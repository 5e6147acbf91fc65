/**
 * The servers of a scenario, and the network before them. All of it is callbacks on virtual time.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { PCGRandom } from "effect/Utils"
import { FairQueue } from "../../internal/gate/fairQueue.js"
import { Retryable } from "../../RpcError.js"
import { cancel, type Timer, type VirtualTime } from "./clock.js"
import type { Valid, ValidFault } from "./scenario.js"

/** One attempt on its way. */
interface Request {
  readonly node: Node
  readonly answer: (answer: Effect.Effect<void, Retryable>) => void
  /** Whether the client has given up. */
  isGivenUp: boolean
  /** The end of its service, while it is in service. */
  timer: Timer | undefined
}

/** A server. */
interface Node {
  readonly number: number
  readonly queue: FairQueue<Request>
  readonly running: Set<Request>
  /** What the network holds back. */
  held: Array<Request>
}

const refused = Effect.fail(
  new Retryable({ reason: "ConnectionRefused", delivery: "NotSent", code: "ECONNREFUSED" })
)
const lost = Effect.fail(new Retryable({ reason: "ConnectionLost", delivery: "Unknown", code: "ECONNRESET" }))
const overloaded = Effect.fail(new Retryable({ reason: "Unavailable", delivery: "NotSent", code: 503 }))
const failed = Effect.fail(new Retryable({ reason: "Unavailable", delivery: "Unknown", code: 500 }))

/** What is told of the servers. @internal */
export interface Watcher {
  /** An attempt was sent. */
  readonly sent: () => void
  /** A server has done a request; `wasted`: nobody waits for it any more. */
  readonly done: (wasted: boolean) => void
}

/**
 * The servers of one run.
 *
 * @internal
 */
export class ServerGroup {
  private readonly nodes: ReadonlyArray<Node>
  private readonly faults: ReadonlyArray<ValidFault>

  constructor(
    private readonly time: VirtualTime,
    private readonly random: PCGRandom,
    private readonly scenario: Valid,
    private readonly watcher: Watcher
  ) {
    this.nodes = Array.from({ length: scenario.servers.nodes }, (_, number) => ({
      number,
      queue: new FairQueue(),
      running: new Set<Request>(),
      held: []
    }))
    this.faults = scenario.faults.filter(({ kind }) => kind !== "load")
    for (const fault of this.faults) {
      const affected = this.nodes.filter(({ number }) => isAbout(fault, number))
      if (fault.kind === "restart") {
        time.at(fault.from, () => affected.forEach((node) => this.cutAll(node)))
      }
      if (fault.kind === "outage" && fault.requests === "held") {
        time.at(fault.to, () => affected.forEach((node) => this.deliverHeld(node)))
      }
    }
  }

  /** Sends one request, to a random server where `node` does not say to which. */
  readonly attempt = (node: number | undefined): Effect.Effect<void, Retryable> =>
    Effect.async((resume) => {
      this.watcher.sent()
      const chosen = node ?? (this.nodes.length === 1 ? 0 : Math.floor(this.random.number() * this.nodes.length))
      const request: Request = {
        node: this.nodes[chosen]!,
        answer: resume,
        isGivenUp: false,
        timer: undefined
      }
      this.travel(() => this.arrive(request))
      return Effect.sync(() => this.giveUp(request))
    })

  /** Does something when a message has arrived. */
  private travel(arrived: () => void): void {
    const millis = this.scenario.network.draw(this.random, 0)
    if (millis === 0) {
      arrived()
    } else {
      this.time.at(this.time.now + millis, arrived)
    }
  }

  private answer(request: Request, answer: Effect.Effect<void, Retryable>): void {
    this.travel(() => request.answer(answer))
  }

  /** The fault of a kind that a server has now. */
  private faultOf<K extends ValidFault["kind"]>(
    kind: K,
    { number }: Node
  ): Extract<ValidFault, { kind: K }> | undefined {
    const { now } = this.time
    return this.faults.find((fault): fault is Extract<ValidFault, { kind: K }> =>
      fault.kind === kind && fault.from <= now && now < fault.to && isAbout(fault, number)
    )
  }

  private arrive(request: Request): void {
    const { node } = request
    const outage = this.faults.length === 0 ? undefined : this.faultOf("outage", node)
    if (outage?.requests === "held") {
      node.held.push(request)
    } else if (outage?.requests === "refused" || (this.faults.length > 0 && this.faultOf("restart", node))) {
      this.answer(request, refused)
    } else if (outage === undefined) {
      this.reach(request)
    }
  }

  /** A request has reached its server. */
  private reach(request: Request): void {
    const { node } = request
    const { cancel: frees, concurrency, queue } = this.scenario.servers
    if (request.isGivenUp && frees !== "nothing") {
      return
    }
    const errors = this.faults.length === 0 ? undefined : this.faultOf("errors", node)
    if (errors !== undefined && this.random.number() < errors.rate) {
      this.answer(request, failed)
    } else if (node.running.size < concurrency) {
      this.begin(request)
    } else if (node.queue.size < queue) {
      node.queue.join(request)
    } else {
      this.answer(request, overloaded)
    }
  }

  private begin(request: Request): void {
    const { node } = request
    const factor = this.faults.length === 0 ? 1 : this.faultOf("slow", node)?.factor ?? 1
    const millis = this.scenario.servers.service.draw(this.random, node.running.size) * factor
    node.running.add(request)
    request.timer = this.time.at(this.time.now + millis, () => {
      this.watcher.done(request.isGivenUp)
      this.end(request)
      this.answer(request, Effect.void)
    })
  }

  /** Ends the service of a request, and begins with the next one. */
  private end(request: Request): void {
    request.node.running.delete(request)
    request.timer = undefined
    this.beginNext(request.node)
  }

  private beginNext(node: Node): void {
    const next = node.queue.poll()
    if (next !== undefined) {
      this.begin(next)
    }
  }

  private giveUp(request: Request): void {
    const { cancel: frees } = this.scenario.servers
    request.isGivenUp = true
    if (frees !== "nothing") {
      request.node.queue.leave(request)
    }
    if (frees === "all" && request.timer !== undefined) {
      cancel(request.timer)
      this.end(request)
    }
  }

  private cutAll(node: Node): void {
    const waiting = node.queue.all()
    waiting.forEach((request) => node.queue.leave(request))
    const running = Array.from(node.running)
    running.forEach((request) => {
      cancel(request.timer!)
      request.timer = undefined
    })
    node.running.clear()
    ;[...running, ...waiting].forEach((request) => this.answer(request, lost))
  }

  private deliverHeld(node: Node): void {
    const { held } = node
    node.held = []
    held.forEach((request) => this.reach(request))
  }
}

const isAbout = ({ node }: ValidFault, number: number): boolean => node === undefined || node === number
