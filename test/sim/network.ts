/**
 * The network between simulated processes: directed links with latency, jitter, stalls (one way or
 * both), connections that break, and gossip that is lost, doubled and overtaken.
 *
 *   stall(a, b)      bytes from a to b wait, silently; healed, they arrive
 *   break(a, b)      the connection is found dead on both sides; a new one is made when it can be
 *   died(p, silent)  p's kernel resets its streams, or (power) nobody says anything for a while
 */
import type { ByteStream, Network } from '../../node/ports.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { SimProcess } from './process.ts'
import type { SimRandom } from './random.ts'
import { SimStream, type StreamPlace, type Wire } from './stream.ts'
import type { Timeline } from './timeline.ts'

const OPEN_TIMEOUT_MS = 10_000
const GOSSIP_LOSS = 0.1
const GOSSIP_DOUBLE = 0.1
const GOSSIP_LATE = 0.1
const GOSSIP_LATE_MS = 2_000
/** After so long a silent host is found dead by pings. */
const PINGS_MS = 20_000
const DIAL_MS = 400
/** The other side of a broken connection finds out within. */
const NOTICE_MS = 3_000

interface Link {
  isStalled: boolean
  baseMs: number
  /** Slower until then. */
  slowUntilMs: number
  waiting: Array<() => void>
}

export class SimNetwork implements StreamPlace {
  readonly timeline: Timeline
  readonly random: SimRandom
  /** What a server gets of a stream that it accepts: somebody may look over its shoulder. */
  tap: (protocol: string, server: SimProcess, stream: SimStream) => ByteStream = (_p, _s, s) => s
  readonly #members = new Map<NodeId, SimMember>()
  readonly #links = new Map<string, Link>()
  readonly #streams = new Set<SimStream>()
  /** Hosts that lost power: whoever still waits for them. */
  readonly #silent = new Map<NodeId, Array<() => void>>()

  constructor(timeline: Timeline, random: SimRandom) {
    this.timeline = timeline
    this.random = random
  }

  join(id: NodeId, process: SimProcess): SimMember {
    const member = new SimMember(id, process, this)
    this.#members.set(id, member)
    for (const tell of this.#silent.get(id) ?? []) this.timeline.after(this.#oneWayMs(), tell)
    this.#silent.delete(id)
    for (const other of this.#members.values()) if (other !== member) this.#dial(member, other)
    return member
  }

  /** The process is dead; with `isSilent` its host is too, and says nothing. */
  died(id: NodeId, isSilent: boolean): void {
    const member = this.#members.get(id)
    if (member === undefined) return
    this.#members.delete(id)
    for (const end of [...this.#streams]) {
      if (end.process !== member.process) continue
      this.#streams.delete(end)
      if (!isSilent) end.resetRemote()
      else this.#whenFound(id, () => end.resetRemote())
    }
    for (const other of this.#members.values()) {
      const lose = () => other.process.enter(() => other.disconnected(id, member))
      if (isSilent) this.#whenFound(id, lose)
      else this.timeline.after(this.link(id, other.self).baseMs, lose)
    }
  }

  stall(from: NodeId, to: NodeId): void {
    this.link(from, to).isStalled = true
  }

  flow(from: NodeId, to: NodeId): void {
    const link = this.link(from, to)
    if (!link.isStalled) return
    link.isStalled = false
    for (const task of link.waiting.splice(0)) task()
    const [a, b] = [this.#members.get(from), this.#members.get(to)]
    if (a !== undefined && b !== undefined) this.#dial(a, b)
  }

  slow(from: NodeId, to: NodeId, untilMs: number): void {
    this.link(from, to).slowUntilMs = untilMs
  }

  /**
   * The connection is dead: one side finds out soon, the other perhaps much later, and what was
   * under way may arrive before that.
   */
  break(a: NodeId, b: NodeId): void {
    const [one, other] = [this.#members.get(a), this.#members.get(b)]
    if (one === undefined || other === undefined) return
    const { random, timeline } = this
    const isOneFirst = random.chance(0.5)
    const lateMs = random.between(0, random.chance(0.3) ? 50 : NOTICE_MS)
    for (const end of [...this.#streams]) {
      const isOfOne = end.process === one.process && end.peer === b
      const isOfOther = end.process === other.process && end.peer === a
      if (!isOfOne && !isOfOther) continue
      if (isOfOne === isOneFirst) end.lag(timeline.nowMs + lateMs * random.fraction())
      timeline.after(isOfOne === isOneFirst ? random.between(0, 20) : lateMs, () =>
        end.process.enter(() => end.break('connection lost'))
      )
    }
    one.process.enter(() => one.disconnected(b, other))
    other.process.enter(() => other.disconnected(a, one))
    this.#dial(one, other)
  }

  /** All that a fault did to links is over. */
  healAll(): void {
    for (const [name, link] of this.#links) {
      link.slowUntilMs = 0
      const [from, to] = name.split(' ') as [NodeId, NodeId]
      this.flow(from, to)
    }
    for (const tasks of this.#silent.values()) for (const task of tasks) task()
    this.#silent.clear()
  }

  member(id: NodeId): SimMember | undefined {
    return this.#members.get(id)
  }

  link(from: NodeId, to: NodeId): Link {
    const name = `${from} ${to}`
    let link = this.#links.get(name)
    if (link === undefined) {
      link = { isStalled: false, baseMs: this.random.between(0.2, 6), slowUntilMs: 0, waiting: [] }
      this.#links.set(name, link)
    }
    return link
  }

  wire(from: NodeId, to: NodeId): Wire {
    const link = this.link(from, to)
    return {
      isStalled: () => link.isStalled,
      latencyMs: () => this.latencyMs(link),
      onFlow: task => link.waiting.push(task)
    }
  }

  latencyMs(link: Link): number {
    const slowMs = link.slowUntilMs > this.timeline.nowMs ? this.random.between(50, 800) : 0
    return link.baseMs + this.random.between(0, link.baseMs) + slowMs
  }

  isOpen(a: NodeId, b: NodeId): boolean {
    return !this.link(a, b).isStalled && !this.link(b, a).isStalled
  }

  pair(from: SimMember, to: SimMember): { near: SimStream; far: SimStream } {
    const near = new SimStream(to.self, from.process, this.wire(from.self, to.self), this)
    const far = new SimStream(from.self, to.process, this.wire(to.self, from.self), this)
    near.connect(far)
    far.connect(near)
    this.#streams.add(near).add(far)
    return { near, far }
  }

  closed(end: SimStream): void {
    this.#streams.delete(end)
  }

  isPoweredOff(id: NodeId): boolean {
    return this.#silent.has(id)
  }

  gossip(from: SimMember, topic: string, bytes: Uint8Array): void {
    for (const to of this.#members.values()) {
      if (to === from || !from.connected.has(to.self) || this.link(from.self, to.self).isStalled) {
        continue
      }
      const copies = this.random.chance(GOSSIP_DOUBLE) ? 2 : 1
      for (let i = 0; i < copies; i++) {
        const isLost = this.random.chance(GOSSIP_LOSS)
        const lateMs = this.random.chance(GOSSIP_LATE) ? this.random.between(0, GOSSIP_LATE_MS) : 0
        if (isLost) continue
        this.timeline.after(this.latencyMs(this.link(from.self, to.self)) + lateMs, () =>
          to.process.enter(() => to.deliver(topic, from.self, bytes))
        )
      }
    }
  }

  #dial(a: SimMember, b: SimMember): void {
    const isThere = () => this.#members.get(a.self) === a && this.#members.get(b.self) === b
    this.timeline.after(this.random.between(1, DIAL_MS), () => {
      if (!isThere() || !this.isOpen(a.self, b.self)) return
      a.process.enter(() => a.found(b))
      b.process.enter(() => b.found(a))
    })
  }

  #whenFound(id: NodeId, task: () => void): void {
    let isDone = false
    const once = (): void => {
      if (isDone) return
      isDone = true
      task()
    }
    const tasks = this.#silent.get(id) ?? []
    this.#silent.set(id, tasks)
    tasks.push(once)
    this.timeline.after(this.random.between(PINGS_MS / 2, PINGS_MS), once)
  }

  #oneWayMs(): number {
    return this.random.between(0.2, 12)
  }
}

export class SimMember implements Network {
  readonly self: NodeId
  readonly process: SimProcess
  readonly connected = new Map<NodeId, SimMember>()
  readonly #network: SimNetwork
  readonly #handlers = new Map<string, (stream: ByteStream) => void>()
  readonly #topics = new Map<string, Array<(from: NodeId, bytes: Uint8Array) => void>>()
  readonly #peerListeners: Array<(peer: NodeId, connected: boolean) => void> = []

  constructor(self: NodeId, process: SimProcess, network: SimNetwork) {
    this.self = self
    this.process = process
    this.#network = network
  }

  open(peer: NodeId, protocol: string, options: { timeoutMs?: number } = {}): Promise<ByteStream> {
    const { timeline } = this.#network
    const timeoutMs = options.timeoutMs ?? OPEN_TIMEOUT_MS
    return new Promise((resolve, reject) => {
      let isOver = false
      const refuse = (delayMs: number, error: ShoalError): void => {
        timeline.after(delayMs, () =>
          this.process.enter(() => {
            if (isOver) return
            isOver = true
            reject(error)
          })
        )
      }
      refuse(timeoutMs, new ShoalError({ code: 'TIMEOUT', afterMs: timeoutMs }, 'no connection'))
      this.#knock(peer, protocol, refuse, near => {
        if (isOver) {
          near.abort(new Error('too late'))
          return
        }
        isOver = true
        // Lost while the answer was under way: nobody listens to it yet, so nobody would hear.
        if (near.isOpen) resolve(near)
        else reject(new ShoalError({ code: 'UNREACHABLE', peer }, `${peer} cannot be reached`))
      })
    })
  }

  #knock(
    peer: NodeId,
    protocol: string,
    refuse: (delayMs: number, error: ShoalError) => void,
    opened: (near: SimStream) => void
  ): void {
    const network = this.#network
    if (!this.process.isAlive || !network.isOpen(this.self, peer)) return
    const there = network.latencyMs(network.link(this.self, peer))
    const back = network.latencyMs(network.link(peer, this.self))
    const absent = new ShoalError({ code: 'UNREACHABLE', peer }, `${peer} cannot be reached`)
    network.timeline.after(there, () => {
      const remote = network.member(peer)
      if (remote === undefined) {
        if (!network.isPoweredOff(peer)) refuse(back, absent)
        return
      }
      remote.process.enter(() => {
        const handler = remote.#handlers.get(protocol)
        if (handler === undefined) {
          refuse(back, absent)
          return
        }
        if (!this.process.isAlive) return
        const { near, far } = network.pair(this, remote)
        handler(network.tap(protocol, remote.process, far))
        network.timeline.after(back, () => this.process.enter(() => opened(near)))
      })
    })
  }

  handle(protocol: string, handler: (stream: ByteStream) => void): void {
    this.#handlers.set(protocol, handler)
  }

  async publish(topic: string, bytes: Uint8Array): Promise<void> {
    if (this.process.isAlive) this.#network.gossip(this, topic, Uint8Array.from(bytes))
  }

  deliver(topic: string, from: NodeId, bytes: Uint8Array): void {
    for (const listener of this.#topics.get(topic) ?? []) listener(from, bytes)
  }

  subscribe(topic: string, listener: (from: NodeId, bytes: Uint8Array) => void): () => void {
    this.#topics.set(topic, [...(this.#topics.get(topic) ?? []), listener])
    return () => {
      const left = (this.#topics.get(topic) ?? []).filter(other => other !== listener)
      this.#topics.set(topic, left)
    }
  }

  peers(): NodeId[] {
    return [...this.connected.keys()]
  }

  onPeer(listener: (peer: NodeId, connected: boolean) => void): void {
    this.#peerListeners.push(listener)
  }

  roundTripMs(peer: NodeId): number | undefined {
    if (!this.connected.has(peer)) return undefined
    return this.#network.link(this.self, peer).baseMs + this.#network.link(peer, this.self).baseMs
  }

  found(peer: SimMember): void {
    const known = this.connected.get(peer.self)
    this.connected.set(peer.self, peer)
    if (known === undefined) for (const listener of this.#peerListeners) listener(peer.self, true)
  }

  /** Of this very start of the peer: a later one may have been found meanwhile. */
  disconnected(peer: NodeId, start: SimMember): void {
    if (this.connected.get(peer) !== start) return
    this.connected.delete(peer)
    for (const listener of this.#peerListeners) listener(peer, false)
  }
}
