/**
 * Which chunks of a shard would best leave, and what that is worth: for the smallest number of its
 * hottest chunks whose move removes nearly as much excess as any.
 *
 *   benefit   expected harm of overload that goes away at the source (curve.ts), less what copying adds
 *   cost      what a move is worth avoiding for: bytes, link, its chance of being unneeded
 *
 * Invariants: no chunk that is under way, or came lately, is chosen; a benefit counts only from the
 * end of the move on: what it takes beside copying, and the copying.
 */
import type { ChunkKey } from '../ids.ts'
import { chunkName } from '../ids.ts'
import { type Curve, excessOfCurve, excessWith, type Grid, scaleCurve, stepWith } from './curve.ts'
import type { MoveHistory } from './history-of-moves.ts'
import { LEAST_COPY_MS, MAX_LOOKED_CHUNKS, MOST_COPY_MS } from './limits.ts'
import { MINUTE_MS } from './time.ts'
import type { ChunkLoad } from './types.ts'

/** Seconds of a full node that a move must save: of any move, and of one that copies an hour's quarter. */
const MOVE_SECONDS = 20
const COPY_SECONDS = 40
const COPIED_MS = 15 * MINUTE_MS
const LINK_PART = 0.25
/** Fewer chunks are as good if they save so much of what the best number saves. */
const GOOD_PART = 0.9
/** Numbers of chunks that are tried one by one; then every larger step. */
const TRIED_ONE_BY_ONE = 16
/** What a move saves at once: within so long after it has ended. */
export const SOON_MS = 10 * MINUTE_MS

export interface Choice {
  readonly chunks: readonly ChunkLoad[]
  /** Part of the shard's load. */
  readonly share: number
  readonly bytes: number
  /** Until the load has moved. */
  readonly copyMs: number
  readonly moved: Curve
  readonly benefit: number
  /** The part of it that is lost if the move begins two steps later. */
  readonly soon: number
  readonly cost: number
}

export interface ChoiceTerms {
  /** Of whatever is above the threshold. */
  readonly own: Curve
  readonly threshold: number
  readonly grid: Grid
  readonly copyBytesPerSecond: number
  /** What a move takes beside copying. */
  readonly besideMs: number
  readonly linkCost: number
}

/** The chunks of a shard that may move now, the hottest first. */
export function movable(
  chunks: readonly ChunkLoad[],
  nowMs: number,
  past: MoveHistory,
  underWay: readonly ChunkKey[]
): ChunkLoad[] {
  const busy = new Set(underWay.map(chunkName))
  return chunks
    .slice(0, MAX_LOOKED_CHUNKS)
    .filter(({ chunk }) => !busy.has(chunkName(chunk)))
    .filter(({ chunk }) => past.leavesAt(chunk, nowMs) === undefined)
    .sort((a, b) => b.share - a.share)
}

/** Undefined: no number of them is worth its cost. */
export function bestChoice(
  chunks: readonly ChunkLoad[],
  shard: Curve,
  terms: ChoiceTerms
): Choice | undefined {
  const before = excessOfCurve(terms.own, terms.threshold, terms.grid)
  const tried: Choice[] = []
  let best = 0
  for (const count of counts(chunks.length)) {
    const choice = choose(chunks.slice(0, count), shard, before, terms)
    best = Math.max(best, choice.benefit - choice.cost)
    tried.push(choice)
  }
  return tried.find(({ benefit, cost }) => benefit > cost && benefit - cost >= GOOD_PART * best)
}

function choose(
  chunks: readonly ChunkLoad[],
  shard: Curve,
  before: number,
  { own, threshold, grid, copyBytesPerSecond, besideMs, linkCost }: ChoiceTerms
): Choice {
  let share = 0
  let bytes = 0
  for (const chunk of chunks) {
    share += chunk.share
    bytes += chunk.bytes
  }
  const copyMs = copyMsOf(bytes, copyBytesPerSecond)
  const moveMs = Math.min(MOST_COPY_MS, besideMs + copyMs)
  const moved = scaleCurve(shard, Math.min(1, share))
  const from = Math.ceil(moveMs / grid.stepMs)
  const shift = { way: -1, from } as const
  const benefit = before - excessWith(own, moved, threshold, grid, shift)
  const none = scaleCurve(moved, 0)
  let soon = 0
  for (let i = from; i < from + Math.ceil(SOON_MS / grid.stepMs) && i < grid.steps; i++) {
    const saved =
      stepWith(own, none, threshold, i, shift) - stepWith(own, moved, threshold, i, shift)
    soon += (saved * grid.stepMs) / 1000
  }
  const seconds = MOVE_SECONDS + COPY_SECONDS * Math.min(4, copyMs / COPIED_MS)
  const cost = threshold * seconds * (1 + LINK_PART * linkCost)
  return { chunks, share: Math.min(1, share), bytes, copyMs: moveMs, moved, benefit, soon, cost }
}

export function copyMsOf(bytes: number, bytesPerSecond: number): number {
  const ms = (bytes / Math.max(1, bytesPerSecond)) * 1000
  return Math.min(MOST_COPY_MS, Math.max(LEAST_COPY_MS, ms))
}

function counts(most: number): number[] {
  const found: number[] = []
  for (let count = 1; count <= most; count += count < TRIED_ONE_BY_ONE ? 1 : count >> 2) {
    found.push(count)
  }
  if (most > 0 && found.at(-1) !== most) found.push(most)
  return found
}
