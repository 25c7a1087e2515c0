/** How far a volume's gateway is, as far as this node knows, and who is near to it: its home. */
import type { VolumeView } from '../../crdt/types.ts'
import type { KnownPeer, Place } from '../../protocols/balance/target.ts'
import type { ShardMap } from '../map/types.ts'
import type { Network } from '../ports.ts'

/** Taken for the round trip within a region until a bidder says its own. */
const WITHIN_REGION_MS = 1

/** From this node to whoever has the volume attached; undefined: nobody, or not measured. */
export function roundTripMs(
  network: Pick<Network, 'self' | 'roundTripMs'>,
  view: VolumeView | undefined
): number | undefined {
  const gateway = view?.holder?.node
  if (gateway === undefined) return undefined
  return gateway === network.self ? 0 : network.roundTripMs(gateway)
}

/** Of the peers, the gateway's own node and those of its host and region. */
export function peersAtHome(
  peers: readonly KnownPeer[],
  view: VolumeView | undefined,
  map: Pick<ShardMap, 'mesh'>
): KnownPeer[] {
  const gateway = view?.holder && map.mesh().nodes.get(view.holder.node)
  if (gateway === undefined) return []
  const { id, host, region } = gateway
  return peers.filter(peer => peer.node === id || peer.host === host || peer.region === region)
}

/** From the nearest of them to the gateway; undefined: nobody there, or `self` is there already. */
export function homeRoundTripMs(
  peers: readonly KnownPeer[],
  view: VolumeView | undefined,
  { self, map }: { readonly self: Place; readonly map: Pick<ShardMap, 'mesh'> }
): number | undefined {
  const atHome = peersAtHome(peers, view, map)
  if (atHome.some(({ node }) => node === view?.holder?.node)) return 0
  return atHome.some(({ region }) => region !== self.region) ? WITHIN_REGION_MS : undefined
}
