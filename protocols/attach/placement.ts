/**
 * Who holds what, by the shards' own word: the runs that granting shards hold, sorted into one
 * table per column, and the chunks that nobody accounts for.
 *
 * Invariants: the segments of a column are in order and do not overlap; where two shards hold the
 * same chunk the greater placement epoch wins; a gap is named, never filled by a guess.
 */
import { assert } from '../assert.ts'
import type { NodeId, PlacementEpoch, Run, VolumeSpec } from '../ids.ts'
import { compareEpochs } from '../ids.ts'
import { IntervalSet } from '../interval-set.ts'
import { columnBytes, extentCount } from '../stripe/map.ts'

/** Extents [from, to) of one column are held by `node` at `epoch`. */
export interface Segment {
  readonly from: number
  readonly to: number
  readonly node: NodeId
  readonly epoch: PlacementEpoch
}

export interface Holding {
  readonly node: NodeId
  readonly runs: readonly Run[]
}

export interface Gap {
  readonly column: number
  readonly from: number
  readonly to: number
}

export interface Placement {
  /** Per column, in order of extents. */
  readonly columns: ReadonlyArray<readonly Segment[]>
  /** Chunks of [0, size) that no holding accounts for. */
  readonly gaps: readonly Gap[]
}

/** The table of a volume of `sizeBytes` with one copy, from what the shards hold. */
export function placementOf(
  spec: VolumeSpec,
  sizeBytes: number,
  holdings: readonly Holding[]
): Placement {
  const extents = extentCount(spec, sizeBytes)
  const columns: Segment[][] = []
  const gaps: Gap[] = []
  for (let column = 0; column < spec.columns; column++) {
    const segments = columnBytes(spec, column) === 0 ? [] : columnOf(spec, column, holdings)
    columns.push(segments)
    if (columnBytes(spec, column) > 0) gaps.push(...gapsOf(segments, column, extents))
  }
  return { columns, gaps }
}

/** The segment that holds `extent`, or undefined. */
export function segmentAt(segments: readonly Segment[], extent: number): Segment | undefined {
  const first = segments[0]
  if (first !== undefined && extent >= first.from && extent < first.to) return first
  return segments[indexOf(segments, extent)]
}

/** Index of the segment that holds `extent`, or -1. */
function indexOf(segments: readonly Segment[], extent: number): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const segment = segments[middle]
    if (segment === undefined) return -1
    if (extent < segment.from) high = middle
    else if (extent >= segment.to) low = middle + 1
    else return middle
  }
  return -1
}

/** The table of a column in which one extent is now held by `node` at `epoch`. */
export function withExtent(
  segments: readonly Segment[],
  extent: number,
  node: NodeId,
  epoch: PlacementEpoch
): Segment[] {
  const index = indexOf(segments, extent)
  const old = segments[index]
  assert(old !== undefined, 'only a chunk that is held passes on')
  const first = Math.max(0, index - 1)
  const parts: Segment[] = []
  if (old.from < extent) parts.push({ ...old, to: extent })
  parts.push({ from: extent, to: extent + 1, node, epoch })
  if (extent + 1 < old.to) parts.push({ ...old, from: extent + 1 })
  const before = segments.slice(first, index)
  const after = segments.slice(index + 1, index + 2)
  const joined = join([...before, ...parts, ...after])
  return [...segments.slice(0, first), ...joined, ...segments.slice(index + 2)]
}

function columnOf(spec: VolumeSpec, column: number, holdings: readonly Holding[]): Segment[] {
  const held: Segment[] = []
  for (const { node, runs } of holdings) {
    for (const run of runs) {
      const isOurs = run.generation === spec.generation && run.column === column
      if (isOurs && run.replica === 0) {
        held.push({ from: run.from, to: run.to, node, epoch: run.epoch })
      }
    }
  }
  held.sort((a, b) => a.from - b.from)
  const isDisjoint = held.every((segment, i) => (held[i - 1]?.to ?? 0) <= segment.from)
  return isDisjoint ? join(held) : join(highest(held))
}

/** Of every part of overlapping segments the greatest epoch: it is put down first, and stays. */
function highest(held: readonly Segment[]): Segment[] {
  const covered = new IntervalSet()
  const parts: Segment[] = []
  for (const segment of [...held].sort((a, b) => compareEpochs(b.epoch, a.epoch))) {
    const fresh = covered.add(segment.from, segment.to)
    for (const [from, to] of fresh) parts.push({ ...segment, from, to })
  }
  return parts.sort((a, b) => a.from - b.from)
}

function join(parts: readonly Segment[]): Segment[] {
  const joined: Segment[] = []
  for (const part of parts) {
    const last = joined.at(-1)
    const isSame =
      last?.to === part.from &&
      last.node === part.node &&
      compareEpochs(last.epoch, part.epoch) === 0
    if (last !== undefined && isSame) joined[joined.length - 1] = { ...last, to: part.to }
    else joined.push(part)
  }
  return joined
}

function gapsOf(segments: readonly Segment[], column: number, extents: number): Gap[] {
  const gaps: Gap[] = []
  let covered = 0
  for (const segment of segments) {
    if (covered >= extents) break
    if (segment.from > covered) {
      gaps.push({ column, from: covered, to: Math.min(segment.from, extents) })
    }
    covered = Math.max(covered, segment.to)
  }
  if (covered < extents) gaps.push({ column, from: covered, to: extents })
  return gaps
}
