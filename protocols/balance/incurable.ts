/**
 * What no move cures, in words: one chunk that is too hot for any node, or a node whose chunks may
 * not move. Only said where the expected load, not only its high quantile, is above the threshold.
 */
import { isUsedUp } from './budget.ts'
import { movable } from './choice.ts'
import { MAX_INCURABLE_TOLD } from './limits.ts'
import type { Incurable, Look } from './policy.ts'
import type { Excess, ShardOutlook } from './types.ts'

export function incurables(look: Look, excess: Excess): Incurable[] {
  if (excess.expectedAtMs === undefined) return []
  const hot = look.shards.flatMap(shard => tooHot(look, shard, excess) ?? [])
  if (hot.length > 0) return hot.slice(0, MAX_INCURABLE_TOLD)
  const reasons = look.shards.map(shard => whyNot(look, shard))
  const why = reasons.every(reason => reason !== undefined)
    ? `none of its shards may move now: ${[...new Set(reasons)].join('; ')}`
    : 'no move takes away more than it costs'
  return [{ why: look.shards.length === 0 ? 'it holds nothing that could move' : why, excess }]
}

/** Its hottest chunk alone is more than any node that is known takes. */
function tooHot(look: Look, shard: ShardOutlook, excess: Excess): Incurable | undefined {
  const most = Math.max(look.greatestThreshold ?? 0, excess.threshold)
  const share = Math.max(0, ...shard.chunks.map(chunk => chunk.share))
  const peak = share * Math.max(0, ...shard.path.expected)
  if (peak <= most) return undefined
  const why =
    `one of its chunks alone is expected to be asked for ${Math.round(peak)} units/s, and no node ` +
    `that is known takes more than ${Math.round(most)}: moving it cures nothing. ` +
    'Limit the volume with --max-iops'
  return { volume: shard.volume, why, excess }
}

function whyNot(look: Look, shard: ShardOutlook): string | undefined {
  if (!shard.settings.isOn) return 'only people move them'
  if (look.refused?.has(shard.volume) === true) return 'nobody took them lately'
  if (isUsedUp(look, shard)) return 'what may move of their volume in this hour is used up'
  if (movable(shard.chunks, look.nowMs, look.past, look.underWay).length > 0) return undefined
  return 'they are on their way, or have just come'
}
