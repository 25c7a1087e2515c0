/**
 * moves: what a person asks of the node from which chunks move. Unary, served by every node with a
 * store; the exchange and its rules are in PROTOCOL.md beside this file.
 *
 * Invariants: a move lives on its source node; nothing here moves a byte: that is the handoff's
 * business, which asks the holder of the volume for every chunk.
 */
import { z } from 'zod'
import type { FaultCode } from '../fault.ts'
import type { NodeId, VolumeId } from '../ids.ts'
import { isNodeId, isVolumeId } from '../ids.ts'
import { MAX_COLUMNS, MAX_COUNTER } from '../limits.ts'
import { MAX_HOTTEST, MAX_LISTED_ENDED, MAX_OPEN_MOVES, MAX_WHY_CHARS } from './limits.ts'

export const MOVES_PROTOCOL = '/shoal/moves/1'

const amount = z.number().min(0).max(MAX_COUNTER)
const extent = z.number().int().min(0).max(0xffff_ffff)
const words = z.string().max(MAX_WHY_CHARS)
export const nodeIdSchema = z.custom<NodeId>(isNodeId, 'not a node id')
export const volumeIdSchema = z.custom<VolumeId>(isVolumeId, 'not a volume id')

const MOVE_ID = /^[0-9a-f]{12}$/
export const moveIdSchema = z.string().regex(MOVE_ID, 'not the id of a move')

/** Which chunks of a volume: all that the source holds, less what the fields leave out. */
export const selectionSchema = z.strictObject({
  /** Extents [from, to). */
  extents: z.strictObject({ from: extent, to: extent }).optional(),
  columns: z
    .array(
      z
        .number()
        .int()
        .min(0)
        .max(MAX_COLUMNS - 1)
    )
    .max(MAX_COLUMNS)
    .optional(),
  /** Of these, so many with the most requests. */
  hottest: z.number().int().min(1).max(MAX_HOTTEST).optional()
})
export type Selection = z.infer<typeof selectionSchema>

/** Why a node is emptied: it stays a member, or leaves when it is empty. */
export const drainPurposeSchema = z.enum(['maintenance', 'leave'])
export type DrainPurpose = z.infer<typeof drainPurposeSchema>

/** Bytes per second that copying may use at most; null: no bound but what clients leave. */
export const boundSchema = z.number().int().min(1).max(MAX_COUNTER).nullable()

export const movesRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({
    call: z.literal('start'),
    volume: volumeIdSchema,
    to: nodeIdSchema,
    selection: selectionSchema,
    why: words
  }),
  /** Open moves, and the last `ended` that have ended. */
  z.strictObject({
    call: z.literal('list'),
    ended: z.number().int().min(0).max(MAX_LISTED_ENDED)
  }),
  z.strictObject({ call: z.literal('cancel'), id: moveIdSchema }),
  z.strictObject({ call: z.literal('rate'), bytesPerSecond: boundSchema }),
  z.strictObject({ call: z.literal('drain'), purpose: drainPurposeSchema }),
  z.strictObject({ call: z.literal('undrain') }),
  z.strictObject({ call: z.literal('drain-status') })
])
export type MovesRequest = z.infer<typeof movesRequestSchema>

export const moveStateSchema = z.enum(['queued', 'running', 'done', 'failed', 'cancelled'])
export type MoveState = z.infer<typeof moveStateSchema>

const progress = z.strictObject({ total: amount, done: amount })

export const moveSchema = z.strictObject({
  id: moveIdSchema,
  volume: volumeIdSchema,
  from: nodeIdSchema,
  to: nodeIdSchema,
  state: moveStateSchema,
  /** Who wanted it and why, in words. */
  why: words,
  chunks: progress,
  /** `total` is an estimate for chunks whose copy has not begun. */
  bytes: progress,
  /** Over the last seconds. */
  bytesPerSecond: amount,
  /** Until the end at the present speed; absent while that is not known. */
  leftMs: amount.optional(),
  /** Wall ms: when it was asked for, and when it ended. */
  since: amount,
  endedAt: amount.optional(),
  /** The longest pause that a client met at the cutover of one of its chunks. */
  longestPauseMs: amount,
  /** What went wrong last, in words. */
  trouble: words.optional()
})
export type Move = z.infer<typeof moveSchema>

/**
 * - draining: chunks are on their way
 * - blocked: some cannot go now; tried again
 * - drained: this node holds no chunk, and gets none while the drain lasts
 */
export const drainStatusSchema = z.discriminatedUnion('state', [
  z.strictObject({ state: z.literal('off') }),
  z.strictObject({
    state: z.enum(['draining', 'blocked', 'drained']),
    purpose: drainPurposeSchema,
    since: amount,
    chunks: progress,
    bytes: progress,
    bytesPerSecond: amount,
    leftMs: amount.optional(),
    trouble: words.optional()
  })
])
export type DrainStatus = z.infer<typeof drainStatusSchema>

/** What a source refuses a start or a drain for; a subset of the codes of fault.ts. */
export const REFUSALS = [
  'BAD_INPUT',
  'NOT_FOUND',
  'CONFLICT',
  'LIMIT',
  'NO_CAPACITY',
  'UNREACHABLE',
  'IO_ERROR'
] as const satisfies readonly FaultCode[]

export const movesAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('started'), move: moveSchema }),
  z.strictObject({
    is: z.literal('moves'),
    moves: z.array(moveSchema).max(MAX_OPEN_MOVES + MAX_LISTED_ENDED),
    /** What copying may use at most, and what it may use now; null: as much as there is. */
    bound: boundSchema,
    rate: z.number().min(0).max(MAX_COUNTER).nullable(),
    drain: drainStatusSchema
  }),
  z.strictObject({ is: z.literal('cancelled'), move: moveSchema }),
  z.strictObject({ is: z.literal('rate'), bytesPerSecond: boundSchema }),
  z.strictObject({ is: z.literal('drain'), drain: drainStatusSchema }),
  z.strictObject({
    is: z.literal('refused'),
    code: z.enum(REFUSALS),
    why: z.string().max(1_000),
    /** With NO_CAPACITY. */
    neededBytes: amount.optional(),
    availableBytes: amount.optional()
  })
])
export type MovesAnswer = z.infer<typeof movesAnswerSchema>
export type Refused = Extract<MovesAnswer, { is: 'refused' }>

export function isMoveId(text: string): boolean {
  return MOVE_ID.test(text)
}
