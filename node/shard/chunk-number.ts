/**
 * The chunks of one shard as numbers, for maps that are asked with every request. All that a shard
 * holds is of one layout generation (shard-control/runs.ts), so the number leaves it out.
 */
import { assert } from '../../protocols/assert.ts'
import type { ChunkKey, VolumeSpec } from '../../protocols/ids.ts'
import { MAX_COLUMNS, MAX_COPIES } from '../../protocols/limits.ts'

const COLUMNS = 256
const REPLICAS = 4
assert(MAX_COLUMNS <= COLUMNS && MAX_COPIES <= REPLICAS, 'a chunk number keeps its parts apart')

export function chunkNumber(chunk: Pick<ChunkKey, 'extent' | 'column' | 'replica'>): number {
  return (chunk.extent * COLUMNS + chunk.column) * REPLICAS + chunk.replica
}

export function numberedChunk(spec: VolumeSpec, number: number): ChunkKey {
  const place = Math.floor(number / REPLICAS)
  return {
    volume: spec.id,
    extent: Math.floor(place / COLUMNS),
    generation: spec.generation,
    column: place % COLUMNS,
    replica: number % REPLICAS
  }
}
