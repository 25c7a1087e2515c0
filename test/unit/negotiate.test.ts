// Goal: the rules of a negotiation that a random run only brushes: what overtakes, repeats or expires
// changes nothing; a promise is its asker's alone; records of peers fade, and are bounded.
// Method: the ledger, the machine and the record by hand, time as numbers.
import { describe, expect, it } from 'vitest'
import type { BidFigures, LoadPath } from '../../protocols/balance/types.ts'
import type { NodeId, Nonce, VolumeId } from '../../protocols/ids.ts'
import { type Appraise, Ledger, promisedBytes } from '../../protocols/negotiate/ledger.ts'
import {
  ARRIVED_COUNTS_MS,
  BID_LASTS_MS,
  BIDS_MS,
  CALL_MS,
  FIRST_KEEP_MS,
  KEEPS_PER_LEASE,
  MAX_KEEPS,
  MAX_MESSAGES_PER_MOVE,
  MAX_OFFER_STEPS,
  MAX_PROMISES,
  MAX_PROMISES_TO_ONE,
  MAX_RECORDS,
  RECORD_HALVES_MS
} from '../../protocols/negotiate/limits.ts'
import {
  type NegotiateAnswer,
  type NegotiateRequest,
  negotiateRequestSchema,
  type Offer,
  offeredPath
} from '../../protocols/negotiate/messages.ts'
import { begin, step } from '../../protocols/negotiate/offer.ts'
import { resume } from '../../protocols/negotiate/offer-move.ts'
import type { OfferEvent, OfferStep, Rank } from '../../protocols/negotiate/offer-types.ts'
import { OpenOffers } from '../../protocols/negotiate/open-offers.ts'
import { Trust } from '../../protocols/negotiate/trust.ts'
import { randomNodeId } from '../support/load-mesh.ts'
import { SeededRandom } from '../support/process-random.ts'

const random = new SeededRandom(1)
const [A, B, C] = [randomNodeId(random), randomNodeId(random), randomNodeId(random)]
const HOUR_MS = 3_600_000
const PATH: LoadPath = { atMs: 0, stepMs: 300_000, expected: [5, 6], high: [10, 12] }
const FREE = 100

function offerOf(number: number, change: Partial<Offer> = {}): Offer {
  return {
    call: 'offer',
    id: number.toString(16).padStart(12, '0'),
    volume: number.toString(16).padStart(32, '0') as VolumeId,
    ranges: [{ generation: 1, column: 0, replica: 0, from: 0, to: 4 }],
    bytes: 40,
    path: PATH,
    reason: 'predicted',
    copyMs: 60_000,
    horizonMs: HOUR_MS,
    ...change
  }
}

const bySpace: Appraise = (offer, __, promised) => {
  const freeBytes = FREE - promisedBytes(promised) - offer.bytes
  return { is: 'fit', figures: { headroom: 1, addedExcess: 0, freeBytes } }
}

/** A bidder to whom time is told; every request brings a fresh nonce. */
function bidder(appraise = bySpace) {
  const ledger = new Ledger({ appraise })
  let nonces = 0
  const ask = (from: NodeId, request: NegotiateRequest, nowMs = 0): NegotiateAnswer => {
    const nonce = (++nonces).toString(16).padStart(16, '0') as Nonce
    return ledger.answer(from, request, { nowMs, nonce })
  }
  return { ledger, ask }
}

function bidOf(answer: NegotiateAnswer): Nonce {
  if (answer.is !== 'bid') throw new Error(`no bid but ${JSON.stringify(answer)}`)
  return answer.reservation
}

const awardOf = (offer: Offer, reservation: Nonce, leaseMs = 180_000) =>
  ({ call: 'award', id: offer.id, reservation, leaseMs }) as const
const withdrawalOf = ({ id }: Offer) => ({ call: 'withdraw', id }) as const
const settledOf = ({ id }: Offer) => ({ call: 'settle', id, outcome: 'done' }) as const

describe('the ledger of a bidder', () => {
  it('bids with what is left after all that it has promised, and refuses the rest', () => {
    const { ask } = bidder()
    expect(ask(A, offerOf(1))).toMatchObject({ is: 'bid', figures: { freeBytes: 60 } })
    expect(ask(B, offerOf(2))).toMatchObject({ is: 'bid', figures: { freeBytes: 20 } })
    expect(ask(C, offerOf(3))).toMatchObject({ is: 'refused', code: 'no-space' })
    ask(A, withdrawalOf(offerOf(1)))
    expect(ask(C, offerOf(4))).toMatchObject({ is: 'bid' })
  })

  it('says the worse of what an offer adds with all that it bid on, and without', () => {
    // Above its threshold by the first, the second costs it little more.
    const { ask } = bidder((offer, from, promised) => {
      const bare = bySpace(offer, from, promised)
      if (bare.is === 'unfit') return bare
      const addedExcess = promised.length === 0 ? 90 : 10
      return { is: 'fit', figures: { ...bare.figures, addedExcess } }
    })
    const first = bidOf(ask(A, offerOf(1)))
    expect(ask(B, offerOf(2))).toMatchObject({ figures: { addedExcess: 90 } })
    ask(B, withdrawalOf(offerOf(2)))
    ask(A, awardOf(offerOf(1), first))
    expect(ask(B, offerOf(3))).toMatchObject({ figures: { addedExcess: 10 } })
  })

  it('gives the same bid to the same offer, however often it comes', () => {
    const { ask, ledger } = bidder()
    const first = ask(A, offerOf(1))
    expect(ask(A, offerOf(1))).toEqual(first)
    expect(ask(A, offerOf(1, { bytes: 50 }))).toMatchObject({ is: 'refused', code: 'conflict' })
    expect(ledger.promises(0)).toHaveLength(1)
  })

  it('promises nothing to an offer that its own withdrawal has overtaken', () => {
    const { ask, ledger } = bidder()
    expect(ask(A, withdrawalOf(offerOf(1)))).toEqual({ is: 'noted' })
    expect(ask(A, offerOf(1))).toMatchObject({ is: 'refused', code: 'over' })
    expect(ledger.isEmpty).toBe(true)
  })

  it('lets nobody but the asker withdraw, take or end a promise', () => {
    const { ask, ledger } = bidder()
    const reservation = bidOf(ask(A, offerOf(1)))
    ask(B, withdrawalOf(offerOf(1)))
    ask(B, settledOf(offerOf(1)))
    expect(ask(B, awardOf(offerOf(1), reservation))).toMatchObject({ code: 'unknown' })
    expect(ledger.find(A, offerOf(1).id)?.at).toBe('offered')
  })

  it('is bound by a bid until it expires, and no longer', () => {
    const { ask, ledger } = bidder()
    const first = bidOf(ask(A, offerOf(1)))
    expect(ask(A, awardOf(offerOf(1), first), BID_LASTS_MS - 1)).toEqual({ is: 'awarded' })
    const second = bidOf(ask(A, offerOf(2)))
    expect(ask(A, awardOf(offerOf(2), second), BID_LASTS_MS)).toMatchObject({ code: 'unknown' })
    expect(ledger.promises(BID_LASTS_MS)).toHaveLength(1)
  })

  it('keeps what is awarded while it is renewed', () => {
    const { ask, ledger } = bidder()
    const reservation = bidOf(ask(A, offerOf(1)))
    ask(A, awardOf(offerOf(1), reservation))
    const keep = { call: 'keep', id: offerOf(1).id, reservation, leaseMs: HOUR_MS } as const
    expect(ask(A, keep, 170_000)).toEqual({ is: 'kept' })
    expect(ledger.promises(HOUR_MS)).toHaveLength(1)
    expect(ask(A, keep, 2 * HOUR_MS)).toMatchObject({ code: 'unknown' })
    expect(ledger.isEmpty).toBe(true)
  })

  it('looks again when it is awarded', () => {
    let isFull = false
    const { ask, ledger } = bidder((offer, from, promised) =>
      isFull ? { is: 'unfit', code: 'draining', why: 'emptied' } : bySpace(offer, from, promised)
    )
    const reservation = bidOf(ask(A, offerOf(1)))
    isFull = true
    const answer = ask(A, awardOf(offerOf(1), reservation))
    expect(answer).toMatchObject({ is: 'refused', code: 'draining' })
    expect(ledger.isEmpty).toBe(true)
  })

  it('counts the load of what has come until forecasts have it, but not its space', () => {
    const { ask, ledger } = bidder()
    const reservation = bidOf(ask(A, offerOf(1)))
    ask(A, awardOf(offerOf(1), reservation))
    ask(A, settledOf(offerOf(1)), 1_000)
    ask(A, settledOf(offerOf(1)), 2_000)
    expect(ask(A, offerOf(1), 3_000)).toMatchObject({ code: 'over' })
    const promises = ledger.promises(1_000 + ARRIVED_COUNTS_MS - 1)
    expect(promises).toMatchObject([{ at: 'arrived' }])
    expect(promisedBytes(promises)).toBe(0)
    expect(ledger.promises(1_000 + ARRIVED_COUNTS_MS)).toEqual([])
  })

  it('forgets an older offer of the same chunks when its source asks anew', () => {
    const { ask, ledger } = bidder()
    bidOf(ask(A, offerOf(1)))
    const volume = offerOf(1).volume
    bidOf(ask(A, offerOf(2, { volume })))
    expect(ask(B, offerOf(3, { volume }))).toMatchObject({ code: 'conflict' })
    expect(ledger.promises(0).map(({ offer }) => offer.id)).toEqual([offerOf(2).id])
  })

  it('promises a bounded number, to all and to one', () => {
    const { ask, ledger } = bidder()
    const count = (from: NodeId, first: number): number =>
      Array.from({ length: MAX_PROMISES }, (_, i) =>
        ask(from, offerOf(first + i, { bytes: 0 }))
      ).filter(({ is }) => is === 'bid').length
    expect(count(A, 1)).toBe(MAX_PROMISES_TO_ONE)
    for (let i = 1; i < 20; i++) count(randomNodeId(random), i * 1_000)
    expect(ledger.promises(0)).toHaveLength(MAX_PROMISES)
  })
})

const byHeadroom: Rank = bids =>
  bids
    .map(({ node, figures }) => ({
      node,
      score: -figures.headroom,
      why: 'by headroom',
      isFit: figures.headroom > 0
    }))
    .sort((a, b) => a.score - b.score)

const bid = (headroom: number): NegotiateAnswer => {
  const figures: BidFigures = { headroom, addedExcess: 0, freeBytes: 1 }
  return { is: 'bid', figures, reservation: '00000000000000aa' as Nonce, lastsMs: BID_LASTS_MS }
}

/** One negotiation, told what happens; remembers what it did. */
function talk(first: OfferStep) {
  let { state } = first
  const done: string[] = []
  const take = (next: OfferStep): void => {
    state = next.state
    for (const effect of next.effects) {
      if (effect.type === 'send') done.push(`${effect.request.call} ${nameOf(effect.to)}`)
      if (effect.type === 'start') done.push(`start ${nameOf(effect.to)}`)
      if (effect.type === 'end') done.push(`end ${effect.end.is}`)
    }
  }
  take(first)
  const tell = (event: OfferEvent, nowMs: number): string[] => {
    done.length = 0
    take(step(state, event, { nowMs, rank: byHeadroom }))
    return [...done]
  }
  const hear = (from: NodeId, serial: number, answer: NegotiateAnswer, nowMs: number) =>
    tell({ type: 'answered', from, serial, answer }, nowMs)
  return { tell, hear, state: () => state, first: [...done] }
}

function nameOf(node: NodeId): string {
  return node === A ? 'A' : node === B ? 'B' : 'C'
}

const NO: NegotiateAnswer = { is: 'refused', code: 'no-headroom', why: 'too much' }

describe('the source of a negotiation', () => {
  it('awards the best, goes on to the next when it refuses, and tells those who lost', () => {
    const { hear, first } = talk(begin(offerOf(1), [A, B, C], 0))
    expect(first).toEqual(['offer A', 'offer B', 'offer C'])
    expect(hear(A, 1, bid(5), 10)).toEqual([])
    expect(hear(B, 2, bid(9), 20)).toEqual([])
    expect(hear(C, 3, bid(7), 30)).toEqual(['award B'])
    expect(hear(B, 4, NO, 40)).toEqual(['award C'])
    expect(hear(B, 4, { is: 'awarded' }, 45)).toEqual([])
    expect(hear(C, 5, { is: 'awarded' }, 50)).toEqual(['start C', 'withdraw A'])
    expect(hear(C, 5, { is: 'awarded' }, 60)).toEqual([])
  })

  it('does not wait for the silent, and tells them too: they may have heard', () => {
    const { tell, hear } = talk(begin(offerOf(1), [A, B], 0))
    hear(A, 1, bid(5), 10)
    expect(tell({ type: 'tick' }, BIDS_MS - 1)).toEqual([])
    expect(tell({ type: 'tick' }, BIDS_MS)).toEqual(['award A'])
    expect(hear(B, 2, bid(50), BIDS_MS + 5)).toEqual([])
    expect(hear(A, 3, { is: 'awarded' }, BIDS_MS + 9)).toEqual(['start A', 'withdraw B'])
  })

  it('awards the same one twice before the next, and a late yes to the first counts for nobody', () => {
    const { tell, hear } = talk(begin(offerOf(1), [A, B], 0))
    hear(A, 1, bid(5), 10)
    expect(hear(B, 2, bid(9), 20)).toEqual(['award B'])
    expect(tell({ type: 'tick' }, 20 + CALL_MS)).toEqual(['award B'])
    expect(tell({ type: 'silent', from: B, serial: 3 }, 21 + CALL_MS)).toEqual([])
    expect(tell({ type: 'tick' }, 20 + 2 * CALL_MS)).toEqual(['award A'])
    expect(hear(B, 4, { is: 'awarded' }, 30 + 2 * CALL_MS)).toEqual([])
    const started = hear(A, 5, { is: 'awarded' }, 40 + 2 * CALL_MS)
    expect(started).toEqual(['start A', 'withdraw B'])
  })

  it('ends with nobody if all are unfit, and takes back what was asked', () => {
    const { hear } = talk(begin(offerOf(1), [A, B], 0))
    hear(A, 1, NO, 10)
    expect(hear(B, 2, bid(-1), 20)).toEqual(['withdraw B', 'end nobody'])
  })

  it('can be called off until it is awarded', () => {
    const { hear, tell } = talk(begin(offerOf(1), [A], 0))
    hear(A, 1, bid(1), 10)
    expect(tell({ type: 'cancel', why: 'gone' }, 20)).toEqual(['withdraw A', 'end cancelled'])
    expect(hear(A, 2, { is: 'awarded' }, 30)).toEqual([])
  })

  it('renews ever more seldom, and settles, within the bound of messages', () => {
    const promise = { id: offerOf(1).id, reservation: '00000000000000aa' as Nonce }
    const { tell, state } = talk(resume(A, promise, 0))
    let keeps = 0
    for (let nowMs = 0; nowMs < 100 * HOUR_MS; nowMs += 30_000) {
      keeps += tell({ type: 'tick' }, nowMs).length
    }
    expect(keeps).toBeGreaterThan(24)
    expect(tell({ type: 'moved', outcome: 'done' }, 101 * HOUR_MS)).toEqual(['settle A'])
    for (let i = 0; i < 5; i++) tell({ type: 'tick' }, 102 * HOUR_MS + i * CALL_MS)
    expect(state()).toMatchObject({ at: 'over' })
    expect(state()).toHaveProperty('sent')
    expect(keeps + 3).toBeLessThanOrEqual(MAX_MESSAGES_PER_MOVE)
  })
})

it('keeps a promise while two of three renewals are lost', () => {
  const { ask, ledger } = bidder()
  const reservation = bidOf(ask(A, offerOf(1)))
  ask(A, awardOf(offerOf(1), reservation, KEEPS_PER_LEASE * FIRST_KEEP_MS))
  const rank: Rank = () => []
  let state = resume(B, { id: offerOf(1).id, reservation }, FIRST_KEEP_MS).state
  let keeps = 0
  for (let nowMs = FIRST_KEEP_MS; nowMs < 20 * HOUR_MS; nowMs += 10_000) {
    const next = step(state, { type: 'tick' }, { nowMs, rank })
    state = next.state
    for (const effect of next.effects) {
      if (effect.type !== 'send' || ++keeps % 3 !== 0) continue
      const answer = ask(A, effect.request, nowMs)
      expect(answer).toEqual({ is: 'kept' })
      const event = { type: 'answered', from: B, serial: effect.serial, answer } as const
      state = step(state, event, { nowMs, rank }).state
    }
    if (keeps < MAX_KEEPS) expect(ledger.promises(nowMs)).toHaveLength(1)
  }
  expect(keeps).toBeGreaterThan(40)
})

describe('the record of peers', () => {
  const honest = { headroom: 30, threshold: 100, peak: 75 }
  const lie = { headroom: 90, threshold: 100, peak: 130 }

  it('counts lies and broken bids against a peer, and forgets them in time', () => {
    const trust = new Trust()
    expect(trust.factor(A, 0)).toBe(1)
    trust.judged(A, lie, 0)
    trust.note(B, 'broke', 0)
    trust.judged(C, honest, 0)
    expect(trust.factor(A, 0)).toBeCloseTo(0.5)
    expect(trust.factor(B, 0)).toBeCloseTo(0.5)
    expect(trust.factor(C, 0)).toBe(1)
    for (let i = 0; i < 9; i++) trust.judged(A, lie, 0)
    expect(trust.factor(A, 0)).toBeLessThan(0.1)
    expect(trust.factor(A, 20 * RECORD_HALVES_MS)).toBeGreaterThan(0.99)
  })

  it('leaves the silent alone for ever longer, until they answer', () => {
    const trust = new Trust()
    let asked = 0
    for (let nowMs = 0; nowMs < 12 * HOUR_MS; nowMs += 10_000) {
      if (!trust.mayAsk(A, nowMs)) continue
      asked++
      trust.note(A, 'silent', nowMs)
    }
    expect(asked).toBeLessThan(20)
    trust.note(A, 'answered', 12 * HOUR_MS)
    expect(trust.mayAsk(A, 12 * HOUR_MS)).toBe(true)
    expect(trust.factor(A, 12 * HOUR_MS)).toBeLessThan(0.5)
  })

  it('says the same after a restart, but for what faded meanwhile, and is not restored over news', () => {
    const trust = new Trust()
    for (let i = 0; i < 3; i++) trust.judged(A, lie, HOUR_MS)
    for (let i = 0; i < 5; i++) trust.note(B, 'silent', 2 * HOUR_MS)
    trust.note(C, 'answered', 2 * HOUR_MS)
    const later = 3 * HOUR_MS
    const saved = trust.saved(2 * HOUR_MS)
    const again = new Trust()
    again.restore(saved, HOUR_MS, 7)
    for (const node of [A, B, C]) {
      expect(again.factor(node, 7)).toBeCloseTo(trust.factor(node, later))
    }
    for (const ms of [0, HOUR_MS / 2, HOUR_MS]) {
      expect(again.mayAsk(B, 7 + ms)).toBe(trust.mayAsk(B, later + ms))
    }
    again.note(B, 'answered', 8)
    again.restore(saved, HOUR_MS, 9)
    expect(again.mayAsk(B, 9)).toBe(true)
    expect(trust.saved(later + 60 * RECORD_HALVES_MS).map(({ node }) => node)).toEqual([B])
  })

  it('is bounded, and forgets first those against whom least is said', () => {
    const trust = new Trust()
    for (let i = 0; i < 5; i++) trust.judged(A, lie, 0)
    for (let i = 0; i < MAX_RECORDS + 50; i++) trust.note(randomNodeId(random), 'answered', 0)
    expect(trust.size).toBe(MAX_RECORDS)
    expect(trust.factor(A, 0)).toBeLessThan(0.2)
  })
})

it('offers no chunk twice at once', () => {
  const open = new OpenOffers()
  expect(open.open('1', offerOf(1))).toBe(true)
  const { volume } = offerOf(1)
  const [range] = offerOf(1).ranges
  if (range === undefined) throw new Error('no range')
  expect(open.open('2', { volume, ranges: [{ ...range, from: 3, to: 9 }] })).toBe(false)
  expect(open.open('3', { volume, ranges: [{ ...range, from: 4, to: 9 }] })).toBe(true)
  expect(open.has({ volume, extent: 3, generation: 1, column: 0, replica: 0 })).toBe(true)
  open.close('1')
  expect(open.has({ volume, extent: 3, generation: 1, column: 0, replica: 0 })).toBe(false)
})

it('takes of a path what is still to come, as much as an offer may carry', () => {
  const high = Array.from({ length: 40 }, (_, i) => i)
  const long: LoadPath = { atMs: 0, stepMs: 300_000, expected: high, high }
  const path = offeredPath(long, 650_000)
  expect(path).toMatchObject({ atMs: 600_000, high: high.slice(2, 2 + MAX_OFFER_STEPS) })
  expect(offeredPath(long, 40 * 300_000)).toBeUndefined()
  expect(negotiateRequestSchema.safeParse(offerOf(1, { path: long })).success).toBe(false)
  if (path === undefined) throw new Error('no path')
  expect(negotiateRequestSchema.safeParse(offerOf(1, { path })).success).toBe(true)
})
