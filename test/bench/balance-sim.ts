/**
 * The world of the balancing bench: pieces of volumes on nodes, in steps of five minutes. A move takes
 * as many steps as its bytes need; meanwhile its load stays on the source, and both ends bear a tenth
 * of it more. It knows nothing of forecasts.
 *
 * Invariant: a piece is on one node, and in one move at most.
 */
import { NODES, type Setting, VOLUME_BYTES } from './balance-setting.ts'
import { DAY } from './forecast-data.ts'

/** Steps in which a whole volume is copied, and for which a move is judged after its end. */
export const VOLUME_STEPS = 3
const JUDGED_STEPS = 12
const COPY_PART = 0.1
export const NEW_MOVES_PER_STEP = 3

export interface Piece {
  readonly id: number
  readonly volume: number
  /** Of its volume's load and bytes. */
  readonly share: number
  readonly bytes: number
}

export interface OpenMove {
  readonly pieces: readonly Piece[]
  readonly from: number
  readonly to: number
  /** Steps: the first in which it copies, and the first in which it is done. */
  readonly start: number
  readonly end: number
}

export interface World {
  readonly setting: Setting
  readonly pieces: readonly Piece[]
  /** By piece. */
  readonly places: Int32Array
  readonly moves: readonly OpenMove[]
  readonly step: number
}

export interface NewMove {
  readonly pieces: readonly Piece[]
  readonly to: number
}

/** What begins in this step, and what it does when all is over. */
export interface Planner {
  readonly begin: (world: World) => readonly NewMove[]
  readonly end?: () => void
}

export interface Outcome {
  readonly timePercent: number
  readonly volumePerDay: number
  readonly movesPerDay: number
  readonly unneededPercent: number
  readonly bytesPerDay: number
}

export interface Span {
  readonly from: number
  readonly to: number
}

export function piecesOf(setting: Setting, shares: readonly number[]): Piece[] {
  return setting.loads.flatMap((_, volume) =>
    shares.map((share, i) => ({
      id: volume * shares.length + i,
      volume,
      share,
      bytes: VOLUME_BYTES / shares.length
    }))
  )
}

export function simulate(
  setting: Setting,
  pieces: readonly Piece[],
  planner: Planner,
  { from, to }: Span
): Outcome {
  const places = Int32Array.from(pieces, ({ volume }) => volume % NODES)
  let moves: OpenMove[] = []
  const tally = { over: 0, volume: 0, moves: 0, unneeded: 0, bytes: 0 }
  for (let step = from; step < to; step++) {
    for (const move of moves) {
      if (move.end > step) continue
      for (const { id } of move.pieces) places[id] = move.to
      tally.moves++
      tally.bytes += move.pieces.reduce((sum, { bytes }) => sum + bytes, 0)
      if (!isNeeded(setting, pieces, places, move)) tally.unneeded++
    }
    moves = moves.filter(({ end }) => end > step)
    const begun = planner.begin({ setting, pieces, places, moves, step })
    moves = [
      ...moves,
      ...begun.slice(0, NEW_MOVES_PER_STEP).map(move => opened(move, places, step))
    ]
    for (const load of nodeLoads(setting, pieces, places, moves, step)) {
      if (load <= setting.capacity) continue
      tally.over++
      tally.volume += load - setting.capacity
    }
  }
  planner.end?.()
  const days = (to - from) / DAY
  return {
    timePercent: (100 * tally.over) / (NODES * (to - from)),
    volumePerDay: tally.volume / days,
    movesPerDay: tally.moves / days,
    unneededPercent: (100 * tally.unneeded) / Math.max(1, tally.moves),
    bytesPerDay: tally.bytes / days
  }
}

function opened({ pieces, to }: NewMove, places: Int32Array, start: number): OpenMove {
  const from = places[pieces[0]?.id ?? 0] ?? 0
  return { pieces, from, to, start, end: start + stepsOf(pieces) }
}

export function stepsOf(pieces: readonly Piece[]): number {
  return stepsOfBytes(pieces.reduce((sum, piece) => sum + piece.bytes, 0))
}

/** Steps that so much copies. */
export function stepsOfBytes(bytes: number): number {
  return Math.max(1, Math.ceil((VOLUME_STEPS * bytes) / VOLUME_BYTES - 1e-9))
}

export function nodeLoads(
  { loads }: Setting,
  pieces: readonly Piece[],
  places: Int32Array,
  moves: readonly OpenMove[],
  step: number
): Float64Array {
  const nodes = new Float64Array(NODES)
  const add = (node: number, load: number): void => {
    nodes[node] = (nodes[node] ?? 0) + load
  }
  for (const { id, volume, share } of pieces) {
    add(places[id] ?? 0, share * (loads[volume]?.[step] ?? 0))
  }
  for (const move of moves) {
    for (const { volume, share } of move.pieces) {
      const copied = COPY_PART * share * (loads[volume]?.[step] ?? 0)
      add(move.from, copied)
      add(move.to, copied)
    }
  }
  return nodes
}

/** From its end until an hour later, the source with the moved load put back is above its capacity. */
function isNeeded(
  { loads, capacity, steps }: Setting,
  pieces: readonly Piece[],
  places: Int32Array,
  { pieces: moved, from, end }: OpenMove
): boolean {
  const there = [...pieces.filter(({ id }) => places[id] === from), ...moved]
  for (let t = end; t < Math.min(steps, end + JUDGED_STEPS); t++) {
    let sum = 0
    for (const { volume, share } of there) sum += share * (loads[volume]?.[t] ?? 0)
    if (sum > capacity) return true
  }
  return false
}
