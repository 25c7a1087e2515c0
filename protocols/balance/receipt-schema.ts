/**
 * Receipts as they travel and are kept: their schema, and how a receipt is made to fit it.
 *
 * Invariants: decoding is total and bounded; `fitReceipt` makes of every receipt one that decodes,
 * whatever its words and numbers are, so that no move fails because of its receipt.
 */
import { z } from 'zod'
import { MAX_COUNTER } from '../limits.ts'
import { moveIdSchema, nodeIdSchema, volumeIdSchema } from '../moves/messages.ts'
import type { Alternative, Outcome, Receipt } from './receipt.ts'
import { MAX_ALTERNATIVES, MAX_BALANCE_AMOUNT, MAX_RECEIPT_WHY_CHARS } from './receipt-limits.ts'
import type { BidFigures, Excess } from './types.ts'

export const amountSchema = z.number().min(0).max(MAX_BALANCE_AMOUNT)
/** Either sign. */
export const figureSchema = z.number().min(-MAX_BALANCE_AMOUNT).max(MAX_BALANCE_AMOUNT)
export const timeSchema = z.number().min(0).max(MAX_COUNTER)
export const countSchema = z.number().int().min(0).max(MAX_COUNTER)
export const wordsSchema = z.string().max(MAX_RECEIPT_WHY_CHARS)

export const reasonSchema = z.enum(['predicted', 'reactive', 'home', 'asked', 'drain'])

export const bidSchema = z.strictObject({
  headroom: figureSchema,
  addedExcess: amountSchema,
  freeBytes: amountSchema,
  rttMs: amountSchema.optional()
})

export const alternativeSchema = z.strictObject({
  node: nodeIdSchema,
  is: z.enum(['chosen', 'outbid', 'declined', 'silent', 'unfit']),
  why: wordsSchema,
  bid: bidSchema.optional(),
  score: figureSchema.optional()
})

export const excessSchema = z.strictObject({
  subject: z.enum(['node', 'shard']),
  threshold: amountSchema,
  highAtMs: timeSchema,
  expectedAtMs: timeSchema.optional(),
  expectedPeak: amountSchema,
  highPeak: amountSchema,
  volume: amountSchema,
  overMs: amountSchema,
  horizonMs: amountSchema
})

export const outcomeSchema = z.strictObject({
  judgedAt: timeSchema,
  wasNeeded: z.boolean(),
  sourcePeak: amountSchema,
  sourcePeakWithout: amountSchema,
  sourceThreshold: amountSchema,
  targetPeak: amountSchema,
  targetThreshold: amountSchema,
  targetStayedWell: z.boolean(),
  avoidedMinutes: amountSchema,
  sufferedMinutes: amountSchema,
  longestPauseMs: amountSchema.optional()
})

export const receiptSchema = z.strictObject({
  id: moveIdSchema,
  keptBy: z.enum(['source', 'target']),
  source: nodeIdSchema,
  target: nodeIdSchema,
  volume: volumeIdSchema,
  chunks: countSchema,
  bytes: amountSchema,
  reason: reasonSchema,
  why: wordsSchema,
  decidedAt: timeSchema,
  startedAt: timeSchema.optional(),
  endedAt: timeSchema.optional(),
  state: z.enum(['open', 'done', 'failed', 'cancelled']),
  trouble: wordsSchema.optional(),
  predicted: z
    .strictObject({
      ...excessSchema.shape,
      movedHighPeak: amountSchema,
      movedExpectedPeak: amountSchema
    })
    .optional(),
  alternatives: z.array(alternativeSchema).max(MAX_ALTERNATIVES),
  cost: z
    .strictObject({ benefit: amountSchema, cost: amountSchema, copyMs: amountSchema })
    .optional(),
  movedChunks: countSchema.optional(),
  longestPauseMs: amountSchema.optional(),
  outcome: outcomeSchema.optional(),
  unjudged: wordsSchema.optional()
})

/** A receipt whose optional fields may be there and undefined, as zod types what it decoded. */
type Loose = z.infer<typeof receiptSchema>

/** Undefined: it is none. */
export function readReceipt(value: unknown): Receipt | undefined {
  const parsed = receiptSchema.safeParse(value)
  return parsed.success ? asReceipt(parsed.data) : undefined
}

/** Without fields that are there and undefined: zod allows them, the type does not. */
export function asReceipt(loose: Loose): Receipt {
  return withoutUndefined(loose) as Receipt
}

/** The same receipt within all bounds: words are cut, numbers brought to the nearest that counts. */
export function fitReceipt(receipt: Receipt): Receipt {
  const { predicted, cost, outcome } = receipt
  const fitted = {
    ...receipt,
    ...times(receipt, ['decidedAt', 'startedAt', 'endedAt']),
    chunks: count(receipt.chunks),
    bytes: amount(receipt.bytes),
    why: words(receipt.why),
    trouble: receipt.trouble && words(receipt.trouble),
    unjudged: receipt.unjudged && words(receipt.unjudged),
    movedChunks: optional(receipt.movedChunks, count),
    longestPauseMs: optional(receipt.longestPauseMs, amount),
    predicted: predicted && {
      ...fitExcess(predicted),
      movedHighPeak: amount(predicted.movedHighPeak),
      movedExpectedPeak: amount(predicted.movedExpectedPeak)
    },
    alternatives: chosenFirst(receipt.alternatives).slice(0, MAX_ALTERNATIVES).map(fitAlternative),
    cost: cost && {
      benefit: amount(cost.benefit),
      cost: amount(cost.cost),
      copyMs: amount(cost.copyMs)
    },
    outcome: outcome && fitOutcome(outcome)
  }
  return withoutUndefined(fitted) as Receipt
}

export function fitExcess(excess: Excess): Excess {
  const { threshold, expectedPeak, highPeak, volume, overMs, horizonMs } = excess
  return {
    subject: excess.subject,
    ...times(excess, ['highAtMs', 'expectedAtMs']),
    highAtMs: time(excess.highAtMs),
    threshold: amount(threshold),
    expectedPeak: amount(expectedPeak),
    highPeak: amount(highPeak),
    volume: amount(volume),
    overMs: amount(overMs),
    horizonMs: amount(horizonMs)
  }
}

export function fitAlternative({ node, is, why, bid, score }: Alternative): Alternative {
  return {
    node,
    is,
    why: words(why),
    ...(bid === undefined ? {} : { bid: fitBid(bid) }),
    ...(score === undefined ? {} : { score: figure(score) })
  }
}

/** What the target of a move is to keep of it: of those who were considered only itself. */
export function forTarget(receipt: Receipt): Receipt {
  const alternatives = receipt.alternatives.filter(({ node }) => node === receipt.target)
  return { ...receipt, keptBy: 'target', alternatives }
}

/** Cut to what one sentence may have. */
export function words(text: string): string {
  return text.slice(0, MAX_RECEIPT_WHY_CHARS)
}

export function amount(value: number): number {
  return Math.max(0, figure(value))
}

// -- fitting

function fitBid({ headroom, addedExcess, freeBytes, rttMs }: BidFigures): BidFigures {
  return {
    headroom: figure(headroom),
    addedExcess: amount(addedExcess),
    freeBytes: amount(freeBytes),
    ...(rttMs === undefined ? {} : { rttMs: amount(rttMs) })
  }
}

function fitOutcome(outcome: Outcome): Outcome {
  const { longestPauseMs } = outcome
  return {
    judgedAt: time(outcome.judgedAt),
    wasNeeded: outcome.wasNeeded,
    sourcePeak: amount(outcome.sourcePeak),
    sourcePeakWithout: amount(outcome.sourcePeakWithout),
    sourceThreshold: amount(outcome.sourceThreshold),
    targetPeak: amount(outcome.targetPeak),
    targetThreshold: amount(outcome.targetThreshold),
    targetStayedWell: outcome.targetStayedWell,
    avoidedMinutes: amount(outcome.avoidedMinutes),
    sufferedMinutes: amount(outcome.sufferedMinutes),
    ...(longestPauseMs === undefined ? {} : { longestPauseMs: amount(longestPauseMs) })
  }
}

/** Where there were more than fit, the one that counts stays. */
function chosenFirst(alternatives: readonly Alternative[]): Alternative[] {
  const rank = { chosen: 0, outbid: 1, declined: 2, silent: 3, unfit: 4 }
  return [...alternatives].sort((a, b) => rank[a.is] - rank[b.is])
}

function figure(value: number): number {
  if (Number.isNaN(value)) return 0
  // CBOR knows one zero only.
  return Math.min(MAX_BALANCE_AMOUNT, Math.max(-MAX_BALANCE_AMOUNT, value)) + 0
}

function count(value: number): number {
  return Math.min(MAX_COUNTER, Math.round(amount(value)))
}

function time(value: number): number {
  return Math.min(MAX_COUNTER, amount(value))
}

function optional<T>(value: T | undefined, bring: (value: T) => T): T | undefined {
  return value === undefined ? undefined : bring(value)
}

function times<K extends string>(
  from: { readonly [name in K]?: number },
  names: readonly K[]
): { [name in K]?: number } {
  const found: { [name in K]?: number } = {}
  for (const name of names) {
    const value = from[name]
    if (value !== undefined) found[name] = time(value)
  }
  return found
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) =>
      inner === undefined ? [] : [[name, withoutUndefined(inner)]]
    )
  )
}
