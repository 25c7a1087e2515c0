/**
 * The shipped policy in the world of the balancing bench: each node looks at its own shards, asks a
 * few others by what they gossiped at the beginning of the step, and gives its chunks to the best bid.
 * All of plan, candidates, appraise, rank and MoveHistory is what a node runs.
 *
 * Invariant: what a node knows of another is what that one said in this step, or bids.
 */
import { copyMsOf } from '../../protocols/balance/choice.ts'
import { loadOfMoments, momentsOf } from '../../protocols/balance/excess.ts'
import { MoveHistory } from '../../protocols/balance/history-of-moves.ts'
import { partOf, stepOf } from '../../protocols/balance/paths.ts'
import { type Look, plan } from '../../protocols/balance/policy.ts'
import { DEFAULT_SETTINGS, type NodeSettings } from '../../protocols/balance/settings.ts'
import {
  appraise,
  type Bid,
  candidates,
  type KnownPeer,
  type RankTerms,
  rank
} from '../../protocols/balance/target.ts'
import type { LoadPath, NodeOutlook, ShardOutlook, Want } from '../../protocols/balance/types.ts'
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'
import { type Foreseer, msOf } from './balance-forecasts.ts'
import { NODES, VOLUME_BYTES } from './balance-setting.ts'
import {
  NEW_MOVES_PER_STEP,
  type NewMove,
  type OpenMove,
  type Piece,
  type Planner,
  VOLUME_STEPS,
  type World
} from './balance-sim.ts'

/** The bench counts load above capacity: so that is what a node is to stay below. */
const SETTINGS: NodeSettings = { ...DEFAULT_SETTINGS, thresholdPart: 1 }
const COPY_BYTES_PER_SECOND = (VOLUME_BYTES * 1000) / (VOLUME_STEPS * STEP_MS)
const FREE_BYTES = 1024 * VOLUME_BYTES
/** Wants of one node that may find nobody in a step. */
const MOST_REFUSED = 5
const COPY_PART = 0.1
const CALM = { isOn: true } as const

export function shippedPlanner(foresee: Foreseer, seed: number): Planner {
  const histories = Array.from({ length: NODES }, () => new MoveHistory())
  return {
    begin: world => new Step(world, foresee, histories, seed).moves(),
    ended: move => {
      const chunks = move.pieces.map(chunkOf)
      const note = { atMs: msOf(move.end), chunks, bytes: 0 }
      histories[move.from]?.note({ is: 'left', ...note })
      histories[move.to]?.note({ is: 'arrived', ...note })
    }
  }
}

class Step {
  readonly #world: World
  readonly #histories: readonly MoveHistory[]
  readonly #seed: number
  readonly #paths: readonly LoadPath[]
  readonly #nodes: Ahead[]
  readonly #homes: Int32Array
  readonly #busy: Set<number>
  readonly #nowMs: number

  constructor(world: World, foresee: Foreseer, histories: readonly MoveHistory[], seed: number) {
    const { setting, pieces, places, moves, step } = world
    this.#world = world
    this.#histories = histories
    this.#seed = seed
    this.#nowMs = msOf(step)
    this.#paths = setting.loads.map((_, volume) => foresee(volume, step))
    this.#homes = Int32Array.from(places)
    this.#busy = new Set(moves.flatMap(move => move.pieces.map(({ id }) => id)))
    for (const move of moves) for (const { id } of move.pieces) this.#homes[id] = move.to
    const steps = this.#paths[0]?.expected.length ?? 0
    this.#nodes = Array.from({ length: NODES }, () => new Ahead(steps))
    for (let node = 0; node < NODES; node++) {
      for (const [volume, share] of sharesOf(pieces, id => this.#homes[id] === node)) {
        this.#nodes[node]?.add(this.#paths[volume], share, 0, 1)
      }
    }
    for (const move of moves) this.#copying(move)
  }

  moves(): NewMove[] {
    const peers = this.#nodes.map((_, node) => this.#peer(node))
    const found: NewMove[] = []
    // Nobody is always the first: the turn goes round.
    for (let i = 0; i < NODES && found.length < NEW_MOVES_PER_STEP; i++) {
      this.#balance((i + this.#world.step) % NODES, peers, found)
    }
    return found
  }

  #balance(node: number, peers: readonly KnownPeer[], found: NewMove[]): void {
    const refused = new Set<VolumeId>()
    while (found.length < NEW_MOVES_PER_STEP && refused.size <= MOST_REFUSED) {
      const want = plan(this.#look(node, refused)).wants[0]
      if (want === undefined) return
      const to = this.#award(node, want, peers)
      if (to === undefined) {
        refused.add(want.volume)
        continue
      }
      const pieces = this.#piecesOf(want)
      this.#promise({ pieces, from: node, to, want })
      found.push({ pieces, to })
    }
  }

  #award(node: number, want: Want, peers: readonly KnownPeer[]): number | undefined {
    const terms: RankTerms = {
      want,
      volume: CALM,
      settings: SETTINGS,
      takenHosts: new Set(),
      source: placeOf(node)
    }
    const seed = this.#seed + this.#world.step * NODES + node
    const asked = candidates(peers, terms, seed).map(peer => Number(peer.node.slice(-2)))
    const bids = asked.flatMap(to => this.#bid(to, want) ?? [])
    const best = rank(bids, terms)[0]
    return best?.score === undefined ? undefined : Number(best.bid.node.slice(-2))
  }

  #bid(to: number, want: Want): Bid | undefined {
    const history = this.#histories[to]
    const chunks = want.chunks.map(({ chunk }) => chunk)
    const returns = chunks.flatMap(chunk => history?.returnsAt(chunk, this.#nowMs) ?? [])
    const appraisal = appraise({
      nowMs: this.#nowMs,
      own: this.#outlook(to),
      offered: want,
      settings: SETTINGS,
      ...(returns.length > 0 && { returnsAt: Math.max(...returns) }),
      wasHere: chunks.some(chunk => history?.wasHere(chunk, this.#nowMs))
    })
    if (appraisal.is === 'refusal') return undefined
    return { ...placeOf(to), figures: appraisal.figures, trust: 1, linkCost: 0 }
  }

  #look(node: number, refused: ReadonlySet<VolumeId>): Look {
    return {
      nowMs: this.#nowMs,
      node: this.#outlook(node),
      shards: this.#shards(node),
      settings: { ...SETTINGS, movesPerHour: 1_000 },
      past: this.#histories[node] ?? new MoveHistory(),
      linkCost: 0,
      copyBytesPerSecond: COPY_BYTES_PER_SECOND,
      underWay: [],
      refused
    }
  }

  #shards(node: number): ShardOutlook[] {
    const { pieces, setting, step } = this.#world
    const here = pieces.filter(({ id }) => this.#homes[id] === node)
    return [...sharesOf(here, () => true)].map(([volume, share]) => ({
      volume: volumeId(volume),
      load: share * (setting.loads[volume]?.[step - 1] ?? 0),
      path: partOf(this.#paths[volume] ?? NO_PATH, share),
      chunks: here
        .filter(piece => piece.volume === volume && !this.#busy.has(piece.id))
        .map(piece => ({
          chunk: chunkOf(piece),
          share: piece.share / share,
          bytes: piece.bytes
        })),
      settings: CALM
    }))
  }

  #outlook(node: number): NodeOutlook {
    const { setting } = this.#world
    return {
      ...placeOf(node),
      load: this.#load(node),
      capacity: setting.capacity,
      threshold: setting.capacity,
      path: this.#nodes[node]?.path(this.#nowMs) ?? NO_PATH,
      freeBytes: FREE_BYTES
    }
  }

  /** Measured in the last step, of what is here. */
  #load(node: number): number {
    const { pieces, setting, step } = this.#world
    let sum = 0
    for (const { id, volume, share } of pieces) {
      if (this.#homes[id] === node) sum += share * (setting.loads[volume]?.[step - 1] ?? 0)
    }
    return sum
  }

  #peer(node: number): KnownPeer {
    const { threshold, capacity, load, freeBytes, path } = this.#outlook(node)
    const high = Math.max(path.high[2] ?? 0, path.high[11] ?? 0)
    const known = { load, threshold, high, freeBytes, trust: 1, linkCost: 0 }
    return { ...placeOf(node), ...known, ...(capacity !== undefined && { capacity }) }
  }

  #piecesOf(want: Want): Piece[] {
    const names = new Set(want.chunks.map(({ chunk }) => `${chunk.volume}/${chunk.extent}`))
    return this.#world.pieces.filter(piece => {
      const chunk = chunkOf(piece)
      return names.has(`${chunk.volume}/${chunk.extent}`)
    })
  }

  #promise(of: {
    readonly pieces: readonly Piece[]
    readonly from: number
    readonly to: number
    readonly want: Want
  }): void {
    const { pieces, from, to, want } = of
    this.#histories[from]?.begin(this.#nowMs, want.bytes)
    const copied = Math.ceil(copyMsOf(want.bytes, COPY_BYTES_PER_SECOND) / STEP_MS)
    for (const [volume, share] of sharesOf(pieces, () => true)) {
      const path = this.#paths[volume]
      this.#nodes[from]?.add(path, share, copied, -1)
      this.#nodes[from]?.add(path, COPY_PART * share, 0, 1, copied)
      this.#nodes[to]?.add(path, share, copied, 1)
      this.#nodes[to]?.add(path, COPY_PART * share, 0, 1, copied)
    }
    for (const { id } of pieces) {
      this.#homes[id] = to
      this.#busy.add(id)
    }
  }

  /** What is moving is counted at its target already: the rest of the copying is not. */
  #copying({ pieces, from, to, end }: OpenMove): void {
    const left = end - this.#world.step
    for (const [volume, share] of sharesOf(pieces, () => true)) {
      const path = this.#paths[volume]
      this.#nodes[from]?.add(path, (1 + COPY_PART) * share, 0, 1, left)
      this.#nodes[to]?.add(path, share, 0, -1, left)
      this.#nodes[to]?.add(path, COPY_PART * share, 0, 1, left)
    }
  }
}

/** The load to come of a node, by moments. */
class Ahead {
  readonly #mean: Float64Array
  readonly #variance: Float64Array

  constructor(steps: number) {
    this.#mean = new Float64Array(steps)
    this.#variance = new Float64Array(steps)
  }

  /** Adds (or takes away) a part of a path in its steps [from, to). */
  add(path: LoadPath | undefined, part: number, from: number, sign: 1 | -1, to?: number): void {
    if (path === undefined) return
    for (let i = from; i < Math.min(this.#mean.length, to ?? this.#mean.length); i++) {
      const { mean, variance } = momentsOf(stepOf(path, i))
      this.#mean[i] = Math.max(0, (this.#mean[i] ?? 0) + sign * part * mean)
      this.#variance[i] = Math.max(0, (this.#variance[i] ?? 0) + sign * part * part * variance)
    }
  }

  path(atMs: number): LoadPath {
    const loads = Array.from(this.#mean, (mean, i) =>
      loadOfMoments({ mean, variance: this.#variance[i] ?? 0 })
    )
    const expected = loads.map(load => load.expected)
    return { atMs, stepMs: STEP_MS, expected, high: loads.map(load => load.high) }
  }
}

const NO_PATH: LoadPath = { atMs: 0, stepMs: STEP_MS, expected: [], high: [] }

function sharesOf(pieces: readonly Piece[], isIn: (id: number) => boolean): Map<number, number> {
  const shares = new Map<number, number>()
  for (const { id, volume, share } of pieces) {
    if (isIn(id)) shares.set(volume, (shares.get(volume) ?? 0) + share)
  }
  return shares
}

function placeOf(node: number): {
  readonly node: NodeId
  readonly region: string
  readonly host: string
} {
  const name = String(node).padStart(2, '0')
  return { node: `node-${name}` as NodeId, region: `region-${node % 3}`, host: `host-${name}` }
}

function volumeId(volume: number): VolumeId {
  return volume.toString(16).padStart(32, '0') as VolumeId
}

function chunkOf({ id, volume }: Piece): ChunkKey {
  return { volume: volumeId(volume), extent: id, generation: 0, column: 0, replica: 0 }
}
