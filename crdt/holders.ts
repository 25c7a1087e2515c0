/**
 * Who holds chunks of a volume, as its view says: the layout, with the claims of chunks that moved
 * laid over it. A node from which every chunk has gone is not named any more.
 *
 * Invariants: a claim counts against the layout only with a greater epoch; what is counted is a
 * hint for people and for those who ask the shards, never a reason to delete or to serve.
 */
import type { ChunkKey, NodeId, PlacementEpoch } from '../protocols/ids.ts'
import { compareEpochs } from '../protocols/ids.ts'
import { extentCount } from '../protocols/stripe/map.ts'
import type { LayoutRun, PlacementClaim, VolumeView } from './types.ts'

/** Chunk replicas per node; nodes without any are left out. In order of columns. */
export function chunksByNode(view: VolumeView): Map<NodeId, number> {
  const counts = new Map<NodeId, number>()
  const add = (node: NodeId, count: number) => counts.set(node, (counts.get(node) ?? 0) + count)
  const extents = extentCount(view.spec, view.sizeBytes)
  for (const run of view.layout) {
    if (run.generation !== view.spec.generation) continue
    const count = Math.min(run.to, extents) - run.from
    run.nodes.forEach(replicas => {
      for (const node of replicas) add(node, Math.max(0, count))
    })
  }
  for (const claim of view.claims) {
    const run = runOf(view, claim)
    if (run === undefined || claim.extent >= extents) continue
    if (!isNewer(claim.epoch, run.epoch)) continue
    const before = run.nodes[claim.column]?.[claim.replica]
    if (before !== undefined) add(before, -1)
    add(claim.node, 1)
  }
  for (const [node, count] of counts) if (count <= 0) counts.delete(node)
  return counts
}

/** The node that holds the chunk as the view says; undefined outside the layout. */
export function holderOf(view: VolumeView, chunk: Omit<ChunkKey, 'volume'>): NodeId | undefined {
  const run = runOf(view, chunk)
  const claim = view.claims.find(
    one =>
      one.extent === chunk.extent &&
      one.generation === chunk.generation &&
      one.column === chunk.column &&
      one.replica === chunk.replica
  )
  if (claim !== undefined && (run === undefined || isNewer(claim.epoch, run.epoch))) {
    return claim.node
  }
  return run?.nodes[chunk.column]?.[chunk.replica]
}

function runOf(
  view: VolumeView,
  claim: Pick<PlacementClaim, 'extent' | 'generation'>
): LayoutRun | undefined {
  if (claim.generation !== view.spec.generation) return undefined
  return view.layout.find(
    run => run.generation === claim.generation && run.from <= claim.extent && claim.extent < run.to
  )
}

function isNewer(claim: PlacementEpoch, run: PlacementEpoch): boolean {
  return compareEpochs(claim, run) > 0
}
