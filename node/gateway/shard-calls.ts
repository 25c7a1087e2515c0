/** Calls of shard-control as the gateway makes them. */
import type { NodeId } from '../../protocols/ids.ts'
import {
  type ControlAnswer,
  type ControlRequest,
  controlAnswerSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import { GATEWAY_CALL_TIMEOUT_MS } from '../limits.ts'
import type { Rpc } from '../rpc/types.ts'

/** Rejects if the node does not answer. */
export type ShardCalls = (node: NodeId, request: ControlRequest) => Promise<ControlAnswer>

export function shardCalls(rpc: Rpc): ShardCalls {
  return (node, request) =>
    rpc.call(node, SHARD_CONTROL_PROTOCOL, request, controlAnswerSchema, {
      timeoutMs: GATEWAY_CALL_TIMEOUT_MS
    })
}
