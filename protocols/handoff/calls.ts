/**
 * The unary calls of a handoff: approval (to the holder's node) and outcome (to source or target).
 * PROTOCOL.md beside this file says who may ask what and what follows.
 */
import { z } from 'zod'
import type { ChunkKey, HandoffId, NodeId, VolumeId } from '../ids.ts'
import { isHandoffId, isNodeId, isVolumeId } from '../ids.ts'
import { MAX_COLUMNS, MAX_COPIES } from '../limits.ts'
import { epochSchema, incarnationSchema, tokenSchema } from '../shard-control/messages.ts'

export const HANDOFF_APPROVAL_PROTOCOL = '/shoal/handoff-approval/1'
export const HANDOFF_OUTCOME_PROTOCOL = '/shoal/handoff-outcome/1'

const within = (max: number) => z.number().int().min(0).max(max)
export const handoffIdSchema = z.custom<HandoffId>(isHandoffId, 'not a handoff id')
export const nodeIdSchema = z.custom<NodeId>(isNodeId, 'not a node id')
export const chunkSchema: z.ZodType<ChunkKey> = z.strictObject({
  volume: z.custom<VolumeId>(isVolumeId, 'not a volume id'),
  extent: within(0xffff_ffff),
  generation: within(0xffff),
  column: within(MAX_COLUMNS - 1),
  replica: within(MAX_COPIES - 1)
})

const MAX_WHY_CHARS = 500
const why = z.string().max(MAX_WHY_CHARS)
const handoff = { handoff: handoffIdSchema, chunk: chunkSchema }

/** What became of a handoff. */
export const outcomeSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('released'), to: nodeIdSchema, epoch: epochSchema }),
  z.strictObject({ is: z.literal('aborted') })
])
export type HandoffOutcome = z.infer<typeof outcomeSchema>

export const approvalRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({
    call: z.literal('approve'),
    ...handoff,
    /** The epoch at which the source holds the chunk (reclaim: at which it released it). */
    epoch: epochSchema,
    token: tokenSchema,
    /** The start of the source's store. */
    incarnation: incarnationSchema,
    target: nodeIdSchema,
    purpose: z.enum(['pass', 'reclaim'])
  }),
  z.strictObject({ call: z.literal('settled'), ...handoff, outcome: outcomeSchema }),
  z.strictObject({
    call: z.literal('grant'),
    ...handoff,
    source: nodeIdSchema,
    target: nodeIdSchema,
    acceptLoss: z.boolean()
  })
])
export type ApprovalRequest = z.infer<typeof approvalRequestSchema>

export const approvalAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('approved'), token: tokenSchema, epoch: epochSchema }),
  z.strictObject({ is: z.literal('granted'), epoch: epochSchema }),
  z.strictObject({ is: z.literal('refused'), why, retryAfterMs: within(3_600_000) }),
  /** This node does not hold the volume under that token. */
  z.strictObject({ is: z.literal('not-holder') }),
  z.strictObject({ is: z.literal('noted') })
])
export type ApprovalAnswer = z.infer<typeof approvalAnswerSchema>

export const outcomeRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({ call: z.literal('outcome'), ...handoff }),
  z.strictObject({
    call: z.literal('carry'),
    ...handoff,
    from: nodeIdSchema,
    epoch: epochSchema
  }),
  z.strictObject({
    call: z.literal('grant'),
    ...handoff,
    token: tokenSchema,
    epoch: epochSchema
  })
])
export type OutcomeRequest = z.infer<typeof outcomeRequestSchema>

export const outcomeAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('released'), to: nodeIdSchema, epoch: epochSchema }),
  z.strictObject({ is: z.literal('open') }),
  z.strictObject({ is: z.literal('aborted') }),
  z.strictObject({ is: z.literal('held'), epoch: epochSchema }),
  z.strictObject({ is: z.literal('unknown') }),
  z.strictObject({ is: z.literal('stale'), token: tokenSchema }),
  z.strictObject({ is: z.literal('failed'), why })
])
export type OutcomeAnswer = z.infer<typeof outcomeAnswerSchema>

/** Words that fit a message. */
export function shortened(text: string): string {
  return text.slice(0, MAX_WHY_CHARS)
}
