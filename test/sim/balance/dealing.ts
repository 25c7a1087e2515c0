/**
 * What a simulated node gives away: wants become offers to a few, as node/balance/offering.ts and
 * deals.ts wire the shipped policy and the shipped machine.
 *
 * Invariant (but for the mistake of that name): no chunk is offered, or moved, twice at once.
 */
import type { Look } from '../../../protocols/balance/policy.ts'
import {
  candidates,
  type KnownPeer,
  type RankTerms,
  rank
} from '../../../protocols/balance/target.ts'
import type { LoadPath, Want } from '../../../protocols/balance/types.ts'
import type { VolumeId } from '../../../protocols/ids.ts'
import { type Offer, offeredPath } from '../../../protocols/negotiate/messages.ts'
import { backOffMs } from '../../../protocols/negotiate/offer.ts'
import type { OfferEffect, OfferEnd, Rank } from '../../../protocols/negotiate/offer-types.ts'
import { OpenOffers } from '../../../protocols/negotiate/open-offers.ts'
import { Negotiator } from '../../support/negotiate-mesh.ts'
import type { SimChunk } from './ground.ts'
import type { BalanceMesh } from './mesh.ts'
import type { Mistakes } from './mistakes.ts'
import type { BalanceNode } from './node.ts'
import type { SimPlace } from './places.ts'
import { HOUR_MS } from './settings.ts'

interface Deal {
  readonly offer: Offer
  readonly chunks: readonly SimChunk[]
}

export class Dealing {
  /** Negotiations so far. */
  begun = 0
  readonly #node: BalanceNode
  readonly #mesh: BalanceMesh
  readonly #mistakes: Mistakes
  readonly #open = new OpenOffers()
  readonly #negotiator: Negotiator
  readonly #deals = new Map<string, Deal>()
  readonly #failures = new Map<VolumeId, { readonly times: number; readonly untilMs: number }>()

  constructor(node: BalanceNode, mesh: BalanceMesh, mistakes: Mistakes) {
    this.#node = node
    this.#mesh = mesh
    this.#mistakes = mistakes
    this.#negotiator = new Negotiator({
      self: node.place.node,
      wire: mesh.wire,
      started: effect => this.#start(effect),
      ended: (id, end) => this.#ended(id, end),
      noted: ({ node: peer, is }) => node.trust.note(peer, is, mesh.clock.nowMs)
    })
  }

  /** Loads of what is offered or on its way. */
  get leaving(): readonly LoadPath[] {
    if (this.#mistakes.offersTwice === true) return []
    return [...this.#deals.values()].map(({ offer }) => offer.path)
  }

  has(chunk: SimChunk): boolean {
    return this.#mistakes.offersTwice !== true && this.#open.has(chunk.key)
  }

  offer(want: Want, look: Look): void {
    const { nowMs } = look
    if (this.#isLeftAlone(want.volume)) return
    const path = offeredPath(want.path, nowMs)
    const terms = this.#terms(want, look)
    const gateway = this.#mesh.gatewayOf(want.volume)
    const asked = candidates(this.#peers(want, gateway), terms, this.#mesh.seed()).map(
      one => one.node
    )
    if (path === undefined || asked.length === 0 || !this.#mesh.mayOffer()) return
    const chunks = want.chunks.map(({ chunk }) => this.#mesh.chunk(chunk))
    const offer: Offer = {
      call: 'offer',
      id: this.#mesh.moveId(),
      volume: want.volume,
      ranges: chunks.map(({ key: { volume: _, extent, ...slot } }) => {
        return { ...slot, from: extent, to: extent + 1 }
      }),
      bytes: want.bytes,
      path,
      reason: want.reason,
      copyMs: want.copyMs,
      horizonMs: HOUR_MS,
      gateway: gateway.node,
      ...(want.day !== undefined && { hourly: want.day })
    }
    if (!this.#open.open(offer.id, offer) && this.#mistakes.offersTwice !== true) return
    this.begun++
    this.#mesh.offered(1)
    this.#deals.set(offer.id, { offer, chunks })
    this.#negotiator.begin(offer, asked, this.#rank(terms))
  }

  /** Volumes that nobody took lately. */
  refused(): ReadonlySet<VolumeId> {
    return new Set([...this.#failures.keys()].filter(volume => this.#isLeftAlone(volume)))
  }

  /** What was started has ended. */
  moved(id: string, isDone: boolean): void {
    this.#close(id)
    this.#negotiator.moved(id, isDone ? 'done' : 'failed')
  }

  #start({ to, promise, figures }: OfferEffect & { type: 'start' }): void {
    const deal = this.#deals.get(promise.id)
    if (deal === undefined) throw new Error('a move of nothing')
    const { offer, chunks } = deal
    this.#mesh.offered(-1)
    this.#node.history.begin(this.#mesh.clock.nowMs, offer.bytes)
    this.#node.note('left', chunks)
    this.#failures.delete(offer.volume)
    this.#mesh.start({
      id: promise.id,
      source: this.#node.place.index,
      target: this.#mesh.nodeOf(to).place.index,
      bytes: offer.bytes,
      ...{ chunks, offer, figures }
    })
  }

  #ended(id: string, end: OfferEnd): void {
    const deal = this.#deals.get(id)
    if (end.is === 'settled' || deal === undefined) return
    this.#mesh.offered(-1)
    this.#close(id)
    this.#node.changed()
    const { volume } = deal.offer
    const times = (this.#failures.get(volume)?.times ?? 0) + 1
    const isUrgent = deal.offer.reason !== 'home'
    const pauseMs = backOffMs(times, this.#mesh.fraction(), isUrgent)
    const untilMs = this.#mesh.clock.nowMs + pauseMs
    this.#failures.set(volume, { times, untilMs })
  }

  #isLeftAlone(volume: VolumeId): boolean {
    return this.#mesh.clock.nowMs < (this.#failures.get(volume)?.untilMs ?? 0)
  }

  #close(id: string): void {
    this.#deals.delete(id)
    this.#open.close(id)
  }

  #terms(want: Want, { settings }: Look): RankTerms {
    const takenHosts = new Set<string>()
    return { want, volume: { isOn: true }, settings, takenHosts, source: this.#node.place }
  }

  /** For what goes home, those who are nearer to its gateway. */
  #peers({ reason }: Want, gateway: SimPlace): KnownPeer[] {
    const { trust, place } = this.#node
    const { nowMs } = this.#mesh.clock
    const { roundTripMs, threshold, capacity } = this.#mesh.scene
    const isHome = reason === 'home'
    const known = this.#mesh.known(this.#node, isHome ? gateway : place)
    const mostMs = isHome ? roundTripMs(place, gateway) - 1 : Number.POSITIVE_INFINITY
    return known.flatMap(({ node, said }): KnownPeer[] => {
      const { node: id, region, host } = node.place
      if (!trust.mayAsk(id, nowMs) || roundTripMs(node.place, gateway) > mostMs) return []
      return [
        {
          ...{ node: id, region, host },
          ...{ load: said.load, high: said.high, freeBytes: said.freeBytes },
          ...{ threshold, capacity },
          rttMs: roundTripMs(node.place, gateway),
          trust: trust.factor(id, nowMs),
          linkCost: region === place.region ? 0 : 1
        }
      ]
    })
  }

  #rank(terms: RankTerms): Rank {
    const { trust, place } = this.#node
    return bids => {
      const { nowMs } = this.#mesh.clock
      const placed = bids.map(({ node, figures }) => {
        const { region, host } = this.#mesh.nodeOf(node).place
        const linkCost = region === place.region ? 0 : 1
        return { node, region, host, figures, trust: trust.factor(node, nowMs), linkCost }
      })
      return rank(placed, terms).map(({ bid, score, why }) => {
        return { node: bid.node, score: score ?? 0, why, isFit: score !== undefined }
      })
    }
  }
}
