/**
 * Where the chunks of a node go when it is emptied. A pure plan from measurements: the same input
 * gives the same plan, in whatever order it is listed.
 *
 * Pieces (runs of one column of one volume) are placed one at a time, the largest first, each on
 * the cheapest node that has room for it, and cut where no node has room for the whole. Of the
 * nodes with room those come first that
 *
 *   1. stand on another host than the one that is emptied
 *   2. hold no other column of the volume
 *
 * and among these the cost of placement.ts decides: distance to the volume's gateway, load,
 * fullness, regions and hosts that the volume already uses. Room is given out as it is planned.
 *
 * Invariants: nothing goes to the node that is emptied, nor to a node with another replica of the
 * piece; no node is planned to be filled beyond its room; what found no place is counted.
 */
import { assert } from '../assert.ts'
import type { NodeId, VolumeId } from '../ids.ts'
import { type Candidate, costMs, MIN_ROOM_BYTES } from './placement.ts'

/** Extents [from, to) of one column and replica of a volume, and what they take together. */
export interface Piece {
  readonly volume: VolumeId
  readonly generation: number
  readonly column: number
  readonly replica: number
  readonly from: number
  readonly to: number
  readonly bytes: number
}

/** What is known of one volume: how far each candidate is from where it is used, and who has it. */
export interface DrainedVolume {
  readonly volume: VolumeId
  readonly nearRegion?: string | undefined
  readonly distanceMs: ReadonlyMap<NodeId, number>
  /** Nodes with other columns of it; the node that is emptied does not count. */
  readonly holders: readonly NodeId[]
}

export interface DrainWish {
  readonly from: { readonly node: NodeId; readonly host: string }
  readonly pieces: readonly Piece[]
  readonly volumes: readonly DrainedVolume[]
  /** Nodes that may take chunks; their own distance is not used. */
  readonly candidates: readonly Candidate[]
  /** Nodes with another replica of a piece. */
  readonly excluded?: ((piece: Piece) => readonly NodeId[]) | undefined
}

export interface Assignment {
  readonly piece: Piece
  readonly to: NodeId
}

export interface DrainPlan {
  readonly assignments: readonly Assignment[]
  /** Of all pieces, what the candidates had room for, and what found no place. */
  readonly neededBytes: number
  readonly availableBytes: number
  readonly missingBytes: number
}

export function planDrain(wish: DrainWish): DrainPlan {
  const planner = new Planner(wish)
  const { availableBytes } = planner
  const pieces = [...wish.pieces].sort(byBytesThenPlace)
  for (const piece of pieces) planner.place(piece)
  return {
    assignments: planner.assignments,
    neededBytes: pieces.reduce((sum, piece) => sum + piece.bytes, 0),
    availableBytes,
    missingBytes: planner.missingBytes
  }
}

class Planner {
  readonly assignments: Assignment[] = []
  missingBytes = 0
  readonly #wish: DrainWish
  readonly #candidates: readonly Candidate[]
  readonly #room = new Map<NodeId, number>()
  readonly #volumes: ReadonlyMap<VolumeId, DrainedVolume>
  /** Nodes that have, or will have, a part of the volume. */
  readonly #taken = new Map<VolumeId, Set<NodeId>>()

  constructor(wish: DrainWish) {
    this.#wish = wish
    this.#volumes = new Map(wish.volumes.map(volume => [volume.volume, volume]))
    this.#candidates = wish.candidates
      .filter(candidate => candidate.node !== wish.from.node && candidate.capacityBytes > 0)
      .sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
    for (const { node, availableBytes } of this.#candidates) {
      this.#room.set(node, Math.max(0, availableBytes - MIN_ROOM_BYTES))
    }
  }

  get availableBytes(): number {
    return [...this.#room.values()].reduce((sum, room) => sum + room, 0)
  }

  place(piece: Piece): void {
    let rest: Piece | undefined = piece
    while (rest !== undefined) {
      const best = this.#best(rest)
      if (best === undefined) {
        this.missingBytes += rest.bytes
        return
      }
      const fitting = this.#fittingExtents(rest, best)
      assert(fitting > 0, 'a chosen node has room for one chunk')
      const [now, later] = cut(rest, fitting)
      this.assignments.push({ piece: now, to: best.node })
      this.#room.set(best.node, this.#roomOf(best) - now.bytes)
      this.#takenBy(piece.volume).add(best.node)
      rest = later
    }
  }

  /** The cheapest of those that have room for all of it; else the one with room for most of it. */
  #best(piece: Piece): Candidate | undefined {
    const excluded = this.#wish.excluded?.(piece) ?? []
    const fitting = this.#candidates.filter(
      candidate => !excluded.includes(candidate.node) && this.#fittingExtents(piece, candidate) > 0
    )
    const whole = fitting.filter(candidate => this.#roomOf(candidate) >= piece.bytes)
    if (whole.length > 0) return least(this.#preferred(piece, whole), c => this.#cost(piece, c))
    return least(this.#otherHosts(fitting), candidate => -this.#roomOf(candidate))
  }

  #preferred(piece: Piece, candidates: readonly Candidate[]): readonly Candidate[] {
    const elsewhere = this.#otherHosts(candidates)
    const taken = this.#takenBy(piece.volume)
    const fresh = elsewhere.filter(candidate => !taken.has(candidate.node))
    return fresh.length > 0 ? fresh : elsewhere
  }

  #otherHosts(candidates: readonly Candidate[]): readonly Candidate[] {
    const elsewhere = candidates.filter(candidate => candidate.host !== this.#wish.from.host)
    return elsewhere.length > 0 ? elsewhere : candidates
  }

  #cost(piece: Piece, candidate: Candidate): number {
    const volume = this.#volumes.get(piece.volume)
    const taken = this.#takenBy(piece.volume)
    const others = this.#candidates.filter(other => taken.has(other.node))
    const now = {
      ...candidate,
      distanceMs: volume?.distanceMs.get(candidate.node),
      availableBytes: Math.max(0, this.#roomOf(candidate) - piece.bytes)
    }
    return costMs(now, others, { columns: 1, nearRegion: volume?.nearRegion })
  }

  #fittingExtents(piece: Piece, candidate: Candidate): number {
    const count = piece.to - piece.from
    if (piece.bytes === 0) return count
    return Math.min(count, Math.floor((this.#roomOf(candidate) * count) / piece.bytes))
  }

  #roomOf(candidate: Candidate): number {
    return this.#room.get(candidate.node) ?? 0
  }

  #takenBy(volume: VolumeId): Set<NodeId> {
    const known = this.#taken.get(volume)
    if (known !== undefined) return known
    const holders = new Set(this.#volumes.get(volume)?.holders ?? [])
    this.#taken.set(volume, holders)
    return holders
  }
}

/** The first `count` extents and the rest, with bytes in proportion. */
function cut(piece: Piece, count: number): [now: Piece, later: Piece | undefined] {
  const total = piece.to - piece.from
  if (count >= total) return [piece, undefined]
  const bytes = Math.floor((piece.bytes * count) / total)
  const at = piece.from + count
  return [
    { ...piece, to: at, bytes },
    { ...piece, from: at, bytes: piece.bytes - bytes }
  ]
}

function least<T>(items: readonly T[], cost: (item: T) => number): T | undefined {
  let best: T | undefined
  let bestCost = Number.POSITIVE_INFINITY
  for (const item of items) {
    const itemCost = cost(item)
    if (itemCost >= bestCost) continue
    best = item
    bestCost = itemCost
  }
  return best
}

function byBytesThenPlace(a: Piece, b: Piece): number {
  if (a.bytes !== b.bytes) return b.bytes - a.bytes
  if (a.volume !== b.volume) return a.volume < b.volume ? -1 : 1
  return a.column - b.column || a.replica - b.replica || a.from - b.from
}
