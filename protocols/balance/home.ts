/**
 * Coming home: chunks of a node that nothing threatens go back near to their gateway, if what their
 * requests wait less is worth the copying. The bidder there answers only if it stays under its
 * threshold for the next day (target.ts).
 *
 * Invariant: one want at most, and none while the node is about to be overloaded.
 */
import { isAffordable } from './budget.ts'
import { copyMsOf, movable } from './choice.ts'
import { partOf, stepOf } from './paths.ts'
import type { Look } from './policy.ts'
import { DAY_MS } from './time.ts'
import type { ShardOutlook, Want } from './types.ts'

/** A shorter way than this is not worth going. */
const LEAST_SAVED_MS = 1
/** A move home is worth it if what is waited less in a day is more than this times its cost. */
const WORTH = 2
const COST_SECONDS = 40

export function homeWants(look: Look): Want[] {
  const wants = look.shards.flatMap(shard => homeWant(look, shard) ?? [])
  return wants.sort((a, b) => b.benefit - b.cost - (a.benefit - a.cost)).slice(0, 1)
}

function homeWant(look: Look, shard: ShardOutlook): Want | undefined {
  const { rttMs, homeRttMs, settings, volume, path, day } = shard
  if (rttMs === undefined || homeRttMs === undefined || !settings.isOn) return undefined
  if (rttMs - homeRttMs < LEAST_SAVED_MS || look.refusedAtHome?.has(volume) === true) {
    return undefined
  }
  const chunks = movable(shard.chunks, look.nowMs, look.past, look.underWay)
  if (chunks.length === 0) return undefined
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.bytes, 0)
  if (!isAffordable(look, shard, bytes)) return undefined
  const share = Math.min(
    1,
    chunks.reduce((sum, chunk) => sum + chunk.share, 0)
  )
  const benefit = ((share * meanOf(shard) * DAY_MS) / 1000) * ((rttMs - homeRttMs) / 1000)
  const cost = look.node.threshold * COST_SECONDS * (1 + look.linkCost)
  if (benefit < WORTH * cost) return undefined
  return {
    volume,
    reason: 'home',
    chunks,
    bytes,
    path: partOf(path, share),
    excess: undefined,
    benefit,
    cost,
    copyMs: (look.besideMs ?? 0) + copyMsOf(bytes, look.copyBytesPerSecond),
    ...(day !== undefined && { day: partOf(day, share) })
  }
}

function meanOf({ path, day = path }: ShardOutlook): number {
  const sum = day.expected.reduce((all, _, i) => all + stepOf(day, i).expected, 0)
  return sum / Math.max(1, day.expected.length)
}
