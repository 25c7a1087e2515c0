/** What a node does when the map tells something new: revocations, peers to dial, copies of itself. */
import { messageOf } from '../protocols/fault.ts'
import type { Incarnation, NodeId } from '../protocols/ids.ts'
import { foundCopy } from './copy-watch.ts'
import type { Host } from './host/host.ts'
import type { ShardMap } from './map/types.ts'
import type { Members } from './members/members.ts'
import type { MeshKnowledge } from './mesh-knowledge.ts'
import type { Log } from './ports.ts'
import type { ShardServer } from './shard/types.ts'

export interface Followers {
  readonly self: NodeId
  readonly incarnation: Incarnation
  readonly map: ShardMap
  readonly members: Members
  readonly knowledge: MeshKnowledge
  readonly host: Host
  readonly shards: ShardServer | undefined
  readonly log: Log
  /** This store is a copy; `last` is the newest start that the mesh knows of. Called once. */
  readonly onCopy: (last: number) => void
}

export function followMap(parts: Followers): void {
  const { self, incarnation, map, members, knowledge, host, shards, log } = parts
  for (const [peer, signed] of members.revocations()) map.announceRevocation(peer, signed)
  let isCopy = false
  const learn = (): void => {
    const view = map.mesh()
    for (const signed of view.revocations.values()) {
      members.applyRevocation(signed).catch(error => {
        log.error({ error: messageOf(error) }, 'a revocation could not be stored')
      })
    }
    knowledge.learn(view)
    const why = foundCopy(view, self, incarnation)
    if (why === undefined || isCopy) return
    isCopy = true
    log.error({}, why)
    shards?.quarantine(why)
    parts.onCopy(view.nodes.get(self)?.incarnation.number ?? incarnation.number)
  }
  map.onMesh(learn)
  learn()
  knowledge.guide(host)
}
