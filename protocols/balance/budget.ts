/**
 * What may begin to move within an hour: of a node in all, and of each volume of it.
 *
 * Invariant: what is on offer counts as begun for its volume, so that what is awarded stays within.
 */
import type { Look } from './policy.ts'
import type { ShardOutlook, Used, VolumeBalance } from './types.ts'

type Budget = Pick<VolumeBalance, 'movesPerHour' | 'bytesPerHour'>

/** One more move of so many bytes. */
export function isWithin(used: Used, bytes: number, budget: Budget): boolean {
  const { movesPerHour, bytesPerHour } = budget
  if (movesPerHour !== undefined && used.moves >= movesPerHour) return false
  return bytesPerHour === undefined || used.bytes + bytes <= bytesPerHour
}

/** Of the node, and of the volume. */
export function isAffordable(look: Look, shard: ShardOutlook, bytes: number): boolean {
  const { past, nowMs, settings } = look
  return isWithin(past.ofHour(nowMs), bytes, settings) && volumeAffords(look, shard, bytes)
}

/** Not even the least of its chunks may leave in this hour. */
export function isUsedUp(look: Look, shard: ShardOutlook): boolean {
  const least = shard.chunks.reduce((min, { bytes }) => Math.min(min, bytes), Number.MAX_VALUE)
  return shard.chunks.length > 0 && !volumeAffords(look, shard, least)
}

function volumeAffords({ past, nowMs }: Look, shard: ShardOutlook, bytes: number): boolean {
  const { moves, bytes: begun } = past.ofVolume(shard.volume, nowMs)
  const { offered = { moves: 0, bytes: 0 }, settings } = shard
  const used = { moves: moves + offered.moves, bytes: begun + offered.bytes }
  return isWithin(used, bytes, settings)
}
