/**
 * Tells the target of each move of this node what it is to keep of it: that it began, how it ended,
 * what was judged. A target that does not answer is told at a later look, for a day.
 *
 * Invariants: one look at a time, bounded; what is told twice counts once (the target sees that it
 * has it); a target that failed is not asked again within the same look.
 */
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { forTarget } from '../../protocols/balance/receipt-schema.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { JUDGE_GIVES_UP_MS, MAX_TOLD_AT_ONCE } from '../limits.ts'
import type { Clock, Log } from '../ports.ts'
import type { Receipts } from './receipts.ts'

export interface TellerParts {
  /** The load clock. */
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
  readonly receipts: Receipts
  readonly tell: (target: NodeId, receipt: Receipt) => Promise<void>
}

/** Never rejects. */
export async function tellTargets({ clock, log, receipts, tell }: TellerParts): Promise<void> {
  const untold = receipts.book.all().filter(({ receipt, isTold }) => {
    return receipt.keptBy === 'source' && !isTold
  })
  const failed = new Set<NodeId>()
  for (const { receipt } of untold.slice(-MAX_TOLD_AT_ONCE)) {
    const { id, target } = receipt
    const lastAt = receipt.outcome?.judgedAt ?? receipt.endedAt ?? receipt.decidedAt
    if (failed.has(target)) continue
    try {
      await tell(target, forTarget(receipt))
      receipts.told(receipt)
    } catch (error) {
      failed.add(target)
      const why = { move: id, target, error: messageOf(error) }
      // What the target refuses it would refuse again.
      const isFinal = isFault(error, 'BAD_INPUT', 'CONFLICT')
      if (isFinal || clock.now() > lastAt + JUDGE_GIVES_UP_MS) {
        log.info(why, 'the target of a move keeps no receipt of it')
        receipts.told(receipt)
      } else log.debug(why, 'the target of a move could not be told of its receipt')
    }
  }
}
