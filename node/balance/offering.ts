/** Turns a want into an offer: whom to ask, by what terms, and how their bids compare. */

import { chunksByNode } from '../../crdt/holders.ts'
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import { linkFactor } from '../../protocols/balance/links.ts'
import type { Look } from '../../protocols/balance/policy.ts'
import type { Alternative } from '../../protocols/balance/receipt.ts'
import {
  candidates,
  type KnownPeer,
  type Place,
  type RankTerms,
  rank,
  unfit
} from '../../protocols/balance/target.ts'
import type { VolumeBalance, Want } from '../../protocols/balance/types.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { MAX_OFFER_MS } from '../../protocols/negotiate/limits.ts'
import { type Offer, offeredPath } from '../../protocols/negotiate/messages.ts'
import type { Rank } from '../../protocols/negotiate/offer-types.ts'
import type { Trust } from '../../protocols/negotiate/trust.ts'
import type { ShardMap } from '../map/types.ts'
import { rangesOfChunks } from '../moves/ranges.ts'
import type { Clock, Random } from '../ports.ts'
import type { Deals } from './deals.ts'
import { hourly } from './outlooks.ts'
import { knownPeers, type PeerSources } from './peers.ts'
import { peersAtHome } from './round-trips.ts'

const MINUTE_MS = 60_000

export interface OfferingParts extends Omit<PeerSources, 'trust' | 'mayAsk'> {
  readonly map: Pick<ShardMap, 'mesh' | 'volume'>
  /** Of time. */
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly trust: Trust
  readonly deals: Deals
}

export class Offering {
  readonly #parts: OfferingParts

  constructor(parts: OfferingParts) {
    this.#parts = parts
  }

  peers(gateway?: NodeId): KnownPeer[] {
    const { trust, clock } = this.#parts
    const nowMs = clock.monotonicMs()
    const asked = {
      trust: (node: NodeId) => trust.factor(node, nowMs),
      mayAsk: (node: NodeId) => trust.mayAsk(node, nowMs)
    }
    return knownPeers({ ...this.#parts, ...asked }, gateway)
  }

  /** False: there is nobody to ask, or too much is under way. */
  offer(want: Want, look: Look): boolean {
    const { random, deals } = this.#parts
    const view = this.#parts.map.volume(want.volume)
    const terms = this.#terms(want, look, view)
    const seed = Buffer.from(random.bytes(4)).readUInt32LE()
    const peers = this.#peersFor(want, view)
    const asked = candidates(peers, terms, seed).map(({ node }) => node)
    const path = offeredPath(want.path, look.nowMs)
    if (asked.length === 0 || path === undefined) return false
    const offer = this.#offerOf(want, look, view, path)
    return deals.offer(want, offer, asked, this.#rank(terms))
  }

  /** Who would be asked, and why the others would not; asks nobody. */
  wouldAsk(want: Want, look: Look): Alternative[] {
    const view = this.#parts.map.volume(want.volume)
    const terms = this.#terms(want, look, view)
    const peers = this.#peersFor(want, view)
    const asked = candidates(peers, terms, 0)
    const others = peers.filter(peer => !asked.includes(peer))
    return [
      ...asked.map(({ node }): Alternative => ({ node, is: 'silent', why: 'would be asked' })),
      ...others.map((peer): Alternative => {
        const why = unfit(peer, terms) ?? tooFull(peer, want) ?? 'others have more room'
        return { node: peer.node, is: 'unfit', why }
      })
    ]
  }

  #peersFor({ reason }: Want, view: VolumeView | undefined): KnownPeer[] {
    const peers = this.peers(view?.holder?.node)
    return reason === 'home' ? peersAtHome(peers, view, this.#parts.map) : peers
  }

  #offerOf(
    want: Want,
    { nowMs, settings }: Look,
    view: VolumeView | undefined,
    path: Offer['path']
  ): Omit<Offer, 'call'> {
    const { volume, bytes, reason, copyMs, chunks, day } = want
    const hours = day && hourly(day, nowMs)
    const { maxRttMs, horizonMinutes = settings.horizonMinutes } = balanceOf(view)
    const regions = commonRegions(settings.regions, balanceOf(view).regions)
    const gateway = view?.holder?.node
    return {
      id: Buffer.from(this.#parts.random.bytes(6)).toString('hex'),
      ...{ volume, bytes, path, reason },
      ranges: rangesOfChunks(chunks.map(({ chunk }) => chunk)),
      ...(hours !== undefined && { hourly: hours }),
      copyMs: Math.min(MAX_OFFER_MS, copyMs),
      horizonMs: Math.min(MAX_OFFER_MS, horizonMinutes * MINUTE_MS),
      ...(gateway !== undefined && { gateway }),
      ...(maxRttMs !== undefined && { maxRttMs }),
      ...(regions !== undefined && { regions: [...regions] })
    }
  }

  #terms(want: Want, { settings, shards }: Look, view: VolumeView | undefined): RankTerms {
    const { self, map } = this.#parts
    const takenHosts = view === undefined ? new Set<string>() : otherHosts(view, map.mesh(), self)
    const { rttMs } = shards.find(({ volume }) => volume === want.volume) ?? {}
    const isHome = want.reason === 'home' && rttMs !== undefined
    const terms = { want, volume: balanceOf(view), settings, takenHosts, source: self }
    return { ...terms, ...(isHome && { nearerThanMs: rttMs }) }
  }

  #rank(terms: RankTerms): Rank {
    const { map, trust, clock, self } = this.#parts
    return bids => {
      const mesh = map.mesh()
      const nowMs = clock.monotonicMs()
      const placed = bids.flatMap(({ node, figures }) => {
        const entry = mesh.nodes.get(node)
        if (entry === undefined) return []
        const { region, host } = entry
        const linkCost = linkFactor(mesh.links, self.region, region)
        return [{ node, region, host, figures, trust: trust.factor(node, nowMs), linkCost }]
      })
      return rank(placed, terms).map(({ bid, score, why }) => ({
        node: bid.node,
        score: score ?? 0,
        why,
        isFit: score !== undefined
      }))
    }
  }
}

function balanceOf(view: VolumeView | undefined): VolumeBalance {
  return view?.policy ?? { isOn: true }
}

/** Of whoever has another copy of what is here: copies of a chunk stay on different hosts. */
function otherHosts(view: VolumeView, mesh: MeshView, self: Place): Set<string> {
  if (view.spec.copies === 1) return new Set()
  const others = [...chunksByNode(view).keys()].filter(node => node !== self.node)
  return new Set(others.flatMap(node => mesh.nodes.get(node)?.host ?? []))
}

function commonRegions(
  a: readonly string[] | undefined,
  b: readonly string[] | undefined
): readonly string[] | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return a.filter(region => b.includes(region))
}

function tooFull({ freeBytes }: KnownPeer, { bytes }: Want): string | undefined {
  return freeBytes < bytes ? 'not enough free space' : undefined
}
