/** Whether two sets of chunks, as ranges, have one in common. */
import type { ChunkKey, VolumeId } from '../ids.ts'
import type { ChunkRange } from './messages.ts'

export interface RangesOfVolume {
  readonly volume: VolumeId
  readonly ranges: readonly ChunkRange[]
}

export function overlap(a: RangesOfVolume, b: RangesOfVolume): boolean {
  if (a.volume !== b.volume) return false
  return a.ranges.some(range => b.ranges.some(other => meet(range, other)))
}

export function contains(range: ChunkRange, chunk: ChunkKey): boolean {
  return (
    range.column === chunk.column &&
    range.generation === chunk.generation &&
    range.replica === chunk.replica &&
    range.from <= chunk.extent &&
    chunk.extent < range.to
  )
}

function meet(a: ChunkRange, b: ChunkRange): boolean {
  return (
    a.column === b.column &&
    a.generation === b.generation &&
    a.replica === b.replica &&
    a.from < b.to &&
    b.from < a.to
  )
}
