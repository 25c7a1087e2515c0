/**
 * What a node would move away, and why: pure and deterministic (docs/balancing.md).
 *
 *   look (loads to come, settings, past moves) --> plan: wants, what no move cures, or why nothing
 *
 *   high quantile above the threshold? -> for each shard the best choice of chunks -> worth its cost?
 *     -> due now, or can it wait? -> of those that save about as much, the one that moves least
 *
 * Invariants: at most MAX_NEW_MOVES wants, of different volumes; nothing is wanted whose benefit is
 * not above its cost, nor past a budget of the hour (budget.ts), nor of a volume that only people move.
 */
import type { ChunkKey, VolumeId } from '../ids.ts'
import { isAffordable, isUsedUp } from './budget.ts'
import { bestChoice, type Choice, type ChoiceTerms, movable, SOON_MS } from './choice.ts'
import { type Curve, curveOf, gridOf, shiftCurve } from './curve.ts'
import type { MoveHistory } from './history-of-moves.ts'
import { homeWants } from './home.ts'
import { incurables } from './incurable.ts'
import { MAX_NEW_MOVES } from './limits.ts'
import { excessOf, partOf } from './paths.ts'
import type { NodeSettings } from './settings.ts'
import { liftedPath } from './surprise.ts'
import { MINUTE_MS } from './time.ts'
import { troughGain } from './trough.ts'
import type { Excess, NodeOutlook, ShardOutlook, Want } from './types.ts'

export { copyMsOf } from './choice.ts'

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
  /** What a move takes beside copying, from the want to its end; absent: nothing. */
  readonly besideMs?: number
  /** Chunks that are offered or moving away now. */
  readonly underWay: readonly ChunkKey[]
  /** The greatest threshold among the peers that are known; absent: unknown. */
  readonly greatestThreshold?: number
  /** Offered lately for an overload, and nobody took them: others are tried first. */
  readonly refused?: ReadonlySet<VolumeId>
  /** Offered lately to where they are at home; says nothing of others, who may be needed. */
  readonly refusedAtHome?: ReadonlySet<VolumeId>
  /** Of a volume of which more at once was too much for everybody: the most chunks that are tried. */
  readonly mostChunks?: ReadonlyMap<VolumeId, number>
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

/** Of a full node: what a move must save within ten minutes of its end, else it waits a step. */
const DUE_SECONDS = 15
/** A choice that saves so much of what the best saves is as good, if it moves less. */
const AS_GOOD = 0.95

interface Found {
  readonly shard: ShardOutlook
  readonly choice: Choice
  readonly excess: Excess
}

export function plan(look: Look): Plan {
  const { settings } = look
  if (settings.isPaused) return nothing('balancing is paused')
  const left = movesLeft(look)
  if (left <= 0) return nothing('the moves of this hour are used up')
  const hot = hotOf(look)
  if (hot === undefined) {
    const wants = homeWants(look).slice(0, left)
    return { wants, incurable: [], looked: wants.length > 0 ? '' : QUIET }
  }
  const { wants, looked } = wantsOf(look, hot, left)
  return { wants, incurable: wants.length > 0 ? [] : incurables(look, hot.excess), looked }
}

const QUIET = 'no load is foretold above its threshold'

function nothing(looked: string): Plan {
  return { wants: [], incurable: [], looked }
}

function movesLeft({ past, nowMs, settings }: Look): number {
  return Math.min(MAX_NEW_MOVES, settings.movesPerHour - past.ofHour(nowMs).moves)
}

/** Whatever is foretold above its threshold, or is above it now. */
interface Hot {
  readonly excess: Excess
  readonly isNow: boolean
  readonly own: Curve
  readonly terms: Omit<ChoiceTerms, 'own'>
  readonly shards: readonly ShardOutlook[]
}

function hotOf(look: Look): Hot | undefined {
  const { node, nowMs } = look
  const nodePath = liftedPath(node.path, node.load, nowMs)
  const horizonMs = look.settings.horizonMinutes * MINUTE_MS
  const found = excessOf('node', nodePath, node.threshold, nowMs, horizonMs)
  if (found !== undefined) return heat(look, found, nodePath, node.load, look.shards)
  let first: Hot | undefined
  for (const shard of look.shards) {
    const { thresholdPart, horizonMinutes = look.settings.horizonMinutes } = shard.settings
    if (thresholdPart === undefined || node.capacity === undefined) continue
    const threshold = thresholdPart * node.capacity
    const path = liftedPath(shard.path, shard.load, nowMs)
    const above = excessOf('shard', path, threshold, nowMs, horizonMinutes * MINUTE_MS)
    if (above === undefined) continue
    const hot = heat(look, above, path, shard.load, [shard])
    if (!isUsedUp(look, shard)) return hot
    first ??= hot
  }
  // Of several only one is looked at: rather one of which something may still leave.
  return first
}

function heat(
  { nowMs, copyBytesPerSecond, besideMs = 0, linkCost }: Look,
  excess: Excess,
  path: NodeOutlook['path'],
  load: number,
  shards: readonly ShardOutlook[]
): Hot {
  const { threshold, horizonMs } = excess
  // What a move saves is looked at for as long as the horizon after the longest move it could be.
  const endMs = nowMs + horizonMs + Math.min(15 * MINUTE_MS + besideMs, horizonMs)
  const grid = gridOf(nowMs, endMs, path.stepMs)
  const terms = { threshold, grid, copyBytesPerSecond, besideMs, linkCost }
  return { excess, isNow: load > threshold, own: curveOf(path, grid), terms, shards }
}

function wantsOf(look: Look, hot: Hot, left: number): Pick<Plan, 'wants' | 'looked'> {
  const wants: Want[] = []
  let looked = ''
  while (wants.length < left) {
    const taken = new Set(wants.map(({ volume }) => volume))
    const worth = hot.shards.flatMap(shard => choiceOf(look, hot, shard, taken) ?? [])
    const due = worth.filter(({ choice }) => isDue(choice, hot.terms, hot.own))
    const best = leastOf(due)
    if (best === undefined) {
      looked = worth.length > 0 ? 'there is time: what is worth moving is not due yet' : ENOUGH
      break
    }
    wants.push(wantOf(best, hot))
    const from = Math.ceil(best.choice.copyMs / hot.terms.grid.stepMs)
    shiftCurve(hot.own, best.choice.moved, { way: -1, from })
  }
  return { wants, looked }
}

/** Waiting costs: what it would save at once, or a better time to copy. */
function isDue(choice: Choice, terms: Hot['terms'], own: Curve): boolean {
  const due = DUE_SECONDS * terms.threshold
  if (choice.soon >= due) return true
  return choice.soon + troughGain(choice, { ...terms, own }, { due, soonMs: SOON_MS }) >= due
}

const ENOUGH = 'no (further) move is worth its cost'

function choiceOf(
  look: Look,
  { own, terms, excess }: Hot,
  shard: ShardOutlook,
  taken: ReadonlySet<VolumeId>
): Found | undefined {
  const { volume, settings } = shard
  if (!settings.isOn || taken.has(volume) || look.refused?.has(volume) === true) return undefined
  const free = movable(shard.chunks, look.nowMs, look.past, look.underWay)
  const chunks = free.slice(0, look.mostChunks?.get(volume))
  const path = liftedPath(shard.path, shard.load, look.nowMs)
  const choice = bestChoice(chunks, curveOf(path, terms.grid), { ...terms, own })
  if (choice === undefined || !isAffordable(look, shard, choice.bytes)) return undefined
  return { shard, choice, excess }
}

/** Of those that save about as much as the best, the one that copies least, then moves least load. */
function leastOf(found: readonly Found[]): Found | undefined {
  const worth = ({ choice }: Found): number => choice.benefit - choice.cost
  const best = Math.max(0, ...found.map(worth))
  const good = found.filter(one => worth(one) >= AS_GOOD * best)
  return good.sort((a, b) => a.choice.bytes - b.choice.bytes || sizeOf(a) - sizeOf(b))[0]
}

function sizeOf({ choice }: Found): number {
  return choice.moved.mean.reduce((sum, load) => sum + load, 0)
}

function wantOf({ shard, choice, excess }: Found, { isNow }: Hot): Want {
  const { chunks, share, bytes, copyMs, benefit, cost } = choice
  return {
    volume: shard.volume,
    reason: isNow ? 'reactive' : 'predicted',
    chunks,
    bytes,
    path: partOf(shard.path, share),
    excess,
    benefit,
    cost,
    copyMs,
    ...(shard.day !== undefined && { day: partOf(shard.day, share) })
  }
}
