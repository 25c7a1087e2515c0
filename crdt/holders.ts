/**
 * Who holds the chunks of a volume, as far as the map says: of every chunk the greatest epoch among
 * the layout and the claims. Whoever is named only by what was overtaken holds nothing any more.
 *
 *   layout   [ a at 1                )[ b at 1        )    parts: of every extent the greatest run
 *   claims       [ c at 2 )                                 a counts while a claim leaves it a chunk
 *
 * Invariant: a node is named if, and only if, it has the greatest epoch of some chunk.
 */
import { assert } from '../protocols/assert.ts'
import type { ChunkKey, NodeId, PlacementEpoch } from '../protocols/ids.ts'
import { compareEpochs } from '../protocols/ids.ts'
import { IntervalSet } from '../protocols/interval-set.ts'
import { MAX_COPIES } from '../protocols/limits.ts'
import type { VolumeView } from './types.ts'

type Placed = Pick<VolumeView, 'spec' | 'layout' | 'claims'>

interface Claimed {
  readonly node: NodeId
  readonly epoch: PlacementEpoch
}

/** Extents [from, to) by the layout. */
interface Part extends Claimed {
  readonly from: number
  readonly to: number
  /** Extents of it that no claim has taken over. */
  left: number
}

/** One column and replica. */
interface Slot {
  readonly runs: Array<Omit<Part, 'left'>>
  readonly claims: Map<number, Claimed>
}

/** In order of columns, then of replicas; each node once. */
export function effectiveHolders(view: Placed): NodeId[] {
  return [...chunksByNode(view).keys()]
}

/** Chunk replicas per node; nodes without any are left out. The same order. */
export function chunksByNode(view: Placed): Map<NodeId, number> {
  const counts = new Map<NodeId, number>()
  const count = (node: NodeId, chunks: number): void => {
    if (chunks > 0) counts.set(node, (counts.get(node) ?? 0) + chunks)
  }
  for (const [, slot] of [...slotsOf(view)].sort(([a], [b]) => a - b)) {
    const parts = partsOf(slot.runs)
    const claimed: NodeId[] = []
    for (const [extent, { node, epoch }] of slot.claims) {
      const part = partAt(parts, extent)
      if (part !== undefined && compareEpochs(epoch, part.epoch) < 0) continue
      if (part !== undefined) part.left--
      claimed.push(node)
    }
    for (const { node, left } of parts) count(node, left)
    for (const node of claimed) count(node, 1)
  }
  return counts
}

/** The node of one chunk replica; undefined if the map knows none. */
export function holderOf(view: Placed, chunk: Omit<ChunkKey, 'volume'>): NodeId | undefined {
  if (chunk.generation !== view.spec.generation) return undefined
  const slot = slotsOf(view).get(slotNumber(chunk))
  if (slot === undefined) return undefined
  const part = partAt(partsOf(slot.runs), chunk.extent)
  const claim = slot.claims.get(chunk.extent)
  if (claim === undefined) return part?.node
  if (part !== undefined && compareEpochs(claim.epoch, part.epoch) < 0) return part.node
  return claim.node
}

function slotNumber({ column, replica }: Pick<ChunkKey, 'column' | 'replica'>): number {
  return column * MAX_COPIES + replica
}

/** By column and replica, of the present layout generation. */
function slotsOf(view: Placed): Map<number, Slot> {
  const { generation } = view.spec
  const slots = new Map<number, Slot>()
  const slotOf = (column: number, replica: number): Slot => {
    const number = slotNumber({ column, replica })
    const slot = slots.get(number) ?? { runs: [], claims: new Map() }
    slots.set(number, slot)
    return slot
  }
  for (const { from, to, nodes, epoch, ...run } of view.layout) {
    if (run.generation !== generation) continue
    nodes.forEach((replicas, column) => {
      replicas.forEach((node, replica) => {
        slotOf(column, replica).runs.push({ from, to, node, epoch })
      })
    })
  }
  for (const { extent, column, replica, node, epoch, ...claim } of view.claims) {
    if (claim.generation !== generation) continue
    const { claims } = slotOf(column, replica)
    const known = claims.get(extent)
    if (known === undefined || compareEpochs(epoch, known.epoch) > 0) {
      claims.set(extent, { node, epoch })
    }
  }
  return slots
}

/** Disjoint, in order of extents: the greatest run is put down first, and stays. */
function partsOf(runs: Slot['runs']): Part[] {
  const covered = new IntervalSet()
  const parts: Part[] = []
  for (const run of runs.sort((a, b) => compareEpochs(b.epoch, a.epoch))) {
    const fresh = covered.add(run.from, run.to)
    for (const [from, to] of fresh) parts.push({ ...run, from, to, left: to - from })
  }
  return parts.sort((a, b) => a.from - b.from)
}

function partAt(parts: readonly Part[], extent: number): Part | undefined {
  let low = 0
  let high = parts.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const part = parts[middle]
    assert(part !== undefined, 'a binary search stays inside its list')
    if (extent < part.from) high = middle
    else if (extent >= part.to) low = middle + 1
    else return part
  }
  return undefined
}
