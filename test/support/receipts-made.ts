/** Receipts for tests: one that is whole, and arbitrary ones that a node could write. */
import fc from 'fast-check'
import type { Outcome, Receipt } from '../../protocols/balance/receipt.ts'
import type { ReceiptEntry } from '../../protocols/balance/receipt-file.ts'
import { MAX_ALTERNATIVES, MAX_RECEIPT_RANGES } from '../../protocols/balance/receipt-limits.ts'
import { NO_SCORE } from '../../protocols/balance/score.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { nodeId } from './gateway-mesh.ts'
import { volumeId } from './shard-harness.ts'

export const SOURCE = nodeId('host-a')
export const TARGET = nodeId('host-b')
export const V = volumeId(1)
export const DECIDED_AT = Date.UTC(2026, 0, 15, 13, 5)
const MINUTE_MS = 60_000

export function outcomeMade(more: Partial<Outcome> = {}): Outcome {
  return {
    judgedAt: DECIDED_AT + 85 * MINUTE_MS,
    wasNeeded: true,
    sourcePeak: 640,
    sourcePeakWithout: 1100,
    sourceThreshold: 800,
    targetPeak: 510,
    targetThreshold: 900,
    targetStayedWell: true,
    avoidedMinutes: 25,
    sufferedMinutes: 0,
    longestPauseMs: 12,
    ...more
  }
}

/** A predicted move that ended 22 minutes before the threshold could be exceeded. */
export function receiptMade(more: Partial<Receipt> = {}): Receipt {
  return {
    id: '3fa9c2d01b7e',
    keptBy: 'source',
    source: SOURCE,
    target: TARGET,
    volume: V,
    chunks: 3,
    bytes: 192 * 2 ** 20,
    reason: 'predicted',
    why: '',
    decidedAt: DECIDED_AT,
    startedAt: DECIDED_AT + 22 * MINUTE_MS,
    endedAt: DECIDED_AT + 23 * MINUTE_MS - 19_000,
    state: 'done',
    predicted: {
      subject: 'node',
      threshold: 800,
      highAtMs: DECIDED_AT + 45 * MINUTE_MS,
      expectedAtMs: DECIDED_AT + 50 * MINUTE_MS,
      expectedPeak: 930,
      highPeak: 1240,
      volume: 120_000,
      overMs: 35 * MINUTE_MS,
      horizonMs: 60 * MINUTE_MS,
      movedExpectedPeak: 320,
      movedHighPeak: 410
    },
    alternatives: [
      {
        node: TARGET,
        is: 'chosen',
        why: '',
        bid: { headroom: 390, addedExcess: 0, freeBytes: 2 ** 36, rttMs: 2.1 },
        score: 1.5
      },
      {
        node: nodeId('host-c'),
        is: 'outbid',
        why: 'less headroom',
        bid: { headroom: 40, addedExcess: 300, freeBytes: 2 ** 35 },
        score: 7
      }
    ],
    cost: { benefit: 118_000, cost: 9_300, copyMs: 40_000 },
    movedChunks: 3,
    longestPauseMs: 12,
    ...more
  }
}

/** Any numbers and words, also those that do not fit. */
const wild = fc.oneof(fc.double(), fc.integer(), fc.constant(Number.POSITIVE_INFINITY))
const words = fc.string({ unit: 'binary', maxLength: 400 })
const time = fc.oneof(fc.integer({ min: 0, max: 2 ** 45 }), wild)
const node = fc.integer({ min: 0, max: 40 }).map((i): NodeId => nodeId(`host-${i}`))

/** As careless as a caller can be: any numbers, any words, too many alternatives. */
export const anyReceipt: fc.Arbitrary<Receipt> = fc
  .record(
    {
      chunks: wild,
      bytes: wild,
      why: words,
      decidedAt: time,
      state: fc.constantFrom('open', 'done', 'failed', 'cancelled'),
      reason: fc.constantFrom('predicted', 'reactive', 'home', 'asked', 'drain'),
      startedAt: time,
      endedAt: time,
      trouble: words,
      movedChunks: wild,
      longestPauseMs: wild,
      unjudged: words,
      alternatives: fc.array(
        fc.record(
          {
            node,
            is: fc.constantFrom('chosen', 'outbid', 'declined', 'silent', 'unfit'),
            why: words,
            score: wild,
            bid: fc.record(
              { headroom: wild, addedExcess: wild, freeBytes: wild, rttMs: wild },
              { requiredKeys: ['headroom', 'addedExcess', 'freeBytes'] }
            )
          },
          { requiredKeys: ['node', 'is', 'why'] }
        ),
        { maxLength: MAX_ALTERNATIVES + 4 }
      ),
      cost: fc.record({ benefit: wild, cost: wild, copyMs: wild }),
      outcome: fc
        .record({ judgedAt: time, sourcePeak: wild, targetPeak: wild, avoidedMinutes: wild })
        .map(outcomeMade)
    },
    {
      requiredKeys: ['chunks', 'bytes', 'why', 'decidedAt', 'state', 'reason', 'alternatives']
    }
  )
  .map(more => ({ ...receiptOf(more), ...more }) as Receipt)

function receiptOf({ decidedAt }: { decidedAt: number }): Receipt {
  const { startedAt: _s, endedAt: _e, cost: _c, ...rest } = receiptMade()
  const { movedChunks: _m, longestPauseMs: _l, ...bare } = rest
  const id = Math.abs(Math.trunc(decidedAt) || 0)
  return {
    ...bare,
    id: id
      .toString(16)
      .padStart(12, '0')
      .slice(-12)
      .replace(/[^0-9a-f]/g, '0')
  }
}

export const anyEntry = (receipt: fc.Arbitrary<Receipt>): fc.Arbitrary<ReceiptEntry> =>
  fc.oneof(
    fc.record(
      {
        receipt,
        isTold: fc.boolean(),
        ranges: fc.array(
          fc.record({
            generation: fc.integer({ min: 0, max: 0xffff }),
            column: fc.integer({ min: 0, max: 255 }),
            replica: fc.integer({ min: 0, max: 255 }),
            from: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
            to: fc.integer({ min: 0, max: 2 ** 32 - 1 })
          }),
          { maxLength: Math.min(4, MAX_RECEIPT_RANGES) }
        )
      },
      { requiredKeys: ['receipt', 'isTold'] }
    ),
    fc
      .record({ day: fc.nat(30_000), needed: fc.nat(), sufferedMinutes: fc.nat() })
      .map(more => ({ day: { ...NO_SCORE, ...more }, scoredTo: more.day * 86_400_000 }))
  )
