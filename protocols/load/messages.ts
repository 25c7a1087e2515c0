/**
 * load: what one node says to another of the load that it measures and foretells, and the history
 * that follows data to its new place. Unary (node/rpc); see PROTOCOL.md beside this file.
 *
 * Invariant: nothing here moves, grants or deletes data; the worst that a false answer does is a
 * bad forecast.
 */
import { z } from 'zod'
import { chunkSchema } from '../handoff/calls.ts'
import type { HandoffId, VolumeId } from '../ids.ts'
import { isHandoffId, isVolumeId } from '../ids.ts'
import { MAX_COUNTER, MAX_NAME_CHARS } from '../limits.ts'
import { heatStateSchema } from './heat.ts'
import {
  MAX_HISTORY_STEPS,
  MAX_HORIZON_MINUTES,
  MAX_PACKED_PIECE_BYTES,
  MAX_PIECE_CHUNKS,
  MAX_REPORT_SHARDS
} from './limits.ts'
import { MAX_FIELD, MAX_ROWS, ROW_BYTES } from './rows.ts'

export const LOAD_PROTOCOL = '/shoal/load/1'

const amount = z.number().min(0).max(MAX_FIELD)
const part = z.number().min(0).max(1)
const time = z.number().min(0).max(MAX_COUNTER)
const slot = z.number().int().min(0).max(MAX_COUNTER)
const volume = z.custom<VolumeId>(isVolumeId, 'not a volume id')
/** Absent: the node itself. */
const subject = { volume: volume.optional() }

const recordSchema = z.strictObject({
  reads: amount,
  writes: amount,
  readBytes: amount,
  writtenBytes: amount,
  sequential: part,
  queue: amount,
  p50Us: amount,
  p99Us: amount
})

const thresholdSchema = z.strictObject({ load: amount, from: z.enum(['capacity', 'usual']) })

const aheadSchema = z.strictObject({
  minutes: z.number().int().min(1).max(MAX_HORIZON_MINUTES),
  q50: amount,
  q90: amount,
  q95: amount
})

const measuredSchema = z.strictObject({
  ...recordSchema.shape,
  load: amount,
  ahead: z.array(aheadSchema).max(8).optional(),
  chance: part.optional(),
  threshold: thresholdSchema.optional()
})

export const reportSchema = z.strictObject({
  at: time,
  node: measuredSchema,
  /** Units per second by the last calibration, and what of it is used as requests are now. */
  capacity: amount.optional(),
  share: amount.optional(),
  shards: z
    .array(z.strictObject({ volume, share: amount.optional(), measured: measuredSchema }))
    .max(MAX_REPORT_SHARDS),
  warming: z.strictObject({ left: amount, all: amount }).optional()
})
export type LoadReport = z.infer<typeof reportSchema>

const steps = z.number().int().min(1).max(MAX_HISTORY_STEPS)
const bytesUpTo = (most: number) =>
  z.custom<Uint8Array>(value => value instanceof Uint8Array && value.length <= most)
const loads = bytesUpTo(4 * MAX_HISTORY_STEPS)
const rows = bytesUpTo(MAX_ROWS * ROW_BYTES)

export const outlookSchema = z.strictObject({
  at: time,
  stepMs: z.number().min(1).max(3_600_000),
  path: z.array(amount).max(MAX_HORIZON_MINUTES),
  q50: z.array(amount).max(MAX_HORIZON_MINUTES),
  q90: z.array(amount).max(MAX_HORIZON_MINUTES),
  q95: z.array(amount).max(MAX_HORIZON_MINUTES),
  model: z.string().max(MAX_NAME_CHARS),
  skill: z.number().min(-1e6).max(1),
  threshold: thresholdSchema.optional(),
  chance: z.strictObject({ hour: part, horizon: part }).optional(),
  expectedAt: time.optional(),
  highAt: time.optional(),
  historyDays: amount,
  zone: z.string().max(MAX_NAME_CHARS)
})
export type Outlook = z.infer<typeof outlookSchema>

export const chunkHeatSchema = z.strictObject({ chunk: chunkSchema, state: heatStateSchema })
export type ChunkHeatMessage = z.infer<typeof chunkHeatSchema>

export const loadRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({ call: z.literal('report') }),
  z.strictObject({ call: z.literal('history'), ...subject, steps }),
  z.strictObject({
    call: z.literal('outlook'),
    ...subject,
    horizonMinutes: z.number().int().min(5).max(MAX_HORIZON_MINUTES)
  }),
  z.strictObject({
    call: z.literal('rows'),
    ...subject,
    step: z.enum(['second', 'minute', 'hour']),
    from: slot,
    to: slot
  }),
  z.strictObject({
    call: z.literal('import'),
    volume,
    rows
  }),
  z.strictObject({
    call: z.literal('give'),
    volume,
    id: z.custom<HandoffId>(isHandoffId, 'not an id'),
    piece: bytesUpTo(MAX_PACKED_PIECE_BYTES),
    heat: z.array(chunkHeatSchema).max(MAX_PIECE_CHUNKS)
  })
])
export type LoadRequest = z.infer<typeof loadRequestSchema>

export const loadAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('report'), report: reportSchema }),
  /** Mean loads of steps of 5 minutes as f32, NaN where unknown; the last ends at `endMs`. */
  z.strictObject({ is: z.literal('history'), loads, endMs: time }),
  z.strictObject({ is: z.literal('outlook'), outlook: outlookSchema }),
  z.strictObject({
    is: z.literal('rows'),
    rows,
    /** Where to go on, if that was not all. */
    next: slot.optional()
  }),
  z.strictObject({ is: z.literal('taken'), rows: amount }),
  /** There is nothing of that volume here, or nothing is known of it yet. */
  z.strictObject({ is: z.literal('unknown'), why: z.string().max(500) }),
  /** It could not be done, now or ever: nothing is said of what is there. */
  z.strictObject({ is: z.literal('failed'), why: z.string().max(500) })
])
export type LoadAnswer = z.infer<typeof loadAnswerSchema>
