/**
 * shard-control: the calls about a shard as a whole. Unary: one CBOR request and one CBOR answer
 * on a stream (node/rpc). The exchange, who may ask what, and the order of a shard's checks are in
 * PROTOCOL.md beside this file.
 *
 * Invariants: a grant is durable before it is answered; a token only grows; a call under a token
 * smaller than the shard's greatest is answered `stale`, and changes nothing.
 */
import { z } from 'zod'
import type {
  HandoffId,
  NodeId,
  Nonce,
  PlacementEpoch,
  Run,
  Token,
  VolumeId,
  VolumeSpec
} from '../ids.ts'
import { isCounter, isHandoffId, isNodeId, isNonce, isVolumeId } from '../ids.ts'
import {
  BLOCK_BYTES,
  MAX_COLUMNS,
  MAX_COPIES,
  MAX_EXTENT_BYTES,
  MAX_NAME_CHARS,
  MAX_RUNS,
  MAX_VOLUME_BYTES,
  MIN_EXTENT_BYTES
} from '../limits.ts'

export const SHARD_CONTROL_PROTOCOL = '/shoal/shard-control/2'

const counter = z.custom<number>(isCounter, 'not a counter')
const nonce = z.custom<Nonce>(isNonce, 'not a nonce')
const volumeId = z.custom<VolumeId>(isVolumeId, 'not a volume id')
const nodeId = z.custom<NodeId>(isNodeId, 'not a node id')
const blocks = (max: number) => z.number().int().min(BLOCK_BYTES).max(max).multipleOf(BLOCK_BYTES)

export const tokenSchema: z.ZodType<Token> = z.strictObject({ counter, attach: nonce })
/** As wide as the header of shard-io has room for. */
const epochCounter = z.number().int().min(0).max(0xffff_ffff)
export const epochSchema: z.ZodType<PlacementEpoch> = z.strictObject({
  token: tokenSchema,
  counter: epochCounter
})
export const incarnationSchema = z.strictObject({ number: counter, nonce })
export const runSchema: z.ZodType<Run> = z
  .strictObject({
    from: z.number().int().min(0).max(0xffff_ffff),
    to: z.number().int().min(1).max(0xffff_ffff),
    generation: z.number().int().min(0).max(0xffff),
    column: z
      .number()
      .int()
      .min(0)
      .max(MAX_COLUMNS - 1),
    replica: z
      .number()
      .int()
      .min(0)
      .max(MAX_COPIES - 1),
    epoch: epochSchema
  })
  .refine(run => run.from < run.to, 'an empty run')
export const specSchema: z.ZodType<VolumeSpec> = z.strictObject({
  id: volumeId,
  extentBytes: blocks(MAX_EXTENT_BYTES).min(MIN_EXTENT_BYTES),
  stripeUnitBytes: blocks(MAX_EXTENT_BYTES),
  columns: z.number().int().min(1).max(MAX_COLUMNS),
  copies: z.number().int().min(1).max(MAX_COPIES),
  generation: z.number().int().min(0).max(0xffff)
})
/** Who has the volume: the gateway's or mover's node, its host as people know it, since (wall ms). */
export const holderSchema = z.strictObject({
  node: nodeId,
  host: z.string().max(MAX_NAME_CHARS),
  since: z.number()
})
export type Holder = z.infer<typeof holderSchema>

const handoffId = z.custom<HandoffId>(isHandoffId, 'not a handoff id')
export const releasedSchema = z.strictObject({
  run: runSchema,
  to: nodeId,
  handoff: handoffId.optional()
})
export const receivingSchema = z.strictObject({
  run: runSchema,
  from: nodeId,
  handoff: handoffId,
  isPrepared: z.boolean(),
  reservedBytes: z.number().int().min(0).max(MAX_EXTENT_BYTES)
})

const runs = z.array(runSchema).max(MAX_RUNS)
const sizeBytes = blocks(MAX_VOLUME_BYTES)

/**
 * - query: what do you hold of this volume? Changes nothing.
 * - create: hold these runs of a new volume; the token is its first.
 * - open: grant this token (greater than, or identical to, the greatest known).
 * - mover: grant this greater token for the moment of one handoff, while no gateway is heard.
 * - grow: hold these runs too, and the volume's new size; under the present token of a gateway.
 * - detach: the holder, or the mover, is done; the volume is free for the next attach or mover.
 * - remove: delete the shard with all its data, under a token at least as great as the shard's.
 * - digest: digest of one chunk (CID), under no token.
 */
export const controlRequestSchema = z.discriminatedUnion('call', [
  z.strictObject({ call: z.literal('query'), volume: volumeId }),
  z.strictObject({
    call: z.literal('create'),
    token: tokenSchema,
    spec: specSchema,
    sizeBytes,
    runs
  }),
  z.strictObject({
    call: z.literal('open'),
    volume: volumeId,
    token: tokenSchema,
    holder: holderSchema
  }),
  z.strictObject({
    call: z.literal('mover'),
    volume: volumeId,
    token: tokenSchema,
    mover: holderSchema
  }),
  z.strictObject({
    call: z.literal('grow'),
    volume: volumeId,
    token: tokenSchema,
    sizeBytes,
    runs
  }),
  z.strictObject({ call: z.literal('detach'), volume: volumeId, token: tokenSchema }),
  z.strictObject({ call: z.literal('remove'), volume: volumeId, token: tokenSchema }),
  z.strictObject({
    call: z.literal('digest'),
    volume: volumeId,
    extent: z.number().int().min(0).max(0xffff_ffff),
    generation: z.number().int().min(0).max(0xffff),
    column: z
      .number()
      .int()
      .min(0)
      .max(MAX_COLUMNS - 1),
    replica: z
      .number()
      .int()
      .min(0)
      .max(MAX_COPIES - 1)
  })
])
export type ControlRequest = z.infer<typeof controlRequestSchema>

/** What a shard says of itself: answer to query, create, open, mover and grow. */
export const shardStateSchema = z.strictObject({
  spec: specSchema,
  sizeBytes,
  /** The greatest token that the shard has granted, to a gateway or to a mover. */
  token: tokenSchema,
  /** The greatest that it has granted to a gateway. */
  writer: tokenSchema,
  /** Who has the token if it is not a gateway: taken for the moment of one handoff. */
  mover: holderSchema.optional(),
  /** Absent after a detach, or if nobody ever attached. */
  holder: holderSchema.optional(),
  /** How long ago the holder was last heard, ms; absent without a holder. */
  holderSilentMs: z.number().min(0).optional(),
  incarnation: incarnationSchema,
  runs,
  /** Runs passed on by a committed handoff: to whom, at which epoch. */
  released: z.array(releasedSchema).max(MAX_RUNS),
  /** Chunks on their way here. */
  receiving: z.array(receivingSchema).max(MAX_RUNS),
  allocatedBytes: z.number().min(0)
})
export type ShardState = z.infer<typeof shardStateSchema>

/**
 * `absent`: never held, or long gone. `removed`: deleted by a `remove`, under this token.
 * `busy`: a gateway or another mover has the volume; nothing was changed.
 */
export const controlAnswerSchema = z.discriminatedUnion('is', [
  z.strictObject({ is: z.literal('state'), state: shardStateSchema }),
  z.strictObject({ is: z.literal('done') }),
  z.strictObject({ is: z.literal('digest'), cid: z.string().max(128) }),
  z.strictObject({
    is: z.literal('stale'),
    token: tokenSchema,
    writer: tokenSchema,
    holder: holderSchema.optional()
  }),
  z.strictObject({
    is: z.literal('busy'),
    why: z.string().max(500),
    retryAfterMs: z.number().min(0)
  }),
  z.strictObject({ is: z.literal('absent') }),
  z.strictObject({ is: z.literal('removed'), token: tokenSchema }),
  z.strictObject({ is: z.literal('no-space'), availableBytes: z.number().min(0) }),
  z.strictObject({ is: z.literal('failed'), why: z.string().max(500) })
])
export type ControlAnswer = z.infer<typeof controlAnswerSchema>
