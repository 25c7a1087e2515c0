/** Calls of shard-control, and of handoff-outcome, as the gateway makes them. */
import {
  HANDOFF_OUTCOME_PROTOCOL,
  type OutcomeAnswer,
  type OutcomeRequest,
  outcomeAnswerSchema
} from '../../protocols/handoff/calls.ts'
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

/** Asks a source or a target about a handoff. Rejects if the node does not answer. */
export type OutcomeCalls = (node: NodeId, request: OutcomeRequest) => Promise<OutcomeAnswer>

export function outcomeCalls(rpc: Rpc): OutcomeCalls {
  return (node, request) =>
    rpc.call(node, HANDOFF_OUTCOME_PROTOCOL, request, outcomeAnswerSchema, {
      timeoutMs: GATEWAY_CALL_TIMEOUT_MS
    })
}
