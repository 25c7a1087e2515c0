/** The chunks of a shard that could move: which part of its load each is, and what it takes. */
import { MAX_LOOKED_CHUNKS } from '../../protocols/balance/limits.ts'
import type { ChunkLoad } from '../../protocols/balance/types.ts'
import type { ChunkKey } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { heldRanges } from '../moves/held.ts'
import { type ChunkRange, countChunks, isIn, without } from '../moves/ranges.ts'
import type { ChunkPart } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'

export interface ChunkSources {
  readonly store: Pick<ChunkStore, 'chunkBytes'>
  /** Of the hour (UTC) in which the shard is busiest. */
  readonly parts: readonly ChunkPart[]
  /** What open moves and negotiations have. */
  readonly busy: readonly ChunkRange[]
  /** At most so many. */
  readonly most: number
}

/** The greatest part first. Nothing known of any: each the same. */
export function chunksOf(head: ShardHead, { store, parts, busy, most }: ChunkSources): ChunkLoad[] {
  const held = heldRanges(head)
  const free = without(held, busy)
  const known = parts.some(({ share }) => share > 0)
    ? parts.filter(({ chunk, share }) => share > 0 && free.some(range => isIn(range, chunk)))
    : evenly(head, free, 1 / Math.max(1, countChunks(held)))
  return known
    .slice(0, Math.min(most, MAX_LOOKED_CHUNKS))
    .map(({ chunk, share }) => ({ chunk, share, bytes: store.chunkBytes(chunk) }))
}

function evenly(head: ShardHead, ranges: readonly ChunkRange[], share: number): ChunkPart[] {
  const found: ChunkPart[] = []
  for (const { from, to, ...slot } of ranges) {
    for (let extent = from; extent < to && found.length < MAX_LOOKED_CHUNKS; extent++) {
      const chunk: ChunkKey = { volume: head.spec.id, extent, ...slot }
      found.push({ chunk, share })
    }
  }
  return found
}
