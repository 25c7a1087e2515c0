/** The course of a move as its receipt tells it: how it begins, ends, and how far it is. Pure. */
import type { Receipt } from '../../protocols/balance/receipt.ts'
import type { MovedRange, ReceiptEntry } from '../../protocols/balance/receipt-file.ts'
import { MAX_RECEIPT_RANGES } from '../../protocols/balance/receipt-limits.ts'
import type { MoveReason } from '../../protocols/balance/types.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import type { Kept } from './receipt-book.ts'

/** Of a move that nobody negotiated: it begins with the move itself. */
export function receiptOfMove(move: Move, reason: MoveReason, decidedAt: number): Receipt {
  return {
    id: move.id,
    keptBy: 'source',
    source: move.from,
    target: move.to,
    volume: move.volume,
    chunks: move.chunks.total,
    bytes: move.bytes.total,
    reason,
    why: move.why,
    decidedAt,
    state: 'open',
    alternatives: []
  }
}

export function endedAs(receipt: Receipt, move: Move, endedAt: number): Receipt {
  const { state, bytes, chunks, longestPauseMs, trouble } = move
  return {
    ...receipt,
    state: state === 'done' || state === 'cancelled' ? state : 'failed',
    endedAt,
    bytes: bytes.done,
    movedChunks: chunks.done,
    longestPauseMs,
    ...(trouble === undefined ? {} : { trouble })
  }
}

/** 0 open, 1 ended, 2 judged. */
export function progress({ endedAt, outcome, unjudged }: Receipt): number {
  if (outcome !== undefined || unjudged !== undefined) return 2
  return endedAt === undefined ? 0 : 1
}

/** Undefined: in more pieces than are remembered; such a move is judged by the number of its chunks. */
export function fewOf(
  ranges: readonly MovedRange[] | undefined
): readonly MovedRange[] | undefined {
  return ranges !== undefined && ranges.length <= MAX_RECEIPT_RANGES ? ranges : undefined
}

export function entryOf({ receipt, ranges, isTold }: Kept): ReceiptEntry {
  return { receipt, isTold, ...(ranges && { ranges }) }
}
