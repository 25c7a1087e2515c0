/** Asks nodes about their moves; a refusal comes back as the fault that it was there. */
import type { NodeEntry } from '../../crdt/types.ts'
import { type Fault, isFault, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import {
  type DrainPurpose,
  type DrainStatus,
  MOVES_PROTOCOL,
  type Move,
  type MovesAnswer,
  type MovesRequest,
  movesAnswerSchema,
  type Refused
} from '../../protocols/moves/messages.ts'
import { MAX_PARALLEL_CALLS, MOVES_CALL_TIMEOUT_MS, NODE_STATUS_TIMEOUT_MS } from '../limits.ts'
import { expected } from '../rpc/expected.ts'
import { liveNodes } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { nodeName } from '../volumes/shards.ts'
import type { VolumeParts } from '../volumes/types.ts'
import type { MovesList, MoveWish } from './types.ts'

type Asker = Pick<VolumeParts, 'rpc' | 'map'>

export async function startMove(parts: Asker, from: NodeId, wish: MoveWish): Promise<Move> {
  return (await call(parts, from, { call: 'start', ...wish }, 'started')).move
}

export async function cancelMove(parts: Asker, node: NodeId, id: string): Promise<Move> {
  return (await call(parts, node, { call: 'cancel', id }, 'cancelled')).move
}

export async function setRate(
  parts: Asker,
  node: NodeId,
  bytesPerSecond: number | null
): Promise<void> {
  await call(parts, node, { call: 'rate', bytesPerSecond }, 'rate')
}

export async function drainNode(
  parts: Asker,
  node: NodeId,
  purpose: DrainPurpose
): Promise<DrainStatus> {
  return (await call(parts, node, { call: 'drain', purpose }, 'drain')).drain
}

export async function undrainNode(parts: Asker, node: NodeId): Promise<DrainStatus> {
  return (await call(parts, node, { call: 'undrain' }, 'drain')).drain
}

export async function drainStatusOf(parts: Asker, node: NodeId): Promise<DrainStatus> {
  return (await call(parts, node, { call: 'drain-status' }, 'drain')).drain
}

export interface NodeMoves {
  readonly node: NodeEntry
  /** Undefined: it did not answer. */
  readonly list: MovesList | undefined
}

/** The moves of every storage node, and which of them did not answer. */
export function listMoves(parts: Asker, ended: number): Promise<NodeMoves[]> {
  const nodes = liveNodes(parts.map.mesh()).filter(node => node.capacityBytes > 0)
  return mapConcurrently(nodes, MAX_PARALLEL_CALLS, async node => {
    try {
      const request = { call: 'list' as const, ended }
      const { is: _, ...list } = await call(
        parts,
        node.id,
        request,
        'moves',
        NODE_STATUS_TIMEOUT_MS
      )
      return { node, list }
    } catch (error) {
      if (isFault(error)) return { node, list: undefined }
      throw error
    }
  })
}

type AnswerOf<Is extends MovesAnswer['is']> = Extract<MovesAnswer, { is: Is }>

async function call<Is extends Exclude<MovesAnswer['is'], 'refused'>>(
  { rpc, map }: Asker,
  node: NodeId,
  request: MovesRequest,
  wanted: Is,
  timeoutMs = MOVES_CALL_TIMEOUT_MS
): Promise<AnswerOf<Is>> {
  const answer = await rpc.call(node, MOVES_PROTOCOL, request, movesAnswerSchema, { timeoutMs })
  const name = nodeName(map.mesh(), node)
  if (answer.is === 'refused') throw faultOf(answer, name)
  return expected(answer, wanted, { protocol: MOVES_PROTOCOL, name })
}

function faultOf(refused: Refused, what: string): ShoalError {
  const { code, why, neededBytes = 0, availableBytes = 0 } = refused
  const faults: Record<Refused['code'], Fault> = {
    BAD_INPUT: { code: 'BAD_INPUT' },
    NOT_FOUND: { code: 'NOT_FOUND', what },
    CONFLICT: { code: 'CONFLICT', what },
    LIMIT: { code: 'LIMIT', limit: what },
    NO_CAPACITY: { code: 'NO_CAPACITY', neededBytes, availableBytes },
    UNREACHABLE: { code: 'UNREACHABLE', peer: what },
    IO_ERROR: { code: 'IO_ERROR' }
  }
  return new ShoalError(faults[code], why)
}
