/**
 * What the shards of a volume together say that it is: its spec, its size, and who holds what.
 */
import { assert } from '../assert.ts'
import { type NodeId, sameSpec, type VolumeId, type VolumeSpec } from '../ids.ts'
import type { ShardState } from '../shard-control/messages.ts'
import { shapeProblem } from '../stripe/map.ts'
import { type Placement, placementOf } from './placement.ts'

export interface Description {
  readonly spec: VolumeSpec
  readonly sizeBytes: number
  /** Has gaps if some chunk of [0, size) is held by none of them. */
  readonly placement: Placement
}

/** The volume, or why the shards contradict each other. `states` is not empty. */
export function describe(
  volume: VolumeId,
  states: ReadonlyMap<NodeId, ShardState>
): Description | string {
  let spec: VolumeSpec | undefined
  for (const [node, state] of states) {
    spec ??= state.spec
    if (!sameSpec(spec, state.spec)) return `the shard on ${node} describes another layout`
  }
  assert(spec !== undefined, 'at least one shard answered')
  if (spec.id !== volume) return 'the shards describe another volume'
  const problem = shapeProblem(spec)
  if (problem !== undefined) return problem
  return { spec, ...sized(spec, states) }
}

/**
 * The greatest size that some shard durably holds and all together cover. A growth that reached
 * only some shards was never announced: the volume is then as large as before it.
 */
function sized(
  spec: VolumeSpec,
  states: ReadonlyMap<NodeId, ShardState>
): { sizeBytes: number; placement: Placement } {
  const holdings = [...states].map(([node, state]) => ({ node, runs: state.runs }))
  const sizes = [...new Set([...states.values()].map(state => state.sizeBytes))]
  sizes.sort((a, b) => b - a)
  const greatest = sizes[0] ?? 0
  for (const sizeBytes of sizes) {
    const placement = placementOf(spec, sizeBytes, holdings)
    if (placement.gaps.length === 0) return { sizeBytes, placement }
  }
  return { sizeBytes: greatest, placement: placementOf(spec, greatest, holdings) }
}
