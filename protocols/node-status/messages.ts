/**
 * node-status: what one node says of itself for the status of the mesh. Unary: an empty request,
 * one answer (node/rpc); see PROTOCOL.md beside this file.
 *
 * Invariant: for people only. Nothing that moves, grants or deletes data rests on an answer.
 */
import { z } from 'zod'
import type { NodeId, VolumeId } from '../ids.ts'
import { isNodeId, isVolumeId } from '../ids.ts'
import { MAX_COUNTER, MAX_NAME_CHARS } from '../limits.ts'
import { costModelSchema } from '../load/capacity.ts'
import { drainPurposeSchema } from '../moves/messages.ts'
import { incarnationSchema } from '../shard-control/messages.ts'

export const NODE_STATUS_PROTOCOL = '/shoal/node-status/4'

/** Shards and attachments that one answer lists; the totals count all of them. */
export const MAX_STATUS_SHARDS = 2000
export const MAX_STATUS_ATTACHMENTS = 500
/** Peers whose distance one answer lists, the nearest first. */
export const MAX_STATUS_PEERS = 500
export const MAX_STATUS_PROBLEMS = 50
export const MAX_PROBLEM_CHARS = 500

const amount = z.number().min(0).max(MAX_COUNTER)
const nodeId = z.custom<NodeId>(isNodeId, 'not a node id')
const volume = z.custom<VolumeId>(isVolumeId, 'not a volume id')

/** Rates over the last seconds, per second. */
export const loadSchema = z.strictObject({
  readIops: amount,
  writeIops: amount,
  readBytesPerSecond: amount,
  writtenBytesPerSecond: amount
})
export type Load = z.infer<typeof loadSchema>

export const nodeStatusRequestSchema = z.strictObject({})

export const nodeStatusSchema = z.strictObject({
  id: nodeId,
  version: z.string().max(MAX_NAME_CHARS),
  uptimeMs: amount,
  /** Absent on a node without capacity. */
  store: z
    .strictObject({
      incarnation: incarnationSchema,
      capacityBytes: amount,
      usedBytes: amount,
      availableBytes: amount,
      failure: z.string().max(MAX_PROBLEM_CHARS).optional()
    })
    .optional(),
  /** Set while the node is emptied on purpose: it takes no new chunks. */
  draining: drainPurposeSchema.optional(),
  load: loadSchema,
  /** What the node can do, by its last calibration; absent without one. */
  calibration: z
    .strictObject({
      /** Units per second at the reference mix (load/capacity.ts). */
      capacity: amount,
      costs: costModelSchema
    })
    .optional(),
  /** Units per second that it serves at most, if its operator bounds that. */
  maxLoad: amount.optional(),
  /** Shards that hold a chunk. */
  shardCount: amount,
  shards: z
    .array(z.strictObject({ volume, chunks: amount, allocatedBytes: amount, load: loadSchema }))
    .max(MAX_STATUS_SHARDS),
  attachments: z
    .array(
      z.strictObject({
        volume,
        state: z.enum(['serving', 'fenced', 'failed', 'detached']),
        reason: z.string().max(MAX_PROBLEM_CHARS).optional(),
        since: amount,
        connections: amount
      })
    )
    .max(MAX_STATUS_ATTACHMENTS),
  /** Measured smoothed round trips to connected peers. */
  distances: z.array(z.strictObject({ peer: nodeId, roundTripMs: amount })).max(MAX_STATUS_PEERS),
  problems: z.array(z.string().max(MAX_PROBLEM_CHARS)).max(MAX_STATUS_PROBLEMS)
})
export type NodeStatus = z.infer<typeof nodeStatusSchema>

export const NO_LOAD: Load = {
  readIops: 0,
  writeIops: 0,
  readBytesPerSecond: 0,
  writtenBytesPerSecond: 0
}
