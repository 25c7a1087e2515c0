/**
 * What a bidder has promised: space, and room for load to come. One per node; node/balance asks it.
 *
 *   (offer, fits) offered --award--> awarded --settle done--> arrived --> gone
 *                    \ withdraw, expiry  \ settle, withdraw, expiry      counted until forecasts
 *                     \___________________\______________________> gone  have taken the load up
 *
 * Invariants:
 * - an offer is appraised with everything promised to others, so awards that come together never
 *   take more than there is; an award is appraised again;
 * - promised bytes never exceed what is free: an offer that needs more is refused here, whatever
 *   its appraisal says;
 * - a promise is known by who asked and the id of the move: nobody touches another's;
 * - the same request twice changes nothing; what arrives after the end promises nothing;
 * - bounded, and everything ends by itself.
 *
 * A restart forgets it all, which is safe: space is reserved durably by each handoff itself
 * (protocols/handoff), which refuses without room; of the load, what is not promised any more may be
 * promised anew for as long as the moves under way last, and no longer.
 */
import { assert } from '../assert.ts'
import type { BidFigures } from '../balance/types.ts'
import type { NodeId, Nonce } from '../ids.ts'
import {
  ARRIVED_COUNTS_MS,
  BID_LASTS_MS,
  END_REMEMBERED_MS,
  MAX_LEASE_MS,
  MAX_PROMISES,
  MAX_PROMISES_TO_ONE,
  MAX_REMEMBERED_ENDS
} from './limits.ts'
import type {
  Award,
  Keep,
  NegotiateAnswer,
  NegotiateRequest,
  Offer,
  RefusalCode,
  Settle
} from './messages.ts'
import { refused } from './messages.ts'
import { overlap } from './overlap.ts'

export interface LedgerPromise {
  readonly from: NodeId
  readonly offer: Offer
  readonly reservation: Nonce
  readonly figures: BidFigures
  readonly at: 'offered' | 'awarded' | 'arrived'
  /** Monotonic ms: it ends then unless it is renewed. */
  readonly untilMs: number
}

export type Appraisal =
  /** `figures.freeBytes`: what is still free once all that is `promised`, and this, has come. */
  | { readonly is: 'fit'; readonly figures: BidFigures }
  | { readonly is: 'unfit'; readonly code: RefusalCode; readonly why: string }

/** What the offer would do here, besides all that is `promised` (loads of the arrived included). */
export type Appraise = (offer: Offer, from: NodeId, promised: readonly LedgerPromise[]) => Appraisal

export interface LedgerOptions {
  readonly appraise: Appraise
  /** How long what has come counts besides the forecasts; ARRIVED_COUNTS_MS if absent. */
  readonly arrivedCountsMs?: number
}

export interface LedgerInstant {
  /** Monotonic ms. */
  readonly nowMs: number
  /** Fresh for each request: names the promise that it may make. */
  readonly nonce: Nonce
}

export class Ledger {
  readonly #options: LedgerOptions
  readonly #promises = new Map<string, LedgerPromise>()
  /** What has ended: when that may be forgotten, the oldest first. */
  readonly #ends = new Map<string, number>()

  constructor(options: LedgerOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#promises.size === 0
  }

  answer(from: NodeId, request: NegotiateRequest, at: LedgerInstant): NegotiateAnswer {
    this.sweep(at.nowMs)
    switch (request.call) {
      case 'offer':
        return this.#offer(from, request, at)
      case 'award':
        return this.#award(from, request, at.nowMs)
      case 'keep':
        return this.#keep(from, request, at.nowMs)
      case 'withdraw':
        this.#end(keyOf(from, request.id), at.nowMs)
        return { is: 'noted' }
      case 'settle':
        this.#settle(from, request, at.nowMs)
        return { is: 'noted' }
    }
  }

  /** Drops what has expired. */
  sweep(nowMs: number): void {
    for (const [key, { untilMs }] of this.#promises) {
      if (untilMs <= nowMs) this.#promises.delete(key)
    }
    for (const [key, untilMs] of this.#ends) {
      if (untilMs > nowMs && this.#ends.size <= MAX_REMEMBERED_ENDS) break
      this.#ends.delete(key)
    }
  }

  /** What binds now, in the order of asking. */
  promises(nowMs: number): LedgerPromise[] {
    this.sweep(nowMs)
    return [...this.#promises.values()]
  }

  find(from: NodeId, id: string): LedgerPromise | undefined {
    return this.#promises.get(keyOf(from, id))
  }

  /** Forecasts have taken up what came: it is not counted besides them any more. */
  counted(from: NodeId, id: string): void {
    const key = keyOf(from, id)
    if (this.#promises.get(key)?.at === 'arrived') this.#promises.delete(key)
  }

  #offer(from: NodeId, offer: Offer, { nowMs, nonce }: LedgerInstant): NegotiateAnswer {
    const key = keyOf(from, offer.id)
    const known = this.#promises.get(key)
    if (known !== undefined) return repeated(known, offer, nowMs)
    if (this.#ends.has(key)) return refused('over', 'this negotiation has ended')
    const conflict = this.#makeWay(from, offer, nowMs)
    if (conflict !== undefined) return refused('conflict', conflict)
    const toOne = [...this.#promises.values()].filter(promise => promise.from === from).length
    if (this.#promises.size >= MAX_PROMISES || toOne >= MAX_PROMISES_TO_ONE) {
      return refused('too-many', 'it has promised as much as it may')
    }
    const appraisal = this.#appraise(key, from, offer)
    if (appraisal.is === 'unfit') return refused(appraisal.code, appraisal.why)
    const { figures } = appraisal
    const untilMs = nowMs + BID_LASTS_MS
    this.#promises.set(key, { from, offer, reservation: nonce, figures, at: 'offered', untilMs })
    return { is: 'bid', figures, reservation: nonce, lastsMs: BID_LASTS_MS }
  }

  /**
   * A chunk is promised a place once. The same source asks again only if its earlier negotiation is
   * dead, whatever we heard of it; two sources cannot both hold it, so the first is believed.
   */
  #makeWay(from: NodeId, offer: Offer, nowMs: number): string | undefined {
    for (const [key, promise] of this.#promises) {
      if (promise.at === 'arrived' || !overlap(promise.offer, offer)) continue
      if (promise.from !== from) return 'another node offers a chunk of these'
      this.#end(key, nowMs)
    }
    return undefined
  }

  #appraise(key: string, from: NodeId, offer: Offer): Appraisal {
    const others = [...this.#promises].filter(([known]) => known !== key).map(([, one]) => one)
    const appraisal = this.#worst(offer, from, others)
    if (appraisal.is === 'fit' && appraisal.figures.freeBytes < 0) {
      return { is: 'unfit', code: 'no-space', why: 'not enough space is free' }
    }
    return appraisal
  }

  /**
   * What others were only bid may never come. Overload that it would bring must not hide what this
   * offer brings alone: being above a threshold counts once.
   */
  #worst(offer: Offer, from: NodeId, others: readonly LedgerPromise[]): Appraisal {
    const all = this.#options.appraise(offer, from, others)
    const bound = others.filter(({ at }) => at !== 'offered')
    if (all.is === 'unfit' || bound.length === others.length) return all
    const least = this.#options.appraise(offer, from, bound)
    if (least.is === 'unfit') return least
    const addedExcess = Math.max(all.figures.addedExcess, least.figures.addedExcess)
    return { is: 'fit', figures: { ...all.figures, addedExcess } }
  }

  #award(from: NodeId, { id, reservation, leaseMs }: Award, nowMs: number): NegotiateAnswer {
    const key = keyOf(from, id)
    const promise = this.#promises.get(key)
    if (promise === undefined || promise.reservation !== reservation) return unknown()
    if (promise.at === 'arrived') return refused('over', 'that move has ended')
    if (promise.at === 'offered') {
      const appraisal = this.#appraise(key, from, promise.offer)
      if (appraisal.is === 'unfit') {
        this.#end(key, nowMs)
        return refused(appraisal.code, appraisal.why)
      }
    }
    this.#lease(key, promise, nowMs, leaseMs)
    return { is: 'awarded' }
  }

  #keep(from: NodeId, { id, reservation, leaseMs }: Keep, nowMs: number): NegotiateAnswer {
    const key = keyOf(from, id)
    const promise = this.#promises.get(key)
    const isKept = promise?.at === 'awarded' && promise.reservation === reservation
    if (!isKept) return unknown()
    this.#lease(key, promise, nowMs, leaseMs)
    return { is: 'kept' }
  }

  #lease(key: string, promise: LedgerPromise, nowMs: number, leaseMs: number): void {
    assert(this.#promises.has(key), 'what is leased was promised')
    const untilMs = Math.max(promise.untilMs, nowMs + Math.min(leaseMs, MAX_LEASE_MS))
    this.#promises.set(key, { ...promise, at: 'awarded', untilMs })
  }

  #settle(from: NodeId, { id, outcome }: Settle, nowMs: number): void {
    const key = keyOf(from, id)
    const promise = this.#promises.get(key)
    if (promise?.at === 'arrived') return
    this.#end(key, nowMs)
    if (promise?.at !== 'awarded' || outcome !== 'done') return
    const untilMs = nowMs + (this.#options.arrivedCountsMs ?? ARRIVED_COUNTS_MS)
    this.#promises.set(key, { ...promise, at: 'arrived', untilMs })
  }

  /** Also of what was never heard of: its offer may still be on the way. */
  #end(key: string, nowMs: number): void {
    if (this.#promises.get(key)?.at === 'arrived') return
    this.#promises.delete(key)
    this.#ends.delete(key)
    this.#ends.set(key, nowMs + END_REMEMBERED_MS)
  }
}

/** Bytes that are promised and have not come. */
export function promisedBytes(promises: readonly LedgerPromise[]): number {
  return promises.reduce((sum, { at, offer }) => (at === 'arrived' ? sum : sum + offer.bytes), 0)
}

function repeated(known: LedgerPromise, offer: Offer, nowMs: number): NegotiateAnswer {
  if (known.at === 'arrived') return refused('over', 'that move has ended')
  const isSame = known.offer.volume === offer.volume && known.offer.bytes === offer.bytes
  if (!isSame) return refused('conflict', 'that id is of another offer')
  const lastsMs = Math.floor(Math.min(BID_LASTS_MS, known.untilMs - nowMs))
  return { is: 'bid', figures: known.figures, reservation: known.reservation, lastsMs }
}

function unknown(): NegotiateAnswer {
  return refused('unknown', 'there is no such promise: it has expired, or was withdrawn')
}

function keyOf(from: NodeId, id: string): string {
  return `${from}/${id}`
}
