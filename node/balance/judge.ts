/**
 * Looks, an hour after each move of this node, what really happened, and writes the verdict into its
 * receipt; the target is then told as of every change (teller.ts).
 *
 *   done --an hour--> due --measured here, asked of the target--> judged
 *                      \__ no answer: again at the next look, for a day __/--> unjudged, and why
 *
 * Invariants: a move is judged once; drains are not (a node that is emptied has nothing to compare);
 * one look at a time, and bounded; nothing here rejects.
 */

import type { AfterMessage, AfterQuery } from '../../protocols/balance/messages.ts'
import { type Aftermath, JUDGED_STEPS, outcomeOf } from '../../protocols/balance/outcome.ts'
import type { Outcome, Receipt } from '../../protocols/balance/receipt.ts'
import { JUDGED_MS, JUDGED_STEP_MINUTES } from '../../protocols/balance/receipt-limits.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { JUDGE_GIVES_UP_MS, MAX_JUDGED_AT_ONCE } from '../limits.ts'
import type { Clock, Log } from '../ports.ts'
import type { Measured } from './measured.ts'
import type { Kept } from './receipt-book.ts'
import type { Receipts } from './receipts.ts'

const MINUTE_MS = 60_000
const JUDGED_MINUTES = JUDGED_STEPS * JUDGED_STEP_MINUTES
/** A minute is in its series soon after it ended. */
const SETTLE_MS = 2 * MINUTE_MS

export interface JudgeParts {
  /** The load clock. */
  readonly clock: Pick<Clock, 'now'>
  readonly log: Log
  readonly receipts: Receipts
  readonly measured: Pick<Measured, 'minutes'>
  /** Of this node; undefined: none is known. */
  readonly threshold: () => number | undefined
  /** Rejects if the node does not answer, or holds nothing of it any more. */
  readonly askAfter: (target: NodeId, query: AfterQuery) => Promise<AfterMessage>
}

export class Judge {
  readonly #parts: JudgeParts

  constructor(parts: JudgeParts) {
    this.#parts = parts
  }

  /** Ended at least an hour ago, and not judged; the oldest first. */
  due(): Kept[] {
    const { receipts, clock } = this.#parts
    const endedBy = clock.now() - JUDGED_MS - SETTLE_MS
    return receipts.book
      .all()
      .filter(
        ({ receipt: { keptBy, state, reason, endedAt, outcome, unjudged } }) =>
          keptBy === 'source' &&
          state === 'done' &&
          reason !== 'drain' &&
          (endedAt ?? Number.POSITIVE_INFINITY) <= endedBy &&
          outcome === undefined &&
          unjudged === undefined
      )
      .sort((a, b) => (a.receipt.endedAt ?? 0) - (b.receipt.endedAt ?? 0))
  }

  async look(): Promise<void> {
    const { receipts, clock, log } = this.#parts
    const silent = new Set<NodeId>()
    for (const kept of this.due().slice(0, MAX_JUDGED_AT_ONCE)) {
      const { id, target, endedAt = 0 } = kept.receipt
      if (silent.has(target)) continue
      const verdict = await this.#verdict(kept).catch((error: unknown) => {
        if (isFault(error, 'TIMEOUT', 'UNREACHABLE')) silent.add(target)
        return messageOf(error)
      })
      if (typeof verdict !== 'string') {
        receipts.judge(id, verdict)
        log.info({ move: id, ...verdict }, 'a move was judged')
      } else if (clock.now() >= endedAt + JUDGED_MS + JUDGE_GIVES_UP_MS) {
        receipts.judge(id, { unjudged: verdict })
        log.info({ move: id, why: verdict }, 'nobody can say what became of a move')
      }
    }
  }

  /** The outcome, or why there is none yet, in words. */
  async #verdict({ receipt, ranges }: Kept): Promise<Outcome | string> {
    const { clock, measured, threshold } = this.#parts
    const { volume, predicted, endedAt = 0, longestPauseMs } = receipt
    const from = Math.floor(endedAt / MINUTE_MS)
    const to = from + JUDGED_MINUTES
    const sourceThreshold = predicted?.threshold ?? threshold()
    if (sourceThreshold === undefined) return 'this node has no threshold'
    const answer = await this.#ask({ receipt, ranges }, from, to)
    if (answer.threshold === undefined) return 'the target has no threshold'
    const subject = predicted?.subject === 'shard' ? volume : undefined
    const after: Aftermath = {
      judgedAt: clock.now(),
      source: await measured.minutes(subject, from, to),
      sourceThreshold,
      moved: known(answer.moved),
      movedLater: await this.#later(receipt, from, to),
      target: known(answer.node),
      targetThreshold: answer.threshold,
      longestPauseMs
    }
    return outcomeOf(after) ?? 'too little was measured in the hour after it'
  }

  /** What left the same subject within the hour, from the minute on in which it had left. */
  async #later(
    judged: Receipt,
    from: number,
    to: number
  ): Promise<Array<Aftermath['movedLater'][number]>> {
    const { endedAt = 0, predicted } = judged
    const others = this.#parts.receipts.book.all().filter(({ receipt }) => {
      const ended = receipt.endedAt ?? 0
      const isOther = receipt.id !== judged.id && receipt.keptBy === 'source'
      const isOfSubject = predicted?.subject !== 'shard' || receipt.volume === judged.volume
      // Of those that ended in the same moment each but the last is looked at without the others.
      const isLater = ended > endedAt || (ended === endedAt && receipt.id > judged.id)
      return isOther && isOfSubject && isLater && ended < to * MINUTE_MS && hasMoved(receipt)
    })
    const found: Array<Aftermath['movedLater'][number]> = []
    for (const kept of others.slice(0, MAX_JUDGED_AT_ONCE)) {
      const gone = Math.ceil((kept.receipt.endedAt ?? 0) / MINUTE_MS)
      const { moved } = await this.#ask(kept, from, to)
      found.push({ loads: known(moved), goneFrom: gone - from })
    }
    return found
  }

  #ask({ receipt, ranges }: Pick<Kept, 'receipt' | 'ranges'>, from: number, to: number) {
    const { volume, target, chunks, movedChunks } = receipt
    return this.#parts.askAfter(target, {
      volume,
      ...(ranges === undefined ? {} : { ranges: [...ranges] }),
      chunks: movedChunks ?? chunks,
      from,
      to
    })
  }
}

function hasMoved({ state, movedChunks }: Kept['receipt']): boolean {
  return state === 'done' && (movedChunks ?? 1) > 0
}

function known(loads: ReadonlyArray<number | null>): number[] {
  return loads.map(load => load ?? Number.NaN)
}
