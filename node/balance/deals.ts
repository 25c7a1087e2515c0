/**
 * What leaves this node by its own decision: negotiations, the moves that they lead to, and the time
 * until forecasts know that the load is gone.
 *
 *   offer --> negotiation --award--> move (node/moves) --ended--> settled with the target --> forgotten
 *                \__ nobody: left alone for a while
 *
 * Invariants: no chunk is in two of them, or in one and an open move, and they are as many as the
 * file takes (OpenOffers); a move is in the file before it
 * begins; whatever ends is settled with its target once; after a restart moves go on and are settled,
 * negotiations have expired.
 */
import { assert } from '../../protocols/assert.ts'
import type { Want } from '../../protocols/balance/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAX_LISTED_ENDED } from '../../protocols/moves/limits.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import type { Offer, Outcome } from '../../protocols/negotiate/messages.ts'
import { begin } from '../../protocols/negotiate/offer.ts'
import { resume } from '../../protocols/negotiate/offer-move.ts'
import type { OfferEnd, OfferStep, Rank } from '../../protocols/negotiate/offer-types.ts'
import { OpenOffers } from '../../protocols/negotiate/open-offers.ts'
import { type ChunkRange, countChunks } from '../moves/ranges.ts'
import type { Moves } from '../moves/types.ts'
import type { Clock, Log, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import { CopySpeed } from './copy-speed.ts'
import { type Deal, dealOf, resumedDeal, viewOf } from './deal.ts'
import { Leaving } from './leaving.ts'
import { MoveDelay } from './move-delay.ts'
import { Negotiation, type Started } from './negotiation.ts'
import type { Ahead } from './outlooks.ts'
import type { Past, SavedOrder } from './past.ts'
import type { PeerRecords } from './peer-records.ts'
import { receiptOf } from './receipt.ts'
import { Refused } from './refused.ts'
import { whyOf } from './sentences.ts'
import type { ReceiptDesk, UnderWay } from './types.ts'

export interface DealsParts {
  readonly self: NodeId
  readonly rpc: Rpc
  /** Of time, and of load. */
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly moves: Moves
  readonly past: Past
  readonly records: Pick<PeerRecords, 'trust' | 'saveSoon'>
  readonly receipts: Pick<ReceiptDesk, 'opened'>
  /** Why it may not begin now; undefined: it may. */
  readonly refusal: (want: Want) => string | undefined
}

export class Deals {
  readonly speed: CopySpeed
  readonly delay: MoveDelay
  /** For an overload. What was refused at home may be needed elsewhere at any moment. */
  readonly refused: Refused
  readonly refusedAtHome: Refused
  readonly #parts: DealsParts
  readonly #deals = new Map<string, Deal>()
  readonly #open = new OpenOffers()
  readonly #leaving: Leaving
  #isStopped = false

  constructor(parts: DealsParts) {
    this.#parts = parts
    this.speed = new CopySpeed(parts.loadClock)
    this.delay = new MoveDelay(parts.loadClock)
    this.refused = new Refused(parts.loadClock, parts.random)
    this.refusedAtHome = new Refused(parts.loadClock, parts.random)
    this.#leaving = new Leaving(parts.loadClock)
    parts.moves.watch({
      started: () => undefined,
      ended: (move, _reason, ranges) => this.#ended(move, ranges)
    })
  }

  /** Goes on with what an earlier start had awarded. */
  resume(): void {
    const { moves, past } = this.#parts
    const open = new Set(moves.ordered().map(({ id }) => id))
    const ended = new Map(moves.list(MAX_LISTED_ENDED).moves.map(move => [move.id, move]))
    for (const order of past.orders) {
      this.#resume(order)
      if (open.has(order.id)) continue
      const move = ended.get(order.id)
      this.#settle(order.id, move === undefined ? 'cancelled' : outcomeOf(move))
    }
  }

  get views(): UnderWay[] {
    return [...this.#deals.values()].map(viewOf)
  }

  /** Negotiations that have not led to a move. */
  get offering(): number {
    return [...this.#deals.values()].filter(({ at }) => at === 'offering').length
  }

  /** The load of what is on its way, or so lately gone that forecasts do not know. */
  get leaving(): Ahead[] {
    return [...[...this.#deals.values()].map(({ ahead }) => ahead), ...this.#leaving.gone()]
  }

  busy(volume: VolumeId): ChunkRange[] {
    const offered = [...this.#deals.values()].filter(deal => deal.volume === volume)
    return [...this.#parts.moves.busy(volume), ...offered.flatMap(({ ranges }) => ranges)]
  }

  /** `rank`: of the bids on it. False: some of it is in another one, or there are too many. */
  offer(
    want: Want,
    { id, ranges, ...offer }: Omit<Offer, 'call'>,
    candidates: readonly NodeId[],
    rank: Rank
  ): boolean {
    const { clock, loadClock, log } = this.#parts
    if (this.#open.isFull) {
      log.info({ volume: want.volume }, 'nothing more is offered: as much as may be is under way')
    }
    if (!this.#open.open(id, { volume: want.volume, ranges })) return false
    const since = loadClock.now()
    const deal = dealOf(want, { id, ranges, since, wantedMs: this.delay.wantedMs() })
    this.#deals.set(id, deal)
    log.info({ move: id, volume: want.volume, why: whyOf(want), candidates }, 'chunks are offered')
    const request: Offer = { call: 'offer', id, ranges, ...offer }
    this.#negotiate(deal, begin(request, candidates, clock.monotonicMs()), rank)
    return true
  }

  /** What was not awarded is withdrawn. */
  cancelOffers(why: string): void {
    for (const { at, negotiation } of this.#deals.values()) {
      if (at === 'offering') negotiation?.cancel(why)
    }
  }

  /** A forecast of the node came in. */
  foretold(): void {
    this.#leaving.foretold()
  }

  stop(): void {
    this.#isStopped = true
    for (const { negotiation } of this.#deals.values()) negotiation?.stop()
  }

  #negotiate(deal: Deal, first: OfferStep, rank: Rank): void {
    const { clock, rpc, log, records } = this.#parts
    deal.negotiation = new Negotiation(
      {
        ...{ id: deal.id, rpc, clock, log, rank },
        note: (node, is) => records.trust.note(node, is, clock.monotonicMs()),
        start: started => this.#start(deal, started),
        onEnd: end => this.#over(deal, end)
      },
      first
    )
  }

  async #start(deal: Deal, started: Started): Promise<void> {
    const { moves, past, receipts, refusal, self } = this.#parts
    const { id, volume, want, ranges, bytes, reason, since } = deal
    assert(want !== undefined, 'what begins was wanted in this life')
    const why = refusal(want)
    if (why !== undefined) throw new ShoalError({ code: 'CONFLICT', what: id }, why)
    const { to, promise } = started
    Object.assign(deal, { to, started, at: 'moving' })
    const { reservation } = promise
    const { path } = want
    past.put({
      ...{ id, volume, to, reservation, reason, since, bytes },
      ranges: [...ranges],
      path: { ...path, expected: [...path.expected], high: [...path.high] }
    })
    past.begun(volume, bytes)
    past.noted('left', volume, ranges)
    await past.save()
    const chunks = want.chunks.map(({ chunk }) => chunk)
    await moves.order({ id, volume, to, chunks, bytes, reason, why: whyOf(want) })
    receipts.opened(receiptOf({ id, self, want, started, decidedAt: since }))
    this.#refusedFor(want.reason).taken(volume)
  }

  #resume(order: SavedOrder): void {
    const { id, to, reservation } = order
    const { volume, ranges } = order
    // What a file says never stops a start: a doubled one ends by its move.
    this.#open.open(id, { volume, ranges })
    const deal = resumedDeal(order)
    this.#deals.set(id, deal)
    const nowMs = this.#parts.clock.monotonicMs()
    this.#negotiate(deal, resume(to, { id, reservation }, nowMs), () => [])
  }

  #refusedFor(reason: Want['reason']): Refused {
    return reason === 'home' ? this.refusedAtHome : this.refused
  }

  /** Of any move of this node: the six hours are for all of them. */
  #ended(move: Move, ranges: readonly ChunkRange[]): void {
    if (this.#isStopped) return
    const { past } = this.#parts
    this.speed.note(move)
    const wantedMs = this.#deals.get(move.id)?.wantedMs
    if (wantedMs !== undefined) this.delay.ended(move, wantedMs, this.speed.perSecond(null))
    past.noted('left', move.volume, ranges)
    past.saveSoon()
    this.#settle(move.id, outcomeOf(move))
  }

  #settle(id: string, outcome: Outcome): void {
    const deal = this.#deals.get(id)
    if (deal === undefined || deal.outcome !== undefined) return
    const { clock, records } = this.#parts
    Object.assign(deal, { outcome, at: 'settling' })
    if (outcome !== 'cancelled' && deal.to !== undefined) {
      records.trust.ended(deal.to, outcome === 'done', clock.monotonicMs())
    }
    deal.negotiation?.moved(outcome)
  }

  #over(deal: Deal, end: OfferEnd): void {
    const { id, volume, outcome, ahead, reason } = deal
    const { past, log, records } = this.#parts
    this.#deals.delete(id)
    this.#open.close(id)
    if (outcome === 'done') this.#leaving.add(ahead)
    if (end.is !== 'settled')
      log.info({ move: id, volume, why: end.why }, 'an offer came to nothing')
    if (end.is === 'nobody' || (outcome !== 'done' && end.is === 'settled'))
      this.#refusedFor(reason).add(volume, reason !== 'home', tooMany(deal, end))
    past.drop(id)
    past.saveSoon()
    records.saveSoon()
  }
}

/** How many chunks were too many for whoever answered; undefined: nobody said so. */
function tooMany({ ranges }: Deal, end: OfferEnd): number | undefined {
  if (end.is !== 'nobody') return undefined
  const isSaid = end.alternatives.some(({ is }) => is === 'declined' || is === 'unfit')
  return isSaid ? countChunks(ranges) : undefined
}

function outcomeOf({ state }: Move): Outcome {
  return state === 'done' || state === 'cancelled' ? state : 'failed'
}
