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
import { Ground, type SimChunk, type SimMove, type SimVolume } from './ground.ts'
import type { Mistakes } from './mistakes.ts'
import { BalanceNode, type Publication } from './node.ts'
import type { SimPlace } from './places.ts'
import type { MeshWatch, Scene } from './scene.ts'
import {
  AHEAD_STEPS,
  FAR_AGE_MS,
  HOUR_MS,
  LOOK_JITTER_MS,
  NEAR_AGE_MS,
  STEP_MS
} from './settings.ts'

export interface MeshOptions {
  readonly seed: number
  readonly mode: 'none' | 'reactive' | 'predicted'
  readonly mistakes?: Mistakes
  /** Parts of the nodes that never answer, and that bid whatever they are offered. */
  readonly mute?: number
  readonly boasters?: number
  /** Every message is encoded and checked, which takes time. */
  readonly isCoded?: boolean
  readonly watch?: MeshWatch
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
  readonly scene: Scene
  readonly #options: MeshOptions
  readonly #random
  readonly #nodes: BalanceNode[]
  readonly #byId = new Map<NodeId, BalanceNode>()
  readonly #chunks = new Map<string, SimChunk>()
  readonly #volumes = new Map<VolumeId, SimVolume>()
  /** By group: its members, and all others. */
  readonly #near = new Map<number, readonly BalanceNode[]>()
  readonly #far = new Map<number, readonly BalanceNode[]>()
  readonly #paths: LoadPath[] = []
  /** By volume, as far as somebody asked in this hour. */
  readonly #days = new Map<number, LoadPath>()
  #judgements: Judgement[] = []
  #step = 0
  /** Moves that began in this step, and offers that may yet become one. */
  #begun = 0
  #offered = 0
  #ids = 0

  constructor(scene: Scene, options: MeshOptions) {
    const { seed, mistakes = {}, isCoded = false } = options
    this.scene = scene
    this.#options = options
    this.#random = streamOf(seed, 'decisions')
    const weather = { lost: 0.01, doubled: 0.01, fromMs: 1, toMs: 80 }
    this.wire = new NegotiateWire(this.clock, streamOf(seed, 'network'), weather, isCoded)
    this.ground = new Ground(scene)
    for (const chunk of this.ground.chunks) this.#chunks.set(chunkName(chunk.key), chunk)
    for (const volume of this.ground.volumes) this.#volumes.set(volume.id, volume)
    this.#nodes = scene.places.map(place => new BalanceNode(place, this, mistakes))
    for (const node of this.#nodes) this.#byId.set(node.place.node, node)
    for (const { group } of scene.places) this.#addGroup(group)
    this.clock.after(0, () => this.#begin())
  }

  runUntil(atMs: number): void {
    this.clock.runUntil(atMs)
  }

  /** Messages so far. */
  sent(): number {
    return [...this.wire.sent.values()].reduce((sum, count) => sum + count, 0)
  }

  /** What did not hold, in words; the first things. */
  brokenAtEnd(): readonly string[] {
    for (const node of this.#nodes) {
      this.checks.sent(node, this.wire.sent.get(node.place.node) ?? 0)
    }
    return this.checks.broken
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
    return Math.max(0, this.scene.roomBytes - (this.ground.usedBytes[place.index] ?? 0))
  }

  volumeLoad(index: number): number {
    return this.scene.load.now[index] ?? 0
  }

  /** By the clock of load. */
  get loadMs(): number {
    return this.scene.isMeasuredAlways ? this.clock.nowMs : this.#step * STEP_MS
  }

  /** Of a whole volume, from this step on. */
  path(index: number): LoadPath {
    return found(this.#paths[index])
  }

  /** The same of the rest of a day; undefined: nothing is foretold so far ahead. */
  day(index: number): LoadPath | undefined {
    if (!this.isForetelling) return undefined
    const known = this.#days.get(index)
    const day = known ?? this.scene.foretelling.day(index)
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
    const { mute = 0, boasters = 0 } = this.#options
    const nodes = this.#nodes.length
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

  /** False: as many moves as the whole mesh may begin in a step have begun, or may yet. */
  mayOffer(): boolean {
    return this.#begun + this.#offered < this.scene.mostNewMoves
  }

  /** An offer was made (1), or has become a move or nothing (-1). */
  offered(by: 1 | -1): void {
    this.#offered += by
  }

  start(move: SimMove): void {
    const target = this.node(move.target)
    const of = { node: target, version: this.versionOf(target) }
    const { nowMs } = this.clock
    if (this.kindOf(target) === 'honest') {
      this.checks.started(move, this.ground.moves.values(), of, nowMs)
    }
    this.ground.moves.set(move.id, move)
    this.#begun++
    this.#options.watch?.started?.(move, nowMs)
    const lastsMs = this.scene.copyMs(move.bytes, nowMs, this.fraction())
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
    const { load, foretelling } = this.scene
    this.#begun = 0
    this.checks.stepped()
    if (step % AHEAD_STEPS === 0) this.#days.clear()
    load.advance(step)
    this.ground.measure(load.now)
    this.#options.watch?.stepped?.(step, this.ground.loads)
    if (this.#options.mode !== 'none') this.#beginLooks(step)
    this.clock.after(STEP_MS, () => {
      foretelling.tell(load.now)
      this.#step++
      this.#begin()
    })
  }

  #beginLooks(step: number): void {
    this.#judge()
    if (step === 0) return
    for (const { index } of this.ground.volumes) {
      this.#paths[index] = this.scene.foretelling.path(index)
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
      const verdict = { headroom, threshold: this.scene.threshold, peak: judgement.peak }
      const { node } = this.node(move.target).place
      this.node(move.source).trust.judged(node, verdict, this.clock.nowMs)
    }
    this.#judgements = this.#judgements.filter(({ untilMs }) => this.clock.nowMs < untilMs)
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
