/**
 * Gossip of load: tells the own group what this node measures and foretells, hears what the others
 * say, and, when it is its turn, tells all other groups of its own. The rules are those of
 * protocols/load-gossip; here are the topics, the clock and the budget's meters.
 *
 *   every second   the map changed? groups, plan, topics     due? sample -> topic of the group
 *                                                            our turn, none heard? summary -> all
 *   received       inbox.ts
 *
 * Invariants: nothing received throws; what is kept is bounded by the nodes of the map; a node that
 * the map does not show (yet) says nothing, and is not heard.
 */
import type { MeshView } from '../../crdt/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Group, Groups, Place } from '../../protocols/load-gossip/groups.ts'
import { groupMesh, groupTopic, SUMMARIES_TOPIC } from '../../protocols/load-gossip/groups.ts'
import {
  DEFAULT_BUDGET_BYTES,
  ENVELOPE_BYTES,
  LONG_INTERVAL_MS,
  MIN_BUDGET_BYTES,
  MIN_INTERVAL_MS,
  MOST_MEMBERS
} from '../../protocols/load-gossip/limits.ts'
import type { LoadMessage, OwnLoad } from '../../protocols/load-gossip/messages.ts'
import { encodeLoadMessage } from '../../protocols/load-gossip/messages.ts'
import { Meter } from '../../protocols/load-gossip/meter.ts'
import type { Plan } from '../../protocols/load-gossip/schedule.ts'
import {
  planFor,
  planSample,
  QUIET_SHARE,
  rankIn,
  shareOfSlot,
  slotAt
} from '../../protocols/load-gossip/schedule.ts'
import { busiest, summarise } from '../../protocols/load-gossip/summary.ts'
import type { Instant, KnownLoad, Refusal } from '../../protocols/load-gossip/table.ts'
import { LoadTable } from '../../protocols/load-gossip/table.ts'
import { LOAD_GOSSIP_TICK_MS } from '../limits.ts'
import type { Clock, Log, Network, Random, Timer } from '../ports.ts'
import { leastDelayMs } from '../scaled-clock.ts'
import type { LoadTopic } from './inbox.ts'
import { Inbox } from './inbox.ts'

export interface LoadGossipOptions {
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Of this node; its topics (loadTopics) were named to the host. */
  readonly region: string
  /** Number of this start of the node: greater than any before. */
  readonly start: number
  /** The same object until something changes. */
  readonly mesh: () => MeshView
  readonly ownSample: () => OwnLoad
  readonly budgetBytesPerMinute?: number
  /** The members of the own group, ourselves left out, whenever they change: to stay connected to. */
  readonly onGroup?: (members: readonly NodeId[]) => void
}

export interface LoadGossipStats {
  /** Bytes of the last minute, envelopes included; what is passed on for others is not. */
  readonly sentPerMinute: number
  readonly receivedPerMinute: number
  /** Between two samples of this node, and between two summaries of its group (if there are any). */
  readonly intervalMs: number
  readonly summaryIntervalMs: number | undefined
  readonly groupMembers: number
  readonly groups: number
  /** Messages dropped since the start, by author; of summaries also those taken in part. */
  readonly dropped: ReadonlyMap<NodeId, ReadonlyMap<Refusal, number>>
  /** Messages of members that the map does not show. */
  readonly strangers: number
}

export interface LoadGossip {
  readonly known: (node: NodeId) => KnownLoad | undefined
  readonly all: () => KnownLoad[]
  readonly stats: () => LoadGossipStats
  readonly close: () => void
}

export function createLoadGossip(options: LoadGossipOptions): LoadGossip {
  return new Gossip(options)
}

class Gossip implements LoadGossip {
  readonly #options: LoadGossipOptions
  readonly #budgetBytes: number
  readonly #startedMs: number
  readonly #table = new LoadTable()
  readonly #sent = new Meter()
  readonly #inbox = new Inbox(this.#table)
  readonly #topics = new Map<string, () => void>()
  #number = 0
  #mesh: MeshView | undefined
  #groups: Groups = { all: [], of: new Map() }
  /** Our own, once the map shows us. */
  #group: Group | undefined
  #plan: Plan = { memberBytes: MIN_BUDGET_BYTES, summaries: undefined }
  #intervalMs = MIN_INTERVAL_MS
  /** Monotonic; undefined until the map shows us. */
  #nextSampleMs: number | undefined
  #summaryHeardMs = Number.NEGATIVE_INFINITY
  #slot = -1
  /** In this slot, as a part of it; 1: not at all. */
  #speaksAt = 1
  #timer: Timer | undefined
  #isClosed = false

  constructor(options: LoadGossipOptions) {
    const { budgetBytesPerMinute = DEFAULT_BUDGET_BYTES } = options
    this.#options = options
    this.#startedMs = options.clock.monotonicMs()
    this.#budgetBytes = Math.max(MIN_BUDGET_BYTES, budgetBytesPerMinute)
    this.#arm()
  }

  known(node: NodeId): KnownLoad | undefined {
    return this.#table.known(node, this.#options.clock.monotonicMs())
  }

  all(): KnownLoad[] {
    return this.#table.all(this.#options.clock.monotonicMs())
  }

  stats(): LoadGossipStats {
    const nowMs = this.#options.clock.monotonicMs()
    return {
      sentPerMinute: this.#sent.perMinute(nowMs),
      receivedPerMinute: this.#inbox.received.perMinute(nowMs),
      intervalMs: this.#intervalMs,
      summaryIntervalMs: this.#plan.summaries?.intervalMs,
      groupMembers: this.#group?.members.length ?? 0,
      groups: this.#groups.all.length,
      dropped: this.#inbox.dropped,
      strangers: this.#inbox.strangers
    }
  }

  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const leave of this.#topics.values()) leave()
    this.#topics.clear()
  }

  #arm(): void {
    const { clock, random } = this.#options
    this.#timer = clock.after((0.5 + random.fraction()) * LOAD_GOSSIP_TICK_MS, () => {
      if (this.#isClosed) return
      this.#arm()
      this.#followMap()
      this.#tellSample()
      this.#tellSummary()
    })
  }

  // -- the map

  #followMap(): void {
    const { mesh, network, onGroup, region } = this.#options
    const view = mesh()
    if (view === this.#mesh) return
    this.#mesh = view
    const before = this.#group
    const places = placesOf(view, { id: network.self, region })
    this.#groups = groupMesh(places)
    this.#group = this.#groups.of.get(network.self)
    this.#plan = planFor(this.#groups, network.self, this.#budgetBytes)
    this.#table.setMesh(places)
    this.#inbox.follow(this.#plan)
    this.#followTopics()
    const group = this.#group
    if (group !== undefined && !sameMembers(group, before)) {
      onGroup?.(group.members.filter(id => id !== network.self))
    }
  }

  #followTopics(): void {
    const group = this.#group
    const wanted = new Map<string, LoadTopic>()
    if (group !== undefined) wanted.set(groupTopic(group), 'sample')
    if (this.#plan.summaries !== undefined) wanted.set(SUMMARIES_TOPIC, 'summary')
    for (const [topic, leave] of this.#topics) {
      if (wanted.has(topic)) continue
      leave()
      this.#topics.delete(topic)
    }
    for (const [topic, kind] of wanted) {
      if (this.#topics.has(topic)) continue
      const listen = (from: NodeId, bytes: Uint8Array): void => this.#receive(kind, from, bytes)
      this.#topics.set(topic, this.#options.network.subscribe(topic, listen))
    }
  }

  // -- what we say

  /** The first one at any moment of an interval: a whole mesh may be starting. */
  #tellSample(): void {
    const { clock, network, ownSample, random } = this.#options
    const nowMs = clock.monotonicMs()
    const group = this.#group
    if (group === undefined || nowMs < (this.#nextSampleMs ?? 0)) return
    const own = ownSample()
    const { listed, ...planned } = planSample(this.#plan.memberBytes, own.shards.length)
    // By a faster clock it speaks as often as that ticks: what it announces is what it does.
    const intervalMs = Math.max(planned.intervalMs, 1.5 * leastDelayMs(clock))
    const isFirst = this.#nextSampleMs === undefined
    const share = isFirst ? random.fraction() : 0.9 + 0.2 * random.fraction()
    this.#intervalMs = intervalMs
    this.#nextSampleMs = nowMs + intervalMs * share
    if (isFirst) return
    const shards = busiest(own.shards, listed)
    const said = { ...own, ...this.#head(), intervalMs, shardCount: own.shards.length, shards }
    const sample = { is: 'sample', ...said } as const
    this.#table.take(network.self, sample, this.#now())
    this.#publish(groupTopic(group), sample)
  }

  /** If it is our turn in this slot, or that of one who has not spoken; and nobody else just did. */
  #tellSummary(): void {
    const { clock } = this.#options
    const plan = this.#plan.summaries
    const group = this.#group
    if (plan === undefined || group === undefined) return
    const slot = slotAt(clock.now(), plan.intervalMs, group.phase)
    if (slot.number !== this.#slot) this.#beginSlot(slot.number, group)
    if (slot.passed < this.#speaksAt) return
    const quiet = (clock.monotonicMs() - this.#summaryHeardMs) / plan.intervalMs
    if (quiet < Math.max(QUIET_SHARE, slot.passed)) return
    this.#summaryHeardMs = clock.monotonicMs()
    const heard = this.#freshMembers(group)
    const known = heard.flatMap(id => this.known(id) ?? [])
    const entries = summarise(known, plan.maxEntries)
    const said = { ...this.#head(), bits: group.bits, heard: heard.length, entries }
    this.#publish(SUMMARIES_TOPIC, { is: 'summary', ...said })
  }

  /** Who has not listened for long does not know whose turn it is, nor enough to tell. */
  #beginSlot(slot: number, group: Group): void {
    const { clock, network, random } = this.#options
    const heard = this.#freshMembers(group)
    const hasListened = clock.monotonicMs() - this.#startedMs > LONG_INTERVAL_MS
    const isReady = hasListened || heard.length >= MOST_MEMBERS * group.members.length
    const rank = isReady ? rankIn(slot, heard, network.self) : undefined
    this.#slot = slot
    this.#speaksAt = rank === undefined ? 1 : shareOfSlot(rank, random.fraction())
  }

  /** Ascending by id; with ourselves once we have said something. */
  #freshMembers({ members }: Group): NodeId[] {
    const nowMs = this.#options.clock.monotonicMs()
    return members.filter(id => this.#table.isFresh(id, nowMs))
  }

  #head(): { at: number; sequence: { start: number; number: number } } {
    const { clock, start } = this.#options
    this.#number++
    return { at: Math.floor(clock.now()), sequence: { start, number: this.#number } }
  }

  #publish(topic: string, message: LoadMessage): void {
    const { clock, log, network } = this.#options
    const bytes = encodeLoadMessage(message)
    this.#sent.add(ENVELOPE_BYTES + bytes.length, clock.monotonicMs())
    network.publish(topic, bytes).catch((error: unknown) => {
      log.debug({ topic, error: messageOf(error) }, 'load was not gossiped; the next one follows')
    })
  }

  #receive(topic: LoadTopic, from: NodeId, bytes: Uint8Array): void {
    if (this.#isClosed || from === this.#options.network.self) return
    const now = this.#now()
    const taken = this.#inbox.receive(topic, from, bytes, now)
    const group = this.#group
    if (taken?.is !== 'summary' || group === undefined) return
    // One that leaves out half of us does not keep us from telling of them.
    if (this.#groups.of.get(from) !== group) return
    const most = this.#plan.summaries?.maxEntries ?? 0
    const wanted = Math.min(most, this.#freshMembers(group).length)
    if (taken.entries.length >= wanted / 2) this.#summaryHeardMs = now.monotonicMs
  }

  #now(): Instant {
    const { clock } = this.#options
    return { wallMs: clock.now(), monotonicMs: clock.monotonicMs() }
  }
}

/** The members that the map shows. Our own region is what we know it to be, whatever the map says. */
function placesOf(view: MeshView, self: Place): Place[] {
  const places: Place[] = []
  for (const { id, region, leftAt } of view.nodes.values()) {
    if (leftAt !== undefined || view.revocations.has(id)) continue
    places.push(id === self.id ? self : { id, region })
  }
  return places
}

function sameMembers(a: Group, b: Group | undefined): boolean {
  return a.members.length === b?.members.length && a.members.every((id, i) => id === b.members[i])
}
