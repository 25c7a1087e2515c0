/** How far a volume's gateway is, as far as this node knows. */
import type { VolumeView } from '../../crdt/types.ts'
import type { KnownPeer } from '../../protocols/balance/target.ts'
import type { Network } from '../ports.ts'

/** That is only known of the gateway's own node, if it keeps data. */
export function homeRoundTripMs(
  peers: readonly KnownPeer[],
  view: VolumeView | undefined
): number | undefined {
  const gateway = view?.holder?.node
  return peers.some(({ node }) => node === gateway) ? 0 : undefined
}

/** From this node to whoever has the volume attached; undefined: nobody, or not measured. */
export function roundTripMs(
  network: Pick<Network, 'self' | 'roundTripMs'>,
  view: VolumeView | undefined
): number | undefined {
  const gateway = view?.holder?.node
  if (gateway === undefined) return undefined
  return gateway === network.self ? 0 : network.roundTripMs(gateway)
}
