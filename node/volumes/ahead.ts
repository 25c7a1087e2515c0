/**
 * What the nodes that could take a new volume foretell of themselves.
 *
 *   gossip (what is known here already) --> every candidate
 *   outlook of the next day (asked) ------> the cheapest few, if it is known what the volume will do
 *
 * Invariants: so many nodes are asked at most, at once, and only for so long; a node that says
 * nothing, or whose capacity nobody knows, is neither better nor worse for it.
 */
import { isFault } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { type Candidate, costMs, type PlacementWish } from '../../protocols/layout/placement.ts'
import {
  AHEAD_STEPS,
  type Ahead,
  type Demand,
  demandFrom,
  quietOf
} from '../../protocols/layout/quiet.ts'
import { capacityWithin } from '../../protocols/load/limit.ts'
import { MAX_PARALLEL_CALLS, PLACEMENT_OUTLOOK_TIMEOUT_MS, PLACEMENT_OUTLOOKS } from '../limits.ts'
import { askOutlook } from '../load/ask.ts'
import { ownSample } from '../load/own-sample.ts'
import type { Statuses } from './candidates.ts'
import { mapConcurrently } from './concurrency.ts'
import type { VolumeParts } from './types.ts'

const HORIZON_MINUTES = 1440

export interface AheadWish extends PlacementWish {
  readonly demand: Demand
}

/** The candidates, with how quiet each will be when the volume is busy, as far as that is known. */
export async function foretell(
  parts: VolumeParts,
  statuses: Statuses,
  candidates: readonly Candidate[],
  wish: AheadWish
): Promise<Candidate[]> {
  const loads = new Map<number, readonly number[] | undefined>()
  const columnLoad = (atMs: number): readonly number[] | undefined => {
    if (!loads.has(atMs)) {
      const whole = demandFrom(wish.demand, atMs)
      loads.set(
        atMs,
        whole?.map(load => load / wish.columns)
      )
    }
    return loads.get(atMs)
  }
  const judged = (candidate: Candidate, ahead: Ahead | undefined): Candidate =>
    ahead === undefined
      ? candidate
      : { ...candidate, quiet: quietOf(ahead, columnLoad(ahead.atMs)) }
  const nowMs = parts.clock.now()
  const known = candidates.map(candidate =>
    judged(candidate, gossiped(parts, statuses, candidate.node, nowMs))
  )
  const isExpected = columnLoad(nowMs) !== undefined
  if (!isExpected || parts.load === undefined) return known
  const asked = [...known]
    .sort((a, b) => costMs(a, [], wish) - costMs(b, [], wish))
    .slice(0, PLACEMENT_OUTLOOKS)
  const answers = await mapConcurrently(asked, MAX_PARALLEL_CALLS, async candidate =>
    judged(candidate, await outlookOf(parts, statuses, candidate.node))
  )
  const answered = new Map(answers.map(candidate => [candidate.node, candidate]))
  return known.map(candidate => answered.get(candidate.node) ?? candidate)
}

/** The hour ahead, taken for the whole day. */
function gossiped(
  { load, network }: VolumeParts,
  statuses: Statuses,
  node: NodeId,
  nowMs: number
): Ahead | undefined {
  if (load === undefined) return undefined
  const own = node === network.self ? ownSample(load) : undefined
  const known = own ?? load.gossip.known(node)
  const q95 = own === undefined ? load.gossip.known(node)?.forecast?.q95 : own.forecast?.in60.q95
  const capacity = capacityOf(statuses, node) ?? known?.capacity
  if (known === undefined || capacity === undefined || capacity <= 0) return undefined
  const high = Math.max(known.load, q95 ?? 0)
  return { from: 'gossip', atMs: nowMs, high: [high], capacity }
}

async function outlookOf(
  { rpc, outlookTimeoutMs }: VolumeParts,
  statuses: Statuses,
  node: NodeId
): Promise<Ahead | undefined> {
  const capacity = capacityOf(statuses, node)
  if (capacity === undefined || capacity <= 0) return undefined
  try {
    const timeoutMs = outlookTimeoutMs ?? PLACEMENT_OUTLOOK_TIMEOUT_MS
    const outlook = await askOutlook(rpc, node, undefined, HORIZON_MINUTES, timeoutMs)
    const high = outlook.q90.slice(0, AHEAD_STEPS)
    return high.length === 0 ? undefined : { from: 'outlook', atMs: outlook.at, high, capacity }
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

function capacityOf(statuses: Statuses, node: NodeId): number | undefined {
  const status = statuses.get(node)
  return capacityWithin(status?.calibration?.capacity, status?.maxLoad)
}
