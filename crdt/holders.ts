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

interface Candidate {
  readonly from: number
  readonly to: number
  readonly node: NodeId
  readonly epoch: PlacementEpoch
}

/** In order of columns, then of replicas; each node once. */
export function effectiveHolders(view: Pick<VolumeView, 'spec' | 'layout' | 'claims'>): NodeId[] {
  const nodes = new Set<NodeId>()
  for (const [, candidates] of [...candidatesOf(view)].sort(([a], [b]) => a - b)) {
    candidates.sort((a, b) => compareEpochs(b.epoch, a.epoch))
    const covered = new IntervalSet()
    for (const { from, to, node } of candidates) {
      if (covered.add(from, to).length > 0) nodes.add(node)
    }
  }
  return [...nodes]
}

/** By column and replica, of the present layout generation. */
function candidatesOf(
  view: Pick<VolumeView, 'spec' | 'layout' | 'claims'>
): Map<number, Candidate[]> {
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
