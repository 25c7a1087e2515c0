/**
 * The peers that could take something, as gossip and the map tell of them.
 *
 * Invariants: only members with a store that were heard of lately, and a bounded number of them; a
 * place is what the map says, a load what the peer said.
 */
import type { NodeEntry } from '../../crdt/types.ts'
import { linkFactor } from '../../protocols/balance/links.ts'
import type { KnownPeer, Place } from '../../protocols/balance/target.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { KnownLoad } from '../../protocols/load-gossip/table.ts'
import { considered } from '../../protocols/negotiate/consider.ts'
import { PEER_HEARD_MS, THRESHOLD_PART } from '../limits.ts'
import type { Load } from '../load/load.ts'
import type { ShardMap } from '../map/types.ts'
import type { Clock, Network, Random } from '../ports.ts'
import { leastDelayMs } from '../scaled-clock.ts'
import { liveNodes } from '../volumes/candidates.ts'

export interface PeerSources {
  readonly self: Place
  readonly load: Pick<Load, 'gossip'>
  readonly loadClock: Clock
  readonly map: Pick<ShardMap, 'mesh'>
  readonly network: Pick<Network, 'roundTripMs'>
  readonly random: Pick<Random, 'fraction'>
  readonly trust: (node: NodeId) => number
  /** False: it was silent lately. */
  readonly mayAsk: (node: NodeId) => boolean
}

/** `gateway`: of the volume in question; a round trip is known only if that is this node. */
export function knownPeers(sources: PeerSources, gateway?: NodeId): KnownPeer[] {
  const { self, load, map, mayAsk } = sources
  // By a faster clock, what was heard is old sooner than it can come again.
  const heardMs = Math.max(PEER_HEARD_MS, 10 * leastDelayMs(sources.loadClock))
  const heard = liveNodes(map.mesh()).flatMap(entry => {
    if (entry.id === self.node || entry.capacityBytes === 0 || !mayAsk(entry.id)) return []
    const known = load.gossip.known(entry.id)
    return known === undefined || known.ageMs > heardMs ? [] : [{ entry, known }]
  })
  const near = heard.filter(({ known }) => known.from === 'sample')
  const far = heard.filter(({ known }) => known.from !== 'sample')
  return considered(near, far, () => sources.random.fraction()).map(({ entry, known }) =>
    peerOf(sources, entry, known, gateway)
  )
}

function peerOf(
  { self, map, network, trust }: PeerSources,
  { id, region, host }: NodeEntry,
  known: KnownLoad,
  gateway: NodeId | undefined
): KnownPeer {
  const { load, capacity, freeBytes, forecast, sample } = known
  const threshold =
    sample?.threshold?.load ?? (capacity > 0 ? THRESHOLD_PART * capacity : undefined)
  const high = sample?.forecast?.in60.q90 ?? forecast?.q95
  const rttMs = gateway === id ? 0 : gateway === self.node ? network.roundTripMs(id) : undefined
  return {
    ...{ node: id, region, host, load, freeBytes },
    ...(threshold !== undefined && { threshold }),
    ...(capacity > 0 && { capacity }),
    ...(high !== undefined && { high }),
    ...(forecast !== undefined && { chance: forecast.chance }),
    ...(rttMs !== undefined && { rttMs }),
    trust: trust(id),
    linkCost: linkFactor(map.mesh().links, self.region, region)
  }
}
