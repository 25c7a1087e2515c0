/**
 * What the planner of protocols/layout/drain.ts needs to know, asked of the mesh: who is there and
 * has room, how far each is from where the volumes are used, and who holds their other columns.
 */
import { chunksByNode } from '../../crdt/holders.ts'
import type { VolumeView } from '../../crdt/types.ts'
import { isFault } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import {
  type DrainedVolume,
  type DrainPlan,
  type Piece,
  planDrain
} from '../../protocols/layout/drain.ts'
import { MAX_PARALLEL_CALLS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import {
  askNodes,
  candidatesFrom,
  type Near,
  resolveNear,
  type Statuses
} from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { averageBytes, heldRanges } from './held.ts'
import { type ChunkRange, without } from './ranges.ts'
import type { MovesParts } from './types.ts'

/** `busy`: chunks that open moves have already. */
export async function makeDrainPlan(
  parts: MovesParts,
  busy: (volume: VolumeId) => readonly ChunkRange[]
): Promise<DrainPlan> {
  const { network, map } = parts
  const pieces = piecesOf(parts, busy)
  const statuses = await askNodes(parts)
  const ids = [...new Set(pieces.map(piece => piece.volume))]
  const volumes = await mapConcurrently(ids, MAX_PARALLEL_CALLS, async volume =>
    describe(parts, statuses, volume, await viewOf(parts, volume))
  )
  return planDrain({
    from: { node: network.self, host: map.mesh().nodes.get(network.self)?.host ?? '' },
    pieces,
    volumes,
    candidates: candidatesFrom(parts, statuses, { region: undefined, nodes: [network.self] })
  })
}

function piecesOf(
  { store }: MovesParts,
  busy: (volume: VolumeId) => readonly ChunkRange[]
): Piece[] {
  return store.shards().flatMap(head => {
    const volume = head.spec.id
    return without(heldRanges(head), busy(volume)).map(range => ({
      ...range,
      volume,
      bytes: averageBytes(store, head, range.to - range.from)
    }))
  })
}

function describe(
  parts: MovesParts,
  statuses: Statuses,
  volume: VolumeId,
  view: VolumeView | undefined
): DrainedVolume {
  const { self } = parts.network
  const near = nearOf(parts, view)
  const distances = candidatesFrom(parts, statuses, near).flatMap(({ node, distanceMs }) =>
    distanceMs === undefined ? [] : [[node, distanceMs] as const]
  )
  const holders = view === undefined ? [] : [...chunksByNode(view).keys()]
  return {
    volume,
    nearRegion: near.region,
    distanceMs: new Map(distances),
    holders: holders.filter(node => node !== self)
  }
}

/** Where the volume is used: as it was asked for, else where it is or was last attached. */
function nearOf({ map, network }: MovesParts, view: VolumeView | undefined): Near {
  const mesh = map.mesh()
  if (view?.near !== undefined) {
    try {
      return resolveNear(mesh, network.self, view.near)
    } catch (error) {
      // The region or node that was asked for is gone: the gateway is the next best.
      if (!isFault(error)) throw error
    }
  }
  return { region: undefined, nodes: [view?.holder?.node ?? network.self] }
}

async function viewOf({ map }: MovesParts, volume: VolumeId): Promise<VolumeView | undefined> {
  try {
    return (
      map.volume(volume) ?? (await map.fetchVolume(volume, { timeoutMs: NODE_STATUS_TIMEOUT_MS }))
    )
  } catch (error) {
    if (isFault(error)) return undefined
    throw error
  }
}
