/**
 * The planners that ours is compared with: nothing, random, and the simple greedy one of reactive and
 * seasonal-naive balancing, which moves of the worst node the volume that fits best elsewhere.
 */
import { Random } from '../../protocols/forecast/random.ts'
import type { Foreseer } from './balance-forecasts.ts'
import { NODES } from './balance-setting.ts'
import {
  NEW_MOVES_PER_STEP,
  type NewMove,
  nodeLoads,
  type Piece,
  type Planner,
  type World
} from './balance-sim.ts'

export const nothing: Planner = { begin: () => [] }

/** Of each node that is over its capacity, any volume to any node. */
export function atRandom(seed: number): Planner {
  const random = new Random(seed)
  return {
    begin: ({ setting, pieces, places, moves, step }) => {
      const moving = new Set(moves.flatMap(move => move.pieces.map(({ id }) => id)))
      const loads = nodeLoads(setting, pieces, places, moves, step - 1)
      return Array.from(loads).flatMap((load, node): NewMove[] => {
        const own = pieces.filter(({ id }) => places[id] === node && !moving.has(id))
        const piece = own[random.below(Math.max(1, own.length))]
        if (load <= setting.capacity || piece === undefined) return []
        return [{ pieces: [piece], to: (node + 1 + random.below(NODES - 1)) % NODES }]
      })
    }
  }
}

interface Best {
  readonly piece: Piece
  readonly to: number
  readonly score: number
}

/** Moves that bring the foretold peak of the worst node under its capacity, to where there is room. */
export function greedy(foresee: Foreseer): Planner {
  return { begin: world => new Greedy(world, foresee).moves() }
}

class Greedy {
  readonly #world: World
  readonly #paths: ReadonlyArray<readonly number[]>
  readonly #homes: Int32Array
  readonly #sums: Float64Array[]
  readonly #left: Set<number>

  constructor(world: World, foresee: Foreseer) {
    const { pieces, places, moves, setting, step } = world
    this.#world = world
    this.#homes = Int32Array.from(places)
    for (const move of moves) for (const { id } of move.pieces) this.#homes[id] = move.to
    const paths = setting.loads.map((_, volume) => foresee(volume, step).expected.slice(0, 12))
    this.#paths = pieces.map(({ volume, share }) => (paths[volume] ?? []).map(x => x * share))
    this.#sums = Array.from({ length: NODES }, () => new Float64Array(paths[0]?.length ?? 0))
    for (const piece of pieces) this.#add(piece, this.#homes[piece.id] ?? 0, 1)
    const busy = new Set(moves.flatMap(move => move.pieces.map(({ id }) => id)))
    this.#left = new Set(pieces.map(({ id }) => id).filter(id => !busy.has(id)))
  }

  moves(): NewMove[] {
    const found: NewMove[] = []
    const hopeless = new Set<number>()
    while (found.length < NEW_MOVES_PER_STEP && hopeless.size < NODES) {
      const worst = this.#worst(hopeless)
      if (worst === undefined) break
      const best = this.#best(worst)
      hopeless.add(best === undefined ? worst : -1)
      hopeless.delete(-1)
      if (best === undefined) continue
      this.#add(best.piece, worst, -1)
      this.#add(best.piece, best.to, 1)
      this.#left.delete(best.piece.id)
      this.#homes[best.piece.id] = best.to
      found.push({ pieces: [best.piece], to: best.to })
    }
    return found
  }

  #worst(hopeless: ReadonlySet<number>): number | undefined {
    let worst: number | undefined
    let most = this.#world.setting.capacity
    this.#sums.forEach((sums, node) => {
      const peak = Math.max(...sums)
      if (peak <= most || hopeless.has(node)) return
      worst = node
      most = peak
    })
    return worst
  }

  #best(worst: number): Best | undefined {
    const { pieces, setting } = this.#world
    let best: Best | undefined
    for (const piece of pieces) {
      if (this.#homes[piece.id] !== worst || !this.#left.has(piece.id)) continue
      const left = this.#peak(worst, piece, -1)
      for (let to = 0; to < NODES; to++) {
        const there = to === worst ? Number.POSITIVE_INFINITY : this.#peak(to, piece, 1)
        if (there > setting.capacity) continue
        const score = 1_000 * Math.max(0, left - setting.capacity) + there
        if (best === undefined || score < best.score) best = { piece, to, score }
      }
    }
    return best
  }

  #peak(node: number, piece: Piece, sign: number): number {
    const path = this.#paths[piece.id] ?? []
    let peak = 0
    this.#sums[node]?.forEach((sum, h) => {
      peak = Math.max(peak, sum + sign * (path[h] ?? 0))
    })
    return peak
  }

  #add(piece: Piece, node: number, sign: number): void {
    const sums = this.#sums[node]
    this.#paths[piece.id]?.forEach((load, h) => {
      if (sums !== undefined) sums[h] = (sums[h] ?? 0) + sign * load
    })
  }
}
