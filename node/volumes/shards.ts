/**
 * Calls to the shards of a volume: shard-control over the mesh's unary calls, with words for what
 * a shard answers. The shards enforce; nothing here decides whether a call is allowed.
 */

import { effectiveHolders } from '../../crdt/holders.ts'
import type { MeshView, VolumeView } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, Token } from '../../protocols/ids.ts'
import { compareTokens, NO_TOKEN } from '../../protocols/ids.ts'
import type {
  ControlAnswer,
  ControlRequest,
  ShardState
} from '../../protocols/shard-control/messages.ts'
import {
  controlAnswerSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import { MAX_PARALLEL_CALLS, SHARD_CALL_TIMEOUT_MS } from '../limits.ts'
import { mapConcurrently } from './concurrency.ts'
import type { VolumeParts } from './types.ts'

type Caller = Pick<VolumeParts, 'rpc'>

export function callShard(
  parts: Caller,
  node: NodeId,
  request: ControlRequest,
  timeoutMs = SHARD_CALL_TIMEOUT_MS
): Promise<ControlAnswer> {
  return parts.rpc.call(node, SHARD_CONTROL_PROTOCOL, request, controlAnswerSchema, { timeoutMs })
}

/** What one node answered, or why it did not. */
export type ShardReply =
  | { readonly node: NodeId; readonly answer: ControlAnswer }
  | { readonly node: NodeId; readonly error: unknown }

/** The same call to several nodes. Never rejects: a node that does not answer is in the list. */
export function callShards(
  parts: Caller,
  nodes: readonly NodeId[],
  request: (node: NodeId) => ControlRequest,
  timeoutMs?: number
): Promise<ShardReply[]> {
  return mapConcurrently(nodes, MAX_PARALLEL_CALLS, async node => {
    try {
      return { node, answer: await callShard(parts, node, request(node), timeoutMs) }
    } catch (error) {
      return { node, error }
    }
  })
}

/** Every node that holds some chunk of the volume by the map, in order of columns. */
export function shardNodes(view: VolumeView): NodeId[] {
  return effectiveHolders(view)
}

/** The states among the replies. */
export function statesOf(replies: readonly ShardReply[]): Map<NodeId, ShardState> {
  const states = new Map<NodeId, ShardState>()
  for (const reply of replies) {
    if ('answer' in reply && reply.answer.is === 'state') states.set(reply.node, reply.answer.state)
  }
  return states
}

/** The greatest token that any reply names. */
export function greatestToken(replies: readonly ShardReply[]): Token {
  let greatest = NO_TOKEN
  for (const reply of replies) {
    const token = 'answer' in reply ? tokenOf(reply.answer) : undefined
    if (token !== undefined && compareTokens(token, greatest) > 0) greatest = token
  }
  return greatest
}

function tokenOf(answer: ControlAnswer): Token | undefined {
  if (answer.is === 'state') return answer.state.token
  return answer.is === 'stale' || answer.is === 'removed' ? answer.token : undefined
}

/** A node as people know it. */
export function nodeName(mesh: MeshView, node: NodeId): string {
  return mesh.nodes.get(node)?.name ?? node
}

/** Names for people: `eu-1, eu-2 and us-1`. */
export function nodeNames(mesh: MeshView, nodes: readonly NodeId[]): string {
  const names = nodes.map(node => nodeName(mesh, node))
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** Why an answer is not the one that was asked for, in words that name the node. */
export function refusal(mesh: MeshView, node: NodeId, answer: ControlAnswer): ShoalError {
  const name = nodeName(mesh, node)
  switch (answer.is) {
    case 'no-space':
      return new ShoalError({ code: 'NO_SPACE' }, `node ${name} has no room for the shard`)
    case 'stale':
      return new ShoalError(
        { code: 'STALE_TOKEN' },
        `the shard on node ${name} is under a greater token: another gateway took the volume`
      )
    case 'absent':
      return new ShoalError({ code: 'NOT_FOUND', what: name }, `node ${name} has no such shard`)
    case 'removed':
      return new ShoalError({ code: 'NOT_FOUND', what: name }, `node ${name} deleted that shard`)
    case 'failed':
    case 'busy':
      return new ShoalError({ code: 'IO_ERROR' }, `node ${name}: ${answer.why}`)
    default:
      return new ShoalError(
        { code: 'BAD_MESSAGE', protocol: SHARD_CONTROL_PROTOCOL },
        `node ${name} gave an answer of another call (${answer.is})`
      )
  }
}
