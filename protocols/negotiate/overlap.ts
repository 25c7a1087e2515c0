/** Whether two sets of chunks, as ranges, have one in common. */
import type { VolumeId } from '../ids.ts'
import type { ChunkRange } from './messages.ts'

export interface RangesOfVolume {
  readonly volume: VolumeId
  readonly ranges: readonly ChunkRange[]
}

export function overlap(a: RangesOfVolume, b: RangesOfVolume): boolean {
  if (a.volume !== b.volume) return false
  return a.ranges.some(range => b.ranges.some(other => meet(range, other)))
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
