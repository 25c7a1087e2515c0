/**
 * A whole mesh that balances itself, under simulated time: every five minutes loads change, are
 * measured and foretold; each node looks, within a minute of its own; negotiations go over a network
 * that loses and delays; what is awarded is copied, and then is there.
 *
 *   step: tell forecasts -> new loads -> measure ... looks -> offers, bids, awards ... moves end
 *
 * Invariants: everything follows from the options; BalanceChecks judges every move.
 */
import type { LoadPath } from '../../../protocols/balance/types.ts'
import {
  type ChunkKey,
  chunkName,
  type NodeId,
  type Nonce,
  type VolumeId
} from '../../../protocols/ids.ts'
import { considered } from '../../../protocols/negotiate/consider.ts'
import type { Offer } from '../../../protocols/negotiate/messages.ts'
import { NegotiateWire } from '../../support/negotiate-mesh.ts'
import { EventClock } from '../event-heap.ts'
import { streamOf } from '../random.ts'
import { BalanceChecks } from './checks.ts'
import { type BalanceFigures, Tally } from './figures.ts'
import { Foretelling } from './foretell.ts'
import { Ground, type SimChunk, type SimMove, type SimVolume } from './ground.ts'
import { type LoadKind, MadeLoad } from './made-load.ts'
import type { Mistakes } from './mistakes.ts'
import { BalanceNode, type Publication } from './node.ts'
import { placesOf, type SimPlace } from './places.ts'
import {
  AHEAD_STEPS,
  CAPACITY,
  COPY_BYTES_PER_SECOND,
  FAR_AGE_MS,
  HOUR_MS,
  LOOK_JITTER_MS,
  MEAN_PART,
  MOST_PART,
  NEAR_AGE_MS,
  ROOM_BYTES,
  STEP_MS,
  STEPS_PER_DAY,
  THRESHOLD,
  VOLUMES_PER_NODE
} from './settings.ts'

export interface BalanceOptions {
  readonly nodes: number
  readonly days: number
  /** The first day that is judged. */
  readonly judgedFrom: number
  readonly seed: number
  readonly load: LoadKind
  readonly mode: 'none' | 'reactive' | 'predicted'
  readonly mistakes?: Mistakes
  /** Parts of the nodes that never answer, and that bid whatever they are offered. */
  readonly mute?: number
  readonly boasters?: number
  /** Mean load as a part of capacity. */
  readonly meanPart?: number
  /** Every message is encoded and checked, which takes time. */
  readonly isCoded?: boolean
}

export interface BalanceResult {
  readonly figures: BalanceFigures
  readonly broken: readonly string[]
  readonly compared: number
  /** Of the judged days: user and system time of this process. */
  readonly cpuMs: number
}

export interface KnownNode {
  readonly node: BalanceNode
  readonly said: Publication
}

interface Judgement {
  readonly move: SimMove
  readonly untilMs: number
  peak: number
}

export class BalanceMesh {
  readonly clock = new EventClock()
  readonly wire: NegotiateWire
  readonly checks = new BalanceChecks()
  readonly ground: Ground
  readonly #options: BalanceOptions
  readonly #random
  readonly #places: readonly SimPlace[]
  readonly #nodes: BalanceNode[]
  readonly #byId = new Map<NodeId, BalanceNode>()
  readonly #chunks = new Map<string, SimChunk>()
  readonly #volumes = new Map<VolumeId, SimVolume>()
  /** By group: its members, and all others. */
  readonly #near = new Map<number, readonly BalanceNode[]>()
  readonly #far = new Map<number, readonly BalanceNode[]>()
  readonly #load: MadeLoad
  readonly #foretelling: Foretelling
  readonly #paths: LoadPath[] = []
  /** By volume, as far as somebody asked in this hour. */
  readonly #days = new Map<number, LoadPath>()
  readonly #tally: Tally
  #judgements: Judgement[] = []
  #step = 0
  #ids = 0

  constructor(options: BalanceOptions) {
    const { nodes, seed, days, judgedFrom, mistakes = {} } = options
    this.#options = options
    this.#random = streamOf(seed, 'decisions')
    const weather = { lost: 0.01, doubled: 0.01, fromMs: 1, toMs: 80 }
    const network = streamOf(seed, 'network')
    this.wire = new NegotiateWire(this.clock, network, weather, options.isCoded ?? false)
    this.#places = placesOf(nodes, streamOf(seed, 'places'))
    this.ground = new Ground(this.#places, streamOf(seed, 'ground'))
    for (const chunk of this.ground.chunks) this.#chunks.set(chunkName(chunk.key), chunk)
    for (const volume of this.ground.volumes) this.#volumes.set(volume.id, volume)
    const zones = this.ground.volumes.map(({ gateway }) => gateway.zone)
    const mean = ((options.meanPart ?? MEAN_PART) * CAPACITY) / VOLUMES_PER_NODE
    const size = { mean, most: MOST_PART * CAPACITY }
    this.#load = new MadeLoad(streamOf(seed, 'load'), options.load, zones, size)
    this.#foretelling = new Foretelling(zones.length)
    this.#tally = new Tally(nodes, days, judgedFrom)
    this.#nodes = this.#places.map(place => new BalanceNode(place, this, mistakes))
    for (const node of this.#nodes) this.#byId.set(node.place.node, node)
    for (const { group } of this.#places) this.#addGroup(group)
  }

  run(): BalanceResult {
    const { days, judgedFrom, load } = this.#options
    this.clock.after(0, () => this.#begin())
    this.clock.runUntil(judgedFrom * STEPS_PER_DAY * STEP_MS - 1)
    const sentBefore = this.#sent()
    const before = process.cpuUsage()
    this.clock.runUntil(days * STEPS_PER_DAY * STEP_MS - 1)
    const { user, system } = process.cpuUsage(before)
    this.#tally.messages(this.#sent() - sentBefore)
    for (const node of this.#nodes) {
      this.checks.sent(node, this.wire.sent.get(node.place.node) ?? 0)
    }
    const figures = this.#tally.figures()
    if (load === 'constant') this.checks.days(figures.movesByDay, 1)
    if (load === 'repeating') this.checks.days(figures.movesByDay, 2)
    const { broken, compared } = this.checks
    return { figures, broken, compared, cpuMs: (user + system) / 1000 }
  }

  // What nodes ask of their surroundings.

  node(index: number): BalanceNode {
    return found(this.#nodes[index])
  }

  nodeOf(id: NodeId): BalanceNode {
    return found(this.#byId.get(id))
  }

  volume(index: number): SimVolume {
    return found(this.ground.volumes[index])
  }

  gatewayOf(volume: VolumeId): SimPlace {
    return found(this.#volumes.get(volume)).gateway
  }

  chunk(key: ChunkKey): SimChunk {
    return found(this.#chunks.get(chunkName(key)))
  }

  chunksOf({ volume, ranges }: Offer): SimChunk[] {
    return ranges.map(({ from, to: _, ...slot }) => this.chunk({ volume, extent: from, ...slot }))
  }

  heldBy({ place }: BalanceNode): Iterable<SimChunk> {
    return this.ground.held[place.index] ?? []
  }

  loadOf({ place }: BalanceNode): number {
    return this.ground.loads[place.index] ?? 0
  }

  freeBytes({ place }: BalanceNode): number {
    return Math.max(0, ROOM_BYTES - (this.ground.usedBytes[place.index] ?? 0))
  }

  volumeLoad(index: number): number {
    return this.#load.now[index] ?? 0
  }

  /** Of a whole volume, from this step on. */
  path(index: number): LoadPath {
    return found(this.#paths[index])
  }

  /** The same of the rest of a day; undefined: nothing is foretold so far ahead. */
  day(index: number): LoadPath | undefined {
    if (!this.isForetelling) return undefined
    const known = this.#days.get(index)
    const day = known ?? this.#foretelling.day(index)
    if (day !== undefined) this.#days.set(index, day)
    return day
  }

  /** Of nothing. */
  silence(): LoadPath {
    const none = new Array<number>(AHEAD_STEPS).fill(0)
    return { atMs: this.#step * STEP_MS, stepMs: STEP_MS, expected: none, high: none }
  }

  movesTo({ place }: BalanceNode): SimMove[] {
    return [...this.ground.moves.values()].filter(({ target }) => target === place.index)
  }

  versionOf(node: BalanceNode): string {
    return `${this.#step} ${node.version}`
  }

  kindOf({ place }: BalanceNode): 'mute' | 'boaster' | 'honest' {
    const { mute = 0, boasters = 0, nodes } = this.#options
    const part = ((place.index * 7919) % nodes) / nodes
    return part < mute ? 'mute' : part >= 1 - boasters ? 'boaster' : 'honest'
  }

  get isForetelling(): boolean {
    return this.#options.mode === 'predicted'
  }

  /** What gossip has brought of a bounded number of others, those of a group first. */
  known(node: BalanceNode, around: SimPlace): KnownNode[] {
    const near = this.#near.get(around.group) ?? []
    const far = this.#far.get(around.group) ?? []
    const some = considered(near, far, () => this.#random.fraction())
    return some.flatMap(other => {
      if (other === node) return []
      const isNear = other.place.group === node.place.group
      const ageMs = isNear
        ? this.#random.fraction() * NEAR_AGE_MS
        : FAR_AGE_MS * (0.5 + this.#random.fraction())
      const said = other.publications.find(({ atMs }) => atMs <= this.clock.nowMs - ageMs)
      return said === undefined ? [] : [{ node: other, said }]
    })
  }

  start(move: SimMove): void {
    const target = this.node(move.target)
    const of = { node: target, version: this.versionOf(target) }
    if (this.kindOf(target) === 'honest') {
      this.checks.started(move, this.ground.moves.values(), of, this.clock.nowMs)
    }
    this.ground.moves.set(move.id, move)
    this.#tally.move(this.clock.nowMs, move.bytes)
    const lastsMs = (move.bytes / COPY_BYTES_PER_SECOND) * 1000 * (0.9 + 0.4 * this.fraction())
    this.clock.after(lastsMs, () => this.#moved(move))
  }

  fraction(): number {
    return this.#random.fraction()
  }

  seed(): number {
    return this.#random.below(2 ** 31)
  }

  nonce(): Nonce {
    return (++this.#ids).toString(16).padStart(16, '0') as Nonce
  }

  moveId(): string {
    return (++this.#ids).toString(16).padStart(12, '0')
  }

  // What happens.

  #begin(): void {
    const step = this.#step
    this.checks.stepped()
    if (step % AHEAD_STEPS === 0) this.#days.clear()
    this.#load.advance(step)
    this.ground.measure(this.#load.now)
    this.#tally.step(step, this.ground.loads)
    if (this.#options.mode !== 'none') this.#beginLooks(step)
    this.clock.after(STEP_MS, () => {
      this.#foretelling.tell(this.#load.now)
      this.#step++
      this.#begin()
    })
  }

  #beginLooks(step: number): void {
    this.#judge()
    if (step === 0) return
    const isReactive = this.#options.mode === 'reactive'
    for (const { index } of this.ground.volumes) {
      this.#paths[index] = isReactive
        ? this.#foretelling.flat(this.#load.now, index)
        : this.#foretelling.path(index)
    }
    for (const node of this.#nodes) {
      this.clock.after(this.fraction() * LOOK_JITTER_MS, () => node.look())
    }
  }

  #moved(move: SimMove): void {
    this.ground.moves.delete(move.id)
    for (const chunk of move.chunks) {
      const load = chunk.share * this.volumeLoad(chunk.volume.index)
      if (chunk.holder === move.source) this.ground.move(chunk, move.target, load)
    }
    this.checks.moved(move, this.clock.nowMs)
    this.node(move.target).came(move)
    this.node(move.source).left(move, true)
    this.#judgements.push({ move, untilMs: this.clock.nowMs + HOUR_MS, peak: 0 })
  }

  /** Sources learn what their targets really came to within an hour. */
  #judge(): void {
    for (const judgement of this.#judgements) {
      const { move, untilMs } = judgement
      judgement.peak = Math.max(judgement.peak, this.ground.loads[move.target] ?? 0)
      if (this.clock.nowMs < untilMs) continue
      const { headroom } = move.figures
      const verdict = { headroom, threshold: THRESHOLD, peak: judgement.peak }
      const { node } = this.node(move.target).place
      this.node(move.source).trust.judged(node, verdict, this.clock.nowMs)
    }
    this.#judgements = this.#judgements.filter(({ untilMs }) => this.clock.nowMs < untilMs)
  }

  #sent(): number {
    return [...this.wire.sent.values()].reduce((sum, count) => sum + count, 0)
  }

  #addGroup(group: number): void {
    if (this.#near.has(group)) return
    const isNear = (node: BalanceNode): boolean => node.place.group === group
    this.#near.set(group, this.#nodes.filter(isNear))
    this.#far.set(
      group,
      this.#nodes.filter(node => !isNear(node))
    )
  }
}

function found<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('the simulation knows of no such thing')
  return value
}
