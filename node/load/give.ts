/** Hands a piece of history to the node that holds its data now. */
import { ShoalError } from '../../protocols/fault.ts'
import { isHandoffId, isNodeId, isVolumeId } from '../../protocols/ids.ts'
import {
  type ChunkHeatMessage,
  LOAD_PROTOCOL,
  loadAnswerSchema
} from '../../protocols/load/messages.ts'
import { LOAD_WORK_TIMEOUT_MS } from '../limits.ts'
import type { Rpc } from '../rpc/types.ts'
import type { PieceOnItsWay } from './keeper-messages.ts'

/** False: the node does not want it, now or ever. Throws ShoalError if it cannot be asked. */
export async function giveTo(
  rpc: Rpc,
  { id, key, to, piece }: PieceOnItsWay,
  heat: readonly ChunkHeatMessage[]
): Promise<boolean> {
  if (!isNodeId(to) || !isVolumeId(key) || !isHandoffId(id)) {
    throw new ShoalError({ code: 'BAD_INPUT' }, 'the piece names nobody')
  }
  const answer = await rpc.call(
    to,
    LOAD_PROTOCOL,
    { call: 'give', volume: key, id, piece, heat: [...heat] },
    loadAnswerSchema,
    { timeoutMs: LOAD_WORK_TIMEOUT_MS }
  )
  return answer.is === 'taken'
}
