// Goal: a node that is asked about its balancing answers, however much it would have to say: within
//   the schema, and within a message; and nothing that arrives makes a decoder throw.
// Method: the most there can be of everything, with words of three bytes and numbers that are none.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fitPlan, fitStatus } from '../../node/balance/fit.ts'
import { ReceiptBook } from '../../node/balance/receipt-book.ts'
import type { BalanceStatus, IncurableView, PlanView } from '../../node/balance/types.ts'
import {
  type BalanceAnswer,
  balanceAnswerSchema,
  balanceRequestSchema
} from '../../protocols/balance/messages.ts'
import { fitReceipt } from '../../protocols/balance/receipt-schema.ts'
import { encodeCbor } from '../../protocols/cbor.ts'
import { MAX_CONTROL_MESSAGE_BYTES } from '../../protocols/limits.ts'
import { receiptMade, SOURCE, TARGET, V } from '../support/receipts-made.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const MANY = 500
const words = '€'.repeat(2_000)
const excess = {
  subject: 'node',
  threshold: Number.POSITIVE_INFINITY,
  highAtMs: 1e300,
  expectedAtMs: -5,
  expectedPeak: Number.NaN,
  highPeak: 1e200,
  volume: 1,
  overMs: 1,
  horizonMs: 1
} as const
const alternatives = Array.from({ length: MANY }, () => ({
  node: TARGET,
  is: 'outbid' as const,
  why: words,
  bid: { headroom: Number.NEGATIVE_INFINITY, addedExcess: -1, freeBytes: 1e300, rttMs: -1 },
  score: Number.NaN
}))
const incurable: IncurableView[] = Array.from({ length: MANY }, () => ({
  volume: V,
  why: words,
  excess
}))

function travels(answer: BalanceAnswer): void {
  expect(balanceAnswerSchema.parse(answer)).toEqual(answer)
  expect(encodeCbor(answer).length).toBeLessThan(MAX_CONTROL_MESSAGE_BYTES)
}

describe(`answers about balancing (SEED=${SEED})`, () => {
  it('are within bounds: a status', () => {
    const status: BalanceStatus = {
      at: 1,
      settings: { isPaused: false, thresholdPart: 0.8, horizonMinutes: 60, movesPerHour: 12 },
      load: Number.NaN,
      capacity: Number.POSITIVE_INFINITY,
      threshold: 1e300,
      excess,
      incurable,
      underWay: Array.from({ length: MANY }, () => ({
        id: 'aaaaaaaaaaaa',
        volume: V,
        reason: 'home' as const,
        at: 'moving' as const,
        to: TARGET,
        since: 1,
        bytes: -1
      })),
      promises: Array.from({ length: MANY }, () => ({
        id: 'aaaaaaaaaaaa',
        from: SOURCE,
        volume: V,
        bytes: 1e300,
        highPeak: Number.NaN,
        at: 'awarded' as const
      })),
      movesLeft: -3,
      problems: Array(MANY).fill(words)
    }
    travels({ is: 'status', status: fitStatus(status) })
  })

  it('are within bounds: a plan', () => {
    const chunk = { volume: V, extent: 2 ** 32 - 1, generation: 1, column: 255, replica: 0 }
    const loads = Array(MANY).fill(1 / 3)
    const want = {
      volume: V,
      reason: 'predicted' as const,
      chunks: Array.from({ length: MANY }, () => ({ chunk, share: 2, bytes: 1e300 })),
      bytes: 1,
      path: { atMs: 1, stepMs: 1, expected: loads, high: loads },
      excess,
      benefit: Number.POSITIVE_INFINITY,
      cost: Number.NaN,
      copyMs: 1
    }
    const wants = Array.from({ length: MANY }, () => ({
      want,
      why: words,
      candidates: alternatives
    }))
    const plan: PlanView = { at: 1, excess, wants, incurable, left: Array(MANY).fill(words) }
    travels({ is: 'plan', plan: fitPlan(plan) })
  })

  it('are within bounds: receipts, which go on in the next answer', () => {
    const book = new ReceiptBook()
    for (let i = 0; i < 300; i++) {
      const id = i.toString(16).padStart(12, '0')
      const receipt = fitReceipt(receiptMade({ id, alternatives, why: words, trouble: words }))
      book.put({ receipt, isTold: true })
    }
    const seen = new Set<string>()
    let before: ReturnType<ReceiptBook['list']>['next']
    do {
      const { receipts, next } = book.list({ limit: 200, ...(before && { before }) })
      for (const { id } of receipts) seen.add(id)
      const listed = receipts.map(one => ({ ...one, alternatives: [...one.alternatives] }))
      travels({ is: 'receipts', receipts: listed, ...(next && { next }) })
      before = next
    } while (before !== undefined)
    expect(seen.size).toBe(300)
  })

  it('and what is asked is decoded or refused, whatever it is', () => {
    const calls = fc.constantFrom('status', 'set', 'plan', 'receipts', 'score', 'keep', 'after')
    const message = fc.record({
      call: calls,
      change: fc.anything(),
      query: fc.anything(),
      receipt: fc.anything(),
      days: fc.anything()
    })
    fc.assert(
      fc.property(fc.oneof(fc.anything(), message), value => {
        expect(typeof balanceRequestSchema.safeParse(value).success).toBe('boolean')
        expect(typeof balanceAnswerSchema.safeParse(value).success).toBe('boolean')
      }),
      { seed: SEED, numRuns: 200 }
    )
  })
})
