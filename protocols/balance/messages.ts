/**
 * balance: what people, and the other end of a move, ask of a node's balancing. Unary, served by
 * every node with a store; see PROTOCOL.md beside this file.
 *
 * Invariants: nothing here moves a byte: `set` says whether and how the node may by itself; decoding
 * is total, and every list, word and number is bounded.
 */
import { z } from 'zod'
import { chunkSchema } from '../handoff/calls.ts'
import { MAX_NAME_CHARS } from '../limits.ts'
import { moveIdSchema, nodeIdSchema, REFUSALS, volumeIdSchema } from '../moves/messages.ts'
import { rangesSchema } from './receipt-file.ts'
import {
  MAX_ALTERNATIVES,
  MAX_ASKED_IDS,
  MAX_BALANCE_PROBLEMS,
  MAX_BALANCE_REGIONS,
  MAX_INCURABLE,
  MAX_JUDGED_MINUTES,
  MAX_LEFT,
  MAX_LISTED_RECEIPTS,
  MAX_PLAN_STEPS,
  MAX_PLANNED,
  MAX_PLANNED_CHUNKS,
  MAX_PROMISES,
  MAX_UNDER_WAY,
  RECEIPT_DAYS
} from './receipt-limits.ts'
import {
  alternativeSchema,
  amountSchema,
  countSchema,
  excessSchema,
  receiptSchema,
  timeSchema,
  wordsSchema
} from './receipt-schema.ts'
import { scoreDaySchema, scoreTotalsSchema } from './score.ts'
import { BOUNDS } from './settings.ts'

export const BALANCE_PROTOCOL = '/shoal/balance/1'

const part = z.number().min(0).max(1)
const reason = z.enum(['predicted', 'reactive', 'home'])

// -- settings

const within = (name: 'thresholdPart' | 'horizonMinutes' | 'movesPerHour') =>
  z.number().min(BOUNDS[name].min).max(BOUNDS[name].max)
const thresholdPart = within('thresholdPart')
const horizonMinutes = within('horizonMinutes').int()
const movesPerHour = within('movesPerHour').int()
const bytesPerHour = countSchema
const regions = z.array(z.string().min(1).max(MAX_NAME_CHARS)).min(1).max(MAX_BALANCE_REGIONS)

export const settingsSchema = z.strictObject({
  isPaused: z.boolean(),
  thresholdPart,
  horizonMinutes,
  movesPerHour,
  bytesPerHour: bytesPerHour.optional(),
  regions: regions.optional()
})
export type SettingsMessage = z.infer<typeof settingsSchema>

/** What is absent stays; null takes a bound away. */
export const settingsChangeSchema = z.strictObject({
  isPaused: z.boolean().optional(),
  thresholdPart: thresholdPart.optional(),
  horizonMinutes: horizonMinutes.optional(),
  movesPerHour: movesPerHour.optional(),
  bytesPerHour: bytesPerHour.nullable().optional(),
  regions: regions.nullable().optional()
})
export type SettingsChangeMessage = z.infer<typeof settingsChangeSchema>

// -- status

const idle = z.enum(['paused', 'draining', 'budget', 'cooling', 'blind'])
const incurable = z
  .array(
    z.strictObject({
      volume: volumeIdSchema.optional(),
      why: wordsSchema,
      excess: excessSchema.optional()
    })
  )
  .max(MAX_INCURABLE)

export const statusSchema = z.strictObject({
  at: timeSchema,
  settings: settingsSchema,
  idle: idle.optional(),
  load: amountSchema,
  capacity: amountSchema.optional(),
  threshold: amountSchema.optional(),
  thresholdFrom: z.enum(['capacity', 'usual']).optional(),
  plannedAt: timeSchema.optional(),
  excess: excessSchema.optional(),
  incurable,
  underWay: z
    .array(
      z.strictObject({
        id: moveIdSchema,
        volume: volumeIdSchema,
        reason,
        at: z.enum(['offering', 'moving', 'settling']),
        to: nodeIdSchema.optional(),
        since: timeSchema,
        bytes: amountSchema
      })
    )
    .max(MAX_UNDER_WAY),
  promises: z
    .array(
      z.strictObject({
        id: moveIdSchema,
        from: nodeIdSchema,
        volume: volumeIdSchema,
        bytes: amountSchema,
        highPeak: amountSchema,
        at: z.enum(['offered', 'awarded'])
      })
    )
    .max(MAX_PROMISES),
  movesLeft: amountSchema,
  bytesLeft: amountSchema.optional(),
  problems: z.array(wordsSchema).max(MAX_BALANCE_PROBLEMS)
})
export type StatusMessage = z.infer<typeof statusSchema>

// -- plan

const loads = z.array(amountSchema).max(MAX_PLAN_STEPS)
export const wantSchema = z.strictObject({
  volume: volumeIdSchema,
  reason,
  /** The hottest of them; `chunkCount` counts all. */
  chunks: z
    .array(z.strictObject({ chunk: chunkSchema, share: part, bytes: amountSchema }))
    .max(MAX_PLANNED_CHUNKS),
  chunkCount: countSchema,
  bytes: amountSchema,
  path: z.strictObject({ atMs: timeSchema, stepMs: timeSchema, expected: loads, high: loads }),
  excess: excessSchema.optional(),
  benefit: amountSchema,
  cost: amountSchema,
  copyMs: amountSchema
})

export const planSchema = z.strictObject({
  at: timeSchema,
  idle: idle.optional(),
  excess: excessSchema.optional(),
  wants: z
    .array(
      z.strictObject({
        want: wantSchema,
        why: wordsSchema,
        candidates: z.array(alternativeSchema).max(MAX_ALTERNATIVES)
      })
    )
    .max(MAX_PLANNED),
  incurable,
  left: z.array(wordsSchema).max(MAX_LEFT)
})
export type PlanMessage = z.infer<typeof planSchema>

// -- receipts and score

/** Where the last answer ended: what was decided before it, or then under a smaller id. */
export const cursorSchema = z.strictObject({ decidedAt: timeSchema, id: moveIdSchema })
export type ReceiptCursor = z.infer<typeof cursorSchema>

export const receiptQuerySchema = z.strictObject({
  since: timeSchema.optional(),
  volume: volumeIdSchema.optional(),
  /** An id, or its first digits. */
  id: z
    .string()
    .regex(/^[0-9a-f]{1,12}$/, 'not the beginning of an id')
    .optional(),
  /** Of these moves only. */
  ids: z.array(moveIdSchema).max(MAX_ASKED_IDS).optional(),
  /** Of moves from this node only. */
  source: nodeIdSchema.optional(),
  limit: z.number().int().min(1).max(MAX_LISTED_RECEIPTS),
  before: cursorSchema.optional()
})
export type ReceiptQuery = z.infer<typeof receiptQuerySchema>

export const scoreSchema = z.strictObject({
  since: timeSchema,
  totals: scoreTotalsSchema,
  days: z.array(scoreDaySchema).max(RECEIPT_DAYS)
})
export type ScoreMessage = z.infer<typeof scoreSchema>

const minutesOf = z.array(amountSchema.nullable()).max(MAX_JUDGED_MINUTES)

export const afterSchema = z.strictObject({
  /** Loads of minutes from the one that was asked for on, null where nothing is known. */
  node: minutesOf,
  /** Of what moved: its part of the volume's shard there. */
  moved: minutesOf,
  threshold: amountSchema.optional()
})
export type AfterMessage = z.infer<typeof afterSchema>

// -- calls

const minute = z.number().int().min(0).max(0xffff_ffff)
export const afterQuerySchema = z.strictObject({
  volume: volumeIdSchema,
  /** Absent: all that the node holds of it, by number: `chunks` of them. */
  ranges: rangesSchema.optional(),
  chunks: countSchema,
  /** Minutes since 1970, [from, to). */
  from: minute,
  to: minute
})
export type AfterQuery = z.infer<typeof afterQuerySchema>

export const balanceRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({ call: z.literal('status') }),
  z.strictObject({ call: z.literal('set'), change: settingsChangeSchema }),
  z.strictObject({ call: z.literal('plan') }),
  z.strictObject({ call: z.literal('receipts'), query: receiptQuerySchema }),
  z.strictObject({
    call: z.literal('score'),
    days: z.number().int().min(1).max(RECEIPT_DAYS)
  }),
  /** From the source of a move to its target: what it is to keep of it from now on. */
  z.strictObject({ call: z.literal('keep'), receipt: receiptSchema }),
  /** From the source of a move to its target: what was measured there since. */
  z.strictObject({ call: z.literal('after'), query: afterQuerySchema })
])
export type BalanceRequest = z.infer<typeof balanceRequestSchema>

export const balanceAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('status'), status: statusSchema }),
  z.strictObject({ is: z.literal('settings'), settings: settingsSchema }),
  z.strictObject({ is: z.literal('plan'), plan: planSchema }),
  z.strictObject({
    is: z.literal('receipts'),
    /** The youngest decision first. */
    receipts: z.array(receiptSchema).max(MAX_LISTED_RECEIPTS),
    /** There may be more. */
    next: cursorSchema.optional()
  }),
  z.strictObject({ is: z.literal('score'), score: scoreSchema }),
  z.strictObject({ is: z.literal('kept') }),
  z.strictObject({ is: z.literal('after'), after: afterSchema }),
  z.strictObject({
    is: z.literal('refused'),
    code: z.enum(REFUSALS),
    why: z.string().max(1_000)
  })
])
export type BalanceAnswer = z.infer<typeof balanceAnswerSchema>
