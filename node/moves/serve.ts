/** Answers `/shoal/moves/1`: what a member asks of the moves of this node. */
import { isFault, messageOf } from '../../protocols/fault.ts'
import {
  MOVES_PROTOCOL,
  type MovesAnswer,
  type MovesRequest,
  movesRequestSchema,
  REFUSALS,
  type Refused
} from '../../protocols/moves/messages.ts'
import type { Rpc } from '../rpc/types.ts'
import type { Moves } from './types.ts'

const MAX_REFUSAL_CHARS = 1_000

export function serveMoves(rpc: Rpc, moves: Moves): void {
  rpc.serve(MOVES_PROTOCOL, movesRequestSchema, async (_from, request) => {
    try {
      return await answer(moves, request)
    } catch (error) {
      return refusalOf(error)
    }
  })
}

async function answer(moves: Moves, request: MovesRequest): Promise<MovesAnswer> {
  switch (request.call) {
    case 'start': {
      const { call: _, ...wish } = request
      return { is: 'started', move: await moves.start(wish) }
    }
    case 'list':
      return { is: 'moves', ...moves.list(request.ended) }
    case 'cancel':
      return { is: 'cancelled', move: await moves.cancel(request.id) }
    case 'rate':
      await moves.setBound(request.bytesPerSecond)
      return { is: 'rate', bytesPerSecond: request.bytesPerSecond }
    case 'drain':
      return { is: 'drain', drain: await moves.drain(request.purpose) }
    case 'undrain':
      return { is: 'drain', drain: await moves.undrain() }
    case 'drain-status':
      return { is: 'drain', drain: moves.drainStatus() }
  }
}

/** A bug here is told as IO_ERROR: whoever asked is not to see more of it. */
function refusalOf(error: unknown): Refused {
  const why = messageOf(error).slice(0, MAX_REFUSAL_CHARS)
  if (!isFault(error)) return { is: 'refused', code: 'IO_ERROR', why }
  const { fault } = error
  const code = REFUSALS.find(one => one === fault.code) ?? 'IO_ERROR'
  if (fault.code !== 'NO_CAPACITY') return { is: 'refused', code, why }
  const { neededBytes, availableBytes } = fault
  return { is: 'refused', code, why, neededBytes, availableBytes }
}
