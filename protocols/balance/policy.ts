/**
 * What a node would move away, and why: pure and deterministic.
 *
 *   look (loads to come, settings, past moves) --> plan: wants, what no move cures, or why nothing
 *
 * Invariants: at most MAX_NEW_MOVES wants; no chunk that is under way, or came within LEAST_STAY_MS,
 * is wanted; nothing is wanted whose benefit is not above its cost, nor past the budget of the hour.
 */
import { type ChunkKey, chunkName, type VolumeId } from '../ids.ts'
import type { MoveHistory } from './history-of-moves.ts'
import { LEAST_COPY_MS, MAX_NEW_MOVES, MOST_COPY_MS } from './limits.ts'
import { addPaths, excessOf, partOf, volumeAbove } from './paths.ts'
import type { NodeSettings } from './settings.ts'
import { MINUTE_MS } from './time.ts'
import type { ChunkLoad, Excess, LoadPath, NodeOutlook, ShardOutlook, Want } from './types.ts'

export interface Look {
  /** Wall ms of the load clock. */
  readonly nowMs: number
  readonly node: NodeOutlook
  readonly shards: readonly ShardOutlook[]
  readonly settings: NodeSettings
  readonly past: MoveHistory
  /** Factor of the cheapest link to a peer that could take something; 0 within the region. */
  readonly linkCost: number
  /** At which moves have copied lately. */
  readonly copyBytesPerSecond: number
  /** Chunks that are offered or moving away now. */
  readonly underWay: readonly ChunkKey[]
  /** The greatest threshold among the peers that are known; absent: unknown. */
  readonly greatestThreshold?: number
}

export interface Incurable {
  /** Absent: the node as a whole. */
  readonly volume?: VolumeId
  readonly why: string
  readonly excess: Excess
}

export interface Plan {
  /** The most urgent first. */
  readonly wants: readonly Want[]
  readonly incurable: readonly Incurable[]
  /** In words: why nothing (more) is done. */
  readonly looked: string
}

/** Part of its own load that copying costs, at either end. */
const COPY_PART = 0.1

export function plan(look: Look): Plan {
  const { nowMs, node, settings } = look
  if (settings.isPaused) return nothing('balancing is paused')
  const horizonMs = settings.horizonMinutes * MINUTE_MS
  const excess = excessOf('node', node.path, node.threshold, nowMs, horizonMs)
  const isOver = node.load > node.threshold
  if (excess === undefined && !isOver) {
    return nothing('no load is foretold above its threshold')
  }
  const left = budgetLeft(look)
  if (left <= 0) return nothing('the moves of this hour are used up')
  const found: Want[] = []
  let path = node.path
  while (found.length < left) {
    const best = bestOf(look, path, found, excess, isOver)
    if (best === undefined) break
    found.push(best)
    path = addPaths(path, [], [best.path])
  }
  return {
    wants: found,
    incurable: [],
    looked: found.length > 0 ? '' : 'no move is worth its cost'
  }
}

function nothing(looked: string): Plan {
  return { wants: [], incurable: [], looked }
}

function budgetLeft({ past, nowMs, settings }: Look): number {
  return Math.min(MAX_NEW_MOVES, settings.movesPerHour - past.ofHour(nowMs).moves)
}

function bestOf(
  look: Look,
  path: LoadPath,
  before: readonly Want[],
  excess: Excess | undefined,
  isOver: boolean
): Want | undefined {
  let best: Want | undefined
  for (const shard of look.shards) {
    if (before.some(({ volume }) => volume === shard.volume)) continue
    const want = wantOf(look, shard, path, excess, isOver)
    if (want.chunks.length === 0 || want.benefit <= want.cost) continue
    if (best === undefined || want.benefit - want.cost > best.benefit - best.cost) best = want
  }
  return best
}

function wantOf(
  look: Look,
  shard: ShardOutlook,
  path: LoadPath,
  excess: Excess | undefined,
  isOver: boolean
): Want {
  const { nowMs, node, settings } = look
  const chunks = shard.chunks.filter(chunk => mayLeave(look, chunk))
  const share = Math.min(
    1,
    chunks.reduce((sum, chunk) => sum + chunk.share, 0)
  )
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
  const copyMs = copyMsOf(bytes, look.copyBytesPerSecond)
  const moved = partOf(shard.path, share)
  const fromMs = nowMs + copyMs
  const toMs = nowMs + settings.horizonMinutes * MINUTE_MS
  const rest = addPaths(path, [], [moved])
  const benefit =
    volumeAbove(path, node.threshold, fromMs, toMs) -
    volumeAbove(rest, node.threshold, fromMs, toMs)
  return {
    volume: shard.volume,
    reason: isOver ? 'reactive' : 'predicted',
    chunks,
    bytes,
    path: moved,
    excess,
    benefit,
    cost: COPY_PART * shard.load * share * (copyMs / 1000) * (1 + look.linkCost),
    copyMs
  }
}

function mayLeave({ past, nowMs, underWay }: Look, { chunk }: ChunkLoad): boolean {
  if (past.leavesAt(chunk, nowMs) !== undefined) return false
  const name = chunkName(chunk)
  return !underWay.some(other => chunkName(other) === name)
}

export function copyMsOf(bytes: number, bytesPerSecond: number): number {
  const ms = (bytes / Math.max(1, bytesPerSecond)) * 1000
  return Math.min(MOST_COPY_MS, Math.max(LEAST_COPY_MS, ms))
}
