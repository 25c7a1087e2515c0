/**
 * A network of hundreds that only gossips, and its time: every message reaches all subscribers of its
 * topic at once, after a delay, unless they are dead or on the other side of a cut. What gossipsub does
 * between publisher and subscribers is left out; what it costs is not simulated either.
 */
import type { Clock, Network, Timer } from '../../node/ports.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { SeededRandom } from './process-random.ts'

const WALL_MS = 1_700_000_000_000
const MIN_DELAY_MS = 5
const MAX_DELAY_MS = 400

type Listener = (from: NodeId, bytes: Uint8Array) => void

interface Event {
  readonly atMs: number
  task: (() => void) | undefined
}

export class LoadHub {
  /** Whether `to` hears `from` on `topic`: tests of large meshes leave out what they do not look at. */
  hears: (topic: string, from: HubMember, to: HubMember) => boolean = () => true
  readonly #random: SeededRandom
  readonly #topics = new Map<string, Map<HubMember, Listener>>()
  readonly #events: Event[] = []
  #nowMs = 0

  constructor(random: SeededRandom) {
    this.#random = random
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** `skewMs`: of its wall clock. */
  clock(skewMs = 0): Clock {
    return {
      now: () => WALL_MS + this.#nowMs + skewMs,
      monotonicMs: () => this.#nowMs,
      after: (delayMs, task) => this.#after(delayMs, task),
      soon: task => {
        this.#after(0, task)
      }
    }
  }

  join(self: NodeId): HubMember {
    return new HubMember(self, this)
  }

  run(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#events[0]
      if (next === undefined || next.atMs > endMs) break
      this.#pop()
      this.#nowMs = next.atMs
      next.task?.()
    }
    this.#nowMs = endMs
  }

  publish(from: HubMember, topic: string, bytes: Uint8Array): void {
    const delayMs = MIN_DELAY_MS + this.#random.fraction() * (MAX_DELAY_MS - MIN_DELAY_MS)
    const side = from.side
    this.#after(delayMs, () => {
      for (const [member, listener] of this.#topics.get(topic) ?? []) {
        if (member === from || member.isDead || member.side !== side) continue
        if (this.hears(topic, from, member)) listener(from.self, bytes)
      }
    })
  }

  subscribe(member: HubMember, topic: string, listener: Listener): () => void {
    const members = this.#topics.get(topic) ?? new Map<HubMember, Listener>()
    members.set(member, listener)
    this.#topics.set(topic, members)
    return () => members.delete(member)
  }

  #after(delayMs: number, task: () => void): Timer {
    const event: Event = { atMs: this.#nowMs + delayMs, task }
    this.#push(event)
    return {
      cancel: () => {
        event.task = undefined
      }
    }
  }

  // -- a binary heap by time

  #push(event: Event): void {
    const heap = this.#events
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.atMs <= event.atMs) break
      heap[at] = above
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#events
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      const isRight = right !== undefined && left !== undefined && right.atMs < left.atMs
      const child = isRight ? right : left
      if (child === undefined || child.atMs >= last.atMs) break
      heap[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    heap[at] = last
  }
}

export class HubMember implements Network {
  readonly self: NodeId
  /** Messages reach only members of the same side. */
  side = 0
  isDead = false
  readonly #hub: LoadHub

  constructor(self: NodeId, hub: LoadHub) {
    this.self = self
    this.#hub = hub
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    if (!this.isDead) this.#hub.publish(this, topic, bytes)
  }

  subscribe(topic: string, listener: Listener): () => void {
    return this.#hub.subscribe(this, topic, listener)
  }

  async open(peer: NodeId): Promise<never> {
    throw new ShoalError({ code: 'UNREACHABLE', peer }, 'this network only gossips')
  }

  handle(): void {}

  peers(): NodeId[] {
    return []
  }

  onPeer(): void {}

  roundTripMs(): undefined {
    return undefined
  }
}
