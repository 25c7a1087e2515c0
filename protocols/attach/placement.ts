/**
 * Who holds what, by the shards' own word: the runs that granting shards hold, sorted into one
 * table per column, and the chunks that nobody accounts for.
 *
 * Invariants: the segments of a column are in order and do not overlap; where two shards hold the
 * same chunk the greater placement epoch wins; a gap is named, never filled by a guess.
 */
import type { NodeId, PlacementEpoch, Run, VolumeSpec } from '../ids.ts'
import { compareEpochs } from '../ids.ts'
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
  let low = 1
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const segment = segments[middle]
    if (segment === undefined) return undefined
    if (extent < segment.from) high = middle
    else if (extent >= segment.to) low = middle + 1
    else return segment
  }
  return undefined
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

/** Overlapping segments, cut at every boundary; of each part the greatest epoch. */
function highest(held: readonly Segment[]): Segment[] {
  const cuts = [...new Set(held.flatMap(segment => [segment.from, segment.to]))]
  cuts.sort((a, b) => a - b)
  const parts: Segment[] = []
  for (let i = 0; i + 1 < cuts.length; i++) {
    const from = cuts[i] ?? 0
    const to = cuts[i + 1] ?? 0
    let best: Segment | undefined
    for (const segment of held) {
      if (segment.from > from || segment.to < to) continue
      if (best === undefined || compareEpochs(segment.epoch, best.epoch) > 0) best = segment
    }
    if (best !== undefined) parts.push({ ...best, from, to })
  }
  return parts
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
