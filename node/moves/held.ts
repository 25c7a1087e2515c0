/** What a shard keeps on this node, as moves and departures see it. */
import type { ChunkKey } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import type { ChunkStore } from '../storage/types.ts'
import { type ChunkRange, countChunks, isIn, rangesOf } from './ranges.ts'

type Heads = Pick<ChunkStore, 'shards' | 'shard' | 'allocatedBytes'>

/** The chunks that the shard holds, and serves. */
export function heldRanges(head: Pick<ShardHead, 'spec' | 'sizeBytes' | 'runs'>): ChunkRange[] {
  return rangesOf(head.runs, extentCount(head.spec, head.sizeBytes))
}

export function isHeld(store: Heads, chunk: ChunkKey): boolean {
  const head = store.shard(chunk.volume)
  return head?.runs.some(run => isIn(run, chunk)) === true
}

/**
 * Whether nothing is held here, on its way here, or released and not yet confirmed. What is left
 * then are sign-posts, which the map has too.
 */
export function isVacant(head: ShardHead): boolean {
  return (
    head.runs.length === 0 &&
    head.receiving.length === 0 &&
    head.released.every(one => one.handoff === undefined)
  )
}

/** Chunks held on this node, and what they take. */
export function heldTotals(store: Heads): { chunks: number; bytes: number } {
  const heads = store.shards().filter(head => head.runs.length > 0)
  return {
    chunks: heads.reduce((sum, head) => sum + countChunks(heldRanges(head)), 0),
    bytes: heads.reduce((sum, head) => sum + store.allocatedBytes(head.spec.id), 0)
  }
}

/** What some of the chunks of a volume take, if all take the same. */
export function averageBytes(store: Heads, head: ShardHead, chunks: number): number {
  const all = countChunks(heldRanges(head))
  if (all === 0) return 0
  return Math.round((store.allocatedBytes(head.spec.id) * Math.min(chunks, all)) / all)
}
