/** What is wrong with this node, in words for a person, the worst first. */
import type { MeshView } from '../crdt/types.ts'
import type { NodeId } from '../protocols/ids.ts'
import type { Balance } from './balance/types.ts'
import type { Handoffs } from './handoff/types.ts'
import { CERTIFICATE_WARNING_MS, LOW_SPACE_FRACTION } from './limits.ts'
import type { MapStats } from './map/types.ts'
import type { ShardServer } from './shard/types.ts'
import type { ChunkStore } from './storage/types.ts'

export interface ProblemSources {
  readonly now: () => number
  readonly certificateExpiresAt: () => number
  readonly store: ChunkStore | undefined
  readonly shards: ShardServer | undefined
  readonly handoffs: Handoffs | undefined
  readonly balance?: Pick<Balance, 'problems'> | undefined
  readonly mapStats: () => MapStats
  readonly mesh: () => MeshView
  /** Members that we know where to dial, and those connected. */
  readonly knownPeers: () => number
  readonly connectedPeers: () => number
}

export function problemsOf(sources: ProblemSources): string[] {
  return [
    ...storeProblems(sources),
    ...(sources.handoffs?.problems() ?? []),
    ...(sources.balance?.problems() ?? []),
    ...certificateProblems(sources),
    ...connectionProblems(sources),
    ...mapProblems(sources)
  ]
}

function storeProblems({ store, shards }: ProblemSources): string[] {
  const outOfService = shards?.stats().outOfService
  const problems = outOfService === undefined ? [] : [`no shard is served here: ${outOfService}`]
  if (store === undefined || store.failure !== undefined) return problems
  const { capacityBytes, availableBytes } = store.space()
  if (availableBytes > capacityBytes * LOW_SPACE_FRACTION) return problems
  const percent = Math.max(0, Math.round((availableBytes / capacityBytes) * 100))
  problems.push(`only ${percent} % of the capacity can still be written: free space on the disk`)
  return problems
}

function certificateProblems({ now, certificateExpiresAt }: ProblemSources): string[] {
  const leftMs = certificateExpiresAt() - now()
  if (leftMs <= 0) {
    return ['the certificate has expired: no volume is attached anew until an admin is reachable']
  }
  if (leftMs > CERTIFICATE_WARNING_MS) return []
  const days = Math.floor(leftMs / 86_400_000)
  return [`the certificate expires in ${days} days and was not renewed: start a node that is admin`]
}

function connectionProblems({ knownPeers, connectedPeers }: ProblemSources): string[] {
  if (knownPeers() === 0 || connectedPeers() > 0) return []
  return ['no other node of the mesh can be reached: check the network and their addresses']
}

function mapProblems({ mapStats, mesh }: ProblemSources): string[] {
  const nodes = mesh().nodes
  const name = (peer: NodeId): string => nodes.get(peer)?.name ?? peer
  return [...mapStats().badUpdates].map(
    ([peer, count]) => `node ${name(peer)} sent ${count} bad updates of the map; they were dropped`
  )
}
