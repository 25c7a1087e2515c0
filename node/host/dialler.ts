/**
 * Keeps us connected to the members that we know: to all of them in a small mesh, to a random part
 * of a large one and to some of those that are preferred, and to any on demand. All waits are jittered, so that a mesh that restarts at
 * once does not dial at once.
 *
 * Invariants: a dial always names the peer that it means; at most one dial to a peer at a time, and
 * MAX_DIALS_PER_TICK begun per tick; a peer that fails is tried again at growing intervals up to
 * REDIAL_MAX_MS, for ever, because only the map or a revocation says that it is gone.
 */
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { multiaddr } from '@multiformats/multiaddr'
import type { KnownPeer } from '../../protocols/admission/messages.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import {
  FULL_MESH_MEMBERS,
  MAX_DIALS_PER_TICK,
  MAX_KNOWN_PEERS,
  PARTIAL_MESH_PEERS,
  PREFERRED_PEERS,
  REDIAL_MAX_MS,
  REDIAL_MIN_MS,
  REDIAL_TICK_MS
} from '../limits.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'

export interface DiallerOptions {
  readonly self: NodeId
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Rejects with the ShoalError of the gate if admission turned us away. */
  readonly dial: (peer: NodeId, at: Multiaddr[], signal: AbortSignal) => Promise<Connection>
  readonly isConnected: (peer: NodeId) => boolean
  readonly connectedCount: () => number
  readonly isWelcome: (peer: NodeId) => boolean
}

interface Target {
  addresses: Multiaddr[]
  failures: number
  nextAtMs: number
  isDialling: boolean
  lastError: unknown
}

export class Dialler {
  readonly #options: DiallerOptions
  readonly #targets = new Map<NodeId, Target>()
  #preferred: ReadonlySet<NodeId> = new Set()
  #timer: Timer | undefined
  #stopping = new AbortController()

  constructor(options: DiallerOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopping = new AbortController()
    this.#scheduleTick()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#stopping.abort(new Error('the host stops'))
  }

  knows(peer: NodeId): boolean {
    return this.#targets.has(peer)
  }

  /** Replaces the list; a peer whose addresses changed is tried at once. */
  setKnown(peers: readonly KnownPeer[]): void {
    const wanted = new Set<NodeId>()
    for (const { id, addresses } of peers.slice(0, MAX_KNOWN_PEERS)) {
      if (id === this.#options.self) continue
      wanted.add(id)
      this.#learn(id, parseAddresses(id, addresses))
    }
    for (const id of this.#targets.keys()) if (!wanted.has(id)) this.#targets.delete(id)
  }

  /**
   * Of these PREFERRED_PEERS are kept in a large mesh, whomever else we know: those that share a
   * topic with us, since gossip goes only from neighbour to neighbour of one topic.
   */
  setPreferred(peers: readonly NodeId[]): void {
    this.#preferred = new Set(peers.slice(0, MAX_KNOWN_PEERS))
  }

  /** After a connection was lost: soon, but not all at once. */
  onLost(peer: NodeId): void {
    const target = this.#targets.get(peer)
    if (target === undefined) return
    target.failures = 0
    target.nextAtMs = this.#options.clock.monotonicMs() + this.#jitter(REDIAL_MIN_MS)
  }

  /** Throws ShoalError: why the peer could not be reached, or was not let in. */
  async dial(peer: NodeId, signal: AbortSignal): Promise<Connection> {
    const target = this.#targets.get(peer)
    if (target === undefined || target.addresses.length === 0) {
      throw new ShoalError({ code: 'UNREACHABLE', peer }, `no address of ${peer} is known`)
    }
    try {
      const stopping = AbortSignal.any([signal, this.#stopping.signal])
      const connection = await this.#options.dial(peer, target.addresses, stopping)
      target.failures = 0
      target.lastError = undefined
      return connection
    } catch (error) {
      this.#noteFailure(target, error)
      throw error
    }
  }

  #learn(id: NodeId, addresses: Multiaddr[]): void {
    const target = this.#targets.get(id)
    if (target === undefined) {
      const nextAtMs = this.#options.clock.monotonicMs() + this.#firstDelay(id)
      this.#targets.set(id, {
        addresses,
        failures: 0,
        nextAtMs,
        isDialling: false,
        lastError: undefined
      })
    } else if (addresses.map(String).join() !== target.addresses.map(String).join()) {
      target.addresses = addresses
      target.failures = 0
      target.nextAtMs = this.#options.clock.monotonicMs()
    }
  }

  /** The smaller id dials first, so that two that learn of each other do not connect twice. */
  #firstDelay(id: NodeId): number {
    return this.#options.self < id ? 0 : this.#jitter(2 * REDIAL_MIN_MS)
  }

  #scheduleTick(): void {
    this.#timer = this.#options.clock.after(this.#jitter(REDIAL_TICK_MS), () => {
      this.#tick()
      this.#scheduleTick()
    })
  }

  #tick(): void {
    const { clock, connectedCount, isConnected, isWelcome } = this.#options
    const nowMs = clock.monotonicMs()
    const isFull = this.#targets.size < FULL_MESH_MEMBERS
    const missing = isFull ? Number.POSITIVE_INFINITY : PARTIAL_MESH_PEERS - connectedCount()
    const due: Array<[NodeId, Target]> = []
    for (const [peer, target] of this.#targets) {
      if (target.isDialling || target.nextAtMs > nowMs || target.addresses.length === 0) continue
      if (!isConnected(peer) && isWelcome(peer)) due.push([peer, target])
    }
    const near = due.filter(([peer]) => this.#preferred.has(peer))
    const begun = this.#dialSome(near, Math.min(MAX_DIALS_PER_TICK, this.#preferredMissing()))
    const rest = due.filter(([, target]) => !target.isDialling)
    this.#dialSome(rest, Math.min(MAX_DIALS_PER_TICK, missing) - begun)
  }

  #preferredMissing(): number {
    let missing = PREFERRED_PEERS
    for (const peer of this.#preferred) {
      const isOnItsWay = this.#targets.get(peer)?.isDialling === true
      if (isOnItsWay || this.#options.isConnected(peer)) missing--
    }
    return missing
  }

  /** Begins dials to a random `count` of `due`; returns how many. */
  #dialSome(due: Array<[NodeId, Target]>, count: number): number {
    const most = Math.min(count, due.length)
    for (let i = 0; i < most; i++) {
      const at = Math.floor(this.#options.random.fraction() * due.length)
      const [chosen] = due.splice(at, 1)
      if (chosen !== undefined) void this.#redial(...chosen)
    }
    return Math.max(0, most)
  }

  async #redial(peer: NodeId, target: Target): Promise<void> {
    target.isDialling = true
    try {
      await this.dial(peer, this.#stopping.signal)
    } catch (error) {
      const { log } = this.#options
      const fields = { peer, error: messageOf(error) }
      if (!isFault(error)) log.debug(fields, 'a member could not be reached')
      else if (target.failures === 1) log.warn(fields, 'a member did not let us in')
    } finally {
      target.isDialling = false
    }
  }

  #noteFailure(target: Target, error: unknown): void {
    target.lastError = error
    // A renewed certificate ends its connection too: what follows is a first attempt.
    target.failures = isFault(error, 'CLOSED') ? 0 : target.failures + 1
    const waitMs = Math.min(REDIAL_MAX_MS, REDIAL_MIN_MS * 2 ** Math.min(target.failures, 10))
    target.nextAtMs = this.#options.clock.monotonicMs() + this.#jitter(waitMs)
  }

  /** Between half and one and a half of `meanMs`. */
  #jitter(meanMs: number): number {
    return meanMs * (0.5 + this.#options.random.fraction())
  }
}

/** Those of `addresses` that are multiaddrs, each naming the peer that it is meant to reach. */
export function parseAddresses(peer: NodeId, addresses: readonly string[]): Multiaddr[] {
  const parsed: Multiaddr[] = []
  for (const text of addresses.slice(0, MAX_ADDRESSES)) {
    try {
      const address = multiaddr(text)
      if (address.getComponents().some(part => part.name === 'p2p')) continue
      parsed.push(address.encapsulate(`/p2p/${peer}`))
    } catch {
      // Another member's typing error, or an address kind of a newer Shoal.
    }
  }
  return parsed
}
