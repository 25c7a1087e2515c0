/** The parts of a daemon's context that are more than a reference to another part. */
import { ShoalError } from '../protocols/fault.ts'
import type { NodeId } from '../protocols/ids.ts'
import type { DaemonContext, MemberOperations } from './control/context.ts'
import type { Gateway } from './gateway/types.ts'
import type { Host } from './host/host.ts'
import type { ShardMap } from './map/types.ts'
import type { Identity } from './members/identity.ts'
import type { Members } from './members/members.ts'
import type { Clock } from './ports.ts'
import { VERSION } from './version.ts'

export function selfInfo(
  dir: string,
  identity: Identity,
  clock: Clock,
  host: Host
): DaemonContext['self'] {
  const { id, name, region, role, mesh } = identity
  return {
    id,
    name,
    region,
    host: identity.host,
    role,
    mesh,
    dir,
    version: VERSION,
    startedAt: clock.now(),
    addresses: () => host.addresses()
  }
}

export function memberOperations(members: Members, map: ShardMap): MemberOperations {
  return {
    createInvite: async ({ role, validMs }) => {
      const { text, expiresAt } = members.createInvite({ role, ttlMs: validMs })
      return { token: text, expiresAt }
    },
    revoke: async peer => {
      map.announceRevocation(peer, await members.revoke(peer))
      await map.flush()
    },
    certificate: () => {
      const { role, expiresAt } = members.identity().certificate
      return { role, expiresAt }
    }
  }
}

export function whileCertified(gateway: Gateway, members: Members): Gateway {
  return {
    attach: async (volume, options) => {
      if (!members.isExpired()) return gateway.attach(volume, options)
      const at = members.identity().certificate.expiresAt
      throw new ShoalError(
        { code: 'EXPIRED', at },
        'the certificate of this node has expired: nothing is attached until an admin renewed it'
      )
    },
    attachments: () => gateway.attachments(),
    close: () => gateway.close()
  }
}

export function lastSeen(host: Host, clock: Clock): (peer: NodeId) => number | undefined {
  const lost = new Map<NodeId, number>()
  host.onPeer((peer, isConnected) => {
    if (isConnected) lost.delete(peer)
    else lost.set(peer, clock.now())
  })
  return peer => lost.get(peer)
}
