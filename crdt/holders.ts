/**
 * Who holds the chunks of a volume, as far as the map says: of every chunk the greatest epoch among
 * the layout and the claims. Whoever is named only by what was overtaken holds nothing any more.
 *
 *   layout   [ a at 1                              )    the greatest epoch is put down first;
 *   claims        [ b at 2 ) [ c at 3 )                 what adds nothing to it is left out
 *
 * Invariant: a node is named if, and only if, it has the greatest epoch of some chunk.
 */
import type { NodeId, PlacementEpoch } from '../protocols/ids.ts'
import { compareEpochs } from '../protocols/ids.ts'
import { IntervalSet } from '../protocols/interval-set.ts'
import { MAX_COPIES } from '../protocols/limits.ts'
import type { VolumeView } from './types.ts'

type Holdings = Pick<VolumeView, 'spec' | 'layout' | 'claims'>

interface Candidate {
  readonly from: number
  readonly to: number
  readonly node: NodeId
  readonly epoch: PlacementEpoch
}

/** In order of columns, then of replicas; each node once. */
export function effectiveHolders(view: Holdings): NodeId[] {
  return [...chunksByNode(view).keys()]
}

/** Chunk replicas per node; nodes without any are left out. The same order. */
export function chunksByNode(view: Holdings): Map<NodeId, number> {
  const counts = new Map<NodeId, number>()
  for (const [, candidates] of [...candidatesOf(view)].sort(([a], [b]) => a - b)) {
    candidates.sort((a, b) => compareEpochs(b.epoch, a.epoch))
    const covered = new IntervalSet()
    for (const { from, to, node } of candidates) {
      const fresh = covered.add(from, to)
      const chunks = fresh.reduce((sum, [low, high]) => sum + high - low, 0)
      if (chunks > 0) counts.set(node, (counts.get(node) ?? 0) + chunks)
    }
  }
  return counts
}

/** By column and replica, of the present layout generation. */
function candidatesOf(view: Holdings): Map<number, Candidate[]> {
  const { generation } = view.spec
  const slots = new Map<number, Candidate[]>()
  const add = (column: number, replica: number, candidate: Candidate): void => {
    const slot = column * MAX_COPIES + replica
    const list = slots.get(slot)
    if (list === undefined) slots.set(slot, [candidate])
    else list.push(candidate)
  }
  for (const { from, to, nodes, epoch, ...run } of view.layout) {
    if (run.generation !== generation) continue
    nodes.forEach((replicas, column) => {
      replicas.forEach((node, replica) => {
        add(column, replica, { from, to, node, epoch })
      })
    })
  }
  for (const { extent, column, replica, node, epoch, ...claim } of view.claims) {
    if (claim.generation !== generation) continue
    add(column, replica, { from: extent, to: extent + 1, node, epoch })
  }
  return slots
}
