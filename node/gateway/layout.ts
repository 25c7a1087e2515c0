/**
 * Where the chunks of an attached volume are, for the data path: the stripe map, and the table of
 * placement that the shards themselves confirmed. Replaced as a whole when the volume grows or a
 * chunk passes on; the columns that stay as they are are shared.
 */

import {
  type Placement,
  type Segment,
  segmentAt,
  withExtent
} from '../../protocols/attach/placement.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { ChunkKey, NodeId, PlacementEpoch, VolumeSpec } from '../../protocols/ids.ts'
import { MAX_COLUMNS } from '../../protocols/limits.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'

export class Layout {
  readonly spec: VolumeSpec
  readonly sizeBytes: number
  readonly placement: Placement
  readonly #chunkBytes: number
  #nodes: ReadonlySet<NodeId> | undefined

  constructor(spec: VolumeSpec, sizeBytes: number, placement: Placement) {
    this.spec = spec
    this.sizeBytes = sizeBytes
    this.placement = placement
    this.#chunkBytes = columnBytes(spec, 0)
  }

  /** Every node that holds some chunk. */
  get nodes(): ReadonlySet<NodeId> {
    this.#nodes ??= new Set(this.placement.columns.flatMap(c => c.map(({ node }) => node)))
    return this.#nodes
  }

  /** Who holds the chunk, at which epoch. */
  find(extent: number, column: number): Segment | undefined {
    const segments = this.placement.columns[column]
    return segments === undefined ? undefined : segmentAt(segments, extent)
  }

  /** The same; throws NO_CHUNK. */
  segment(extent: number, column: number): Segment {
    const segment = this.find(extent, column)
    if (segment !== undefined) return segment
    const message = `no shard is known to hold column ${column} of extent ${extent}`
    throw new ShoalError({ code: 'NO_CHUNK' }, message)
  }

  /** The layout in which this one chunk is held by `node` at `epoch`. */
  withChunk(extent: number, column: number, node: NodeId, epoch: PlacementEpoch): Layout {
    const { columns, gaps } = this.placement
    const segments = withExtent(columns[column] ?? [], extent, node, epoch)
    const changed = columns.map((kept, index) => (index === column ? segments : kept))
    return new Layout(this.spec, this.sizeBytes, { columns: changed, gaps })
  }

  /** The chunks of the volume laid end to end: a number for every byte, growing along a chunk. */
  address(extent: number, column: number, chunkOffset: number): number {
    return (extent * this.spec.columns + column) * this.#chunkBytes + chunkOffset
  }

  /** The addresses of one chunk: [from, to). */
  addresses(extent: number, column: number): { from: number; to: number } {
    const from = this.address(extent, column, 0)
    return { from, to: from + columnBytes(this.spec, column) }
  }

  chunk(extent: number, column: number): ChunkKey {
    const { id: volume, generation } = this.spec
    return { volume, extent, generation, column, replica: 0 }
  }
}

/** A number for every chunk of a layout generation. */
export function chunkNumber(extent: number, column: number): number {
  return extent * MAX_COLUMNS + column
}
