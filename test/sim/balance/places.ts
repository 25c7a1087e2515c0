/**
 * Where the nodes of a simulated mesh are, how far apart, and what each may know of the others.
 *
 * Invariant: follows from size and seed.
 */
import type { NodeId } from '../../../protocols/ids.ts'
import { groupMesh } from '../../../protocols/load-gossip/groups.ts'
import { randomNodeId } from '../../support/load-mesh.ts'
import type { SimRandom } from '../random.ts'

export interface SimPlace {
  readonly node: NodeId
  readonly index: number
  readonly region: string
  readonly host: string
  /** Hours ahead of UTC. */
  readonly zone: number
  /** Of the gossip of load: members of one hear each other freshly. */
  readonly group: number
}

const NODES_PER_REGION = 25
const LEAST_REGIONS = 3
const NEAR_MS = 1
const FAR_MS = 12

export function placesOf(nodes: number, random: SimRandom): SimPlace[] {
  const regions = Math.max(LEAST_REGIONS, Math.round(nodes / NODES_PER_REGION))
  const bare = Array.from({ length: nodes }, (_, index) => {
    const region = index % regions
    const zone = Math.floor((region * 24) / regions)
    return { id: randomNodeId(random), region: `region-${region}`, index, zone }
  })
  const { all, of } = groupMesh(bare)
  return bare.map(({ id, region, index, zone }) => {
    const group = of.get(id)
    const number = group === undefined ? 0 : all.indexOf(group)
    return { node: id, index, region, host: `host-${index}`, zone, group: number }
  })
}

/** Round trip; grows with the difference of their clocks. */
export function roundTripMs(a: SimPlace, b: SimPlace): number {
  if (a === b) return 0
  if (a.region === b.region) return NEAR_MS
  const hours = Math.abs(a.zone - b.zone)
  return NEAR_MS + FAR_MS * Math.max(1, Math.min(hours, 24 - hours))
}
