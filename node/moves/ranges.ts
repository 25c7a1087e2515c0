/**
 * Sets of chunks of one volume as ranges of extents: what a move has to pass on.
 *
 * Invariants: the ranges of a set are sorted and do not overlap; neighbours are joined.
 */
import type { ChunkKey, Run } from '../../protocols/ids.ts'
import type { Selection } from '../../protocols/moves/messages.ts'

/** Extents [from, to) of one column and replica of a layout generation. */
export interface ChunkRange {
  readonly generation: number
  readonly column: number
  readonly replica: number
  readonly from: number
  readonly to: number
}

export function countChunks(ranges: readonly ChunkRange[]): number {
  return ranges.reduce((sum, range) => sum + range.to - range.from, 0)
}

export function isIn(range: ChunkRange, chunk: Omit<ChunkKey, 'volume'>): boolean {
  return isSameSlot(range, chunk) && range.from <= chunk.extent && chunk.extent < range.to
}

/** What is held, whatever the epochs; extents that the volume does not reach are left out. */
export function rangesOf(runs: readonly Run[], extents = Number.POSITIVE_INFINITY): ChunkRange[] {
  return joined(
    runs.map(({ generation, column, replica, from, to }) => ({
      generation,
      column,
      replica,
      from,
      to: Math.min(to, extents)
    }))
  )
}

export function rangesOfChunks(chunks: readonly ChunkKey[]): ChunkRange[] {
  return joined(
    chunks.map(({ generation, column, replica, extent }) => ({
      generation,
      column,
      replica,
      from: extent,
      to: extent + 1
    }))
  )
}

/** What the selection leaves; `hottest` is for the caller. */
export function selected(ranges: readonly ChunkRange[], selection: Selection): ChunkRange[] {
  const { extents, columns } = selection
  return joined(
    ranges
      .filter(range => columns === undefined || columns.includes(range.column))
      .map(range => ({
        ...range,
        from: Math.max(range.from, extents?.from ?? 0),
        to: Math.min(range.to, extents?.to ?? Number.POSITIVE_INFINITY)
      }))
  )
}

export function overlap(a: readonly ChunkRange[], b: readonly ChunkRange[]): boolean {
  return a.some(one =>
    b.some(other => isSameSlot(one, other) && one.from < other.to && other.from < one.to)
  )
}

/** `ranges` without what is in `others`. */
export function without(
  ranges: readonly ChunkRange[],
  others: readonly ChunkRange[]
): ChunkRange[] {
  let left = [...ranges]
  for (const other of others) {
    left = left.flatMap(range => {
      if (!isSameSlot(range, other) || other.to <= range.from || range.to <= other.from) {
        return [range]
      }
      return [
        { ...range, to: other.from },
        { ...range, from: other.to }
      ].filter(isSome)
    })
  }
  return joined(left)
}

function joined(ranges: readonly ChunkRange[]): ChunkRange[] {
  const out: ChunkRange[] = []
  for (const range of ranges.filter(isSome).sort(byPlace)) {
    const last = out.at(-1)
    if (last !== undefined && isSameSlot(last, range) && range.from <= last.to) {
      out[out.length - 1] = { ...last, to: Math.max(last.to, range.to) }
    } else out.push(range)
  }
  return out
}

type Slot = Pick<ChunkRange, 'generation' | 'column' | 'replica'>

function isSameSlot(a: Slot, b: Slot): boolean {
  return a.generation === b.generation && a.column === b.column && a.replica === b.replica
}

function isSome(range: ChunkRange): boolean {
  return range.from < range.to
}

function byPlace(a: ChunkRange, b: ChunkRange): number {
  return (
    a.generation - b.generation || a.column - b.column || a.replica - b.replica || a.from - b.from
  )
}
