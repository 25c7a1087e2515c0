/**
 * Asks the nodes how they are, and makes of it the candidates for a new volume: only nodes that
 * answer now, that are members, and that have capacity.
 */
import type { MeshView, NodeEntry } from '../../crdt/types.ts'
import { isFault, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Candidate } from '../../protocols/layout/placement.ts'
import {
  NODE_STATUS_PROTOCOL,
  type NodeStatus,
  nodeStatusSchema
} from '../../protocols/node-status/messages.ts'
import { MAX_PARALLEL_CALLS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import { mapConcurrently } from './concurrency.ts'
import { printable, regionsOf, resolveNode } from './names.ts'
import type { VolumeParts } from './types.ts'

type Asker = Pick<VolumeParts, 'rpc' | 'network' | 'map'>

export type Statuses = ReadonlyMap<NodeId, NodeStatus>

/** Members that did not leave and were not revoked. */
export function liveNodes(mesh: MeshView): NodeEntry[] {
  return [...mesh.nodes.values()].filter(
    node => node.leftAt === undefined && !mesh.revocations.has(node.id)
  )
}

/** What every connected live node says of itself; a node that does not answer is left out. */
export async function askNodes(parts: Asker): Promise<Statuses> {
  const connected = new Set<NodeId>([parts.network.self, ...parts.network.peers()])
  const nodes = liveNodes(parts.map.mesh()).filter(node => connected.has(node.id))
  const found = await mapConcurrently(nodes, MAX_PARALLEL_CALLS, node => askNode(parts, node.id))
  return new Map(found.flatMap(status => (status === undefined ? [] : [[status.id, status]])))
}

/** What one node says of itself, or undefined if it does not answer. */
export async function askNode(
  parts: Pick<Asker, 'rpc'>,
  node: NodeId
): Promise<NodeStatus | undefined> {
  try {
    const status = await parts.rpc.call(node, NODE_STATUS_PROTOCOL, {}, nodeStatusSchema, {
      timeoutMs: NODE_STATUS_TIMEOUT_MS
    })
    return status.id === node ? status : undefined
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}

/** Where a volume is wanted: the region, and the nodes to which distance counts. */
export interface Near {
  readonly region: string | undefined
  readonly nodes: readonly NodeId[]
}

/** `near` is the name of a region, or the name or id of a node; absent: this gateway. */
export function resolveNear(mesh: MeshView, self: NodeId, near: string | undefined): Near {
  if (near === undefined) return { region: undefined, nodes: [self] }
  const inRegion = liveNodes(mesh).filter(node => node.region === near)
  if (inRegion.length > 0) return { region: near, nodes: inRegion.map(node => node.id) }
  try {
    const node = resolveNode(mesh, near)
    return { region: node.region, nodes: [node.id] }
  } catch (error) {
    if (!isFault(error, 'NOT_FOUND')) throw error
    const known = regionsOf(mesh)
    throw new ShoalError(
      { code: 'UNKNOWN_REGION', region: near, known },
      `there is no region or node ${printable(near)}; the regions are ${known.join(', ')}`
    )
  }
}

export function candidatesFrom(parts: Asker, statuses: Statuses, near: Near): Candidate[] {
  return liveNodes(parts.map.mesh()).flatMap(node => {
    const status = statuses.get(node.id)
    if (status?.store === undefined || status.store.failure !== undefined) return []
    // What is emptied on purpose is given nothing new.
    if (status.draining !== undefined) return []
    const { readIops, writeIops } = status.load
    return [
      {
        node: node.id,
        region: node.region,
        host: node.host,
        distanceMs: distanceMs(parts, statuses, near, node.id),
        iops: readIops + writeIops,
        capacityBytes: status.store.capacityBytes,
        availableBytes: status.store.availableBytes
      }
    ]
  })
}

/** The shortest round trip that was measured, by either side, to one of the near nodes. */
function distanceMs(
  parts: Asker,
  statuses: Statuses,
  near: Near,
  node: NodeId
): number | undefined {
  const measured = near.nodes.flatMap(from => {
    if (from === node) return [0]
    const own = from === parts.network.self ? parts.network.roundTripMs(node) : undefined
    return [own, reported(statuses, from, node), reported(statuses, node, from)]
  })
  const known = measured.filter(ms => ms !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}

function reported(statuses: Statuses, from: NodeId, to: NodeId): number | undefined {
  return statuses.get(from)?.distances.find(distance => distance.peer === to)?.roundTripMs
}
