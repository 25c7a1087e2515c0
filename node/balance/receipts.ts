/**
 * The receipts that this node keeps, and its score: what was decided, what became of it, and what it
 * was good for. In memory, and in receipts.log.
 *
 *   opened (negotiated) --> started --> ended --> judged, an hour later
 *                           ^ people's moves and drains begin here
 *
 * Invariants: bounded by number and by age; one receipt per move; what ended is never open again,
 * what was judged is never judged again; a verdict and its score are one record; nothing here throws
 * at a move, and none waits for it.
 */

import type { Outcome, Receipt } from '../../protocols/balance/receipt.ts'
import type { MovedRange, ReceiptEntry } from '../../protocols/balance/receipt-file.ts'
import { fitReceipt, words } from '../../protocols/balance/receipt-schema.ts'
import { Score, type ScoredStep } from '../../protocols/balance/score.ts'
import type { MoveReason } from '../../protocols/balance/types.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import type { Clock, Disk, Log } from '../ports.ts'
import { type Kept, ReceiptBook } from './receipt-book.ts'
import { endedAs, entryOf, fewOf, progress, receiptOfMove } from './receipt-course.ts'
import { openReceiptLog, type ReceiptLog } from './receipt-log.ts'
import type { ReceiptDesk } from './types.ts'

/** The greatest lead of another node's clock that is believed. */
const AHEAD_MS = 86_400_000

export interface ReceiptsParts {
  readonly self: NodeId
  readonly disk: Disk
  readonly log: Log
  /** The load clock. */
  readonly clock: Pick<Clock, 'now'>
  /** Something is there to tell the other end, or to judge. */
  readonly onChange?: () => void
  /** A move of this node was judged, with this outcome. */
  readonly onJudged?: ((receipt: Receipt, outcome: Outcome) => void) | undefined
}

/** Reads what is kept. Never rejects. */
export async function openReceipts(parts: ReceiptsParts): Promise<Receipts> {
  const receipts = new Receipts(parts)
  await receipts.load()
  return receipts
}

export class Receipts implements ReceiptDesk {
  readonly book = new ReceiptBook()
  readonly score = new Score()
  /** Wall ms: steps of the node's load before it are in the score. */
  scoredTo = 0
  readonly #parts: ReceiptsParts
  #file: ReceiptLog | undefined

  constructor(parts: ReceiptsParts) {
    this.#parts = parts
  }

  async load(): Promise<void> {
    const { disk, log, clock } = this.#parts
    const snapshot = () => this.#snapshot()
    this.#file = await openReceiptLog({ disk, log, snapshot }, entry => this.#replay(entry))
    this.book.prune(clock.now())
    this.score.prune(clock.now())
  }

  // -- what the loop, the bidder and moves tell

  readonly opened = (receipt: Receipt): void => {
    this.#safely(receipt.id, () => {
      const before = this.book.get(receipt.id)
      // Said twice, or after the move had begun: what is known of its course stays.
      const { reason, why, alternatives } = receipt
      const known = before && { ...before.receipt, reason, why, alternatives }
      this.#put({ receipt: { ...receipt, ...known }, ranges: before?.ranges })
    })
  }

  readonly started = (move: Move, reason?: MoveReason, ranges?: readonly MovedRange[]): void => {
    this.#safely(move.id, () => {
      const { receipt, ranges: known } = this.#ofMove(move, reason)
      const startedAt = receipt.startedAt ?? this.#now()
      const chunks = move.chunks.total
      this.#put({ receipt: { ...receipt, startedAt, chunks }, ranges: fewOf(ranges) ?? known })
    })
  }

  readonly ended = (move: Move, reason?: MoveReason, moved?: readonly MovedRange[]): void => {
    this.#safely(move.id, () => {
      const { receipt, ranges = fewOf(moved) } = this.#ofMove(move, reason)
      if (receipt.endedAt !== undefined) return
      const ended = endedAs(receipt, move, this.#now())
      this.#put({ receipt: ended, ranges })
    })
  }

  readonly settled = (id: string, state: 'done' | 'failed' | 'cancelled', atMs: number): void => {
    this.#safely(id, () => {
      const kept = this.book.get(id)
      if (kept === undefined || kept.receipt.endedAt !== undefined) return
      this.#put({ ...kept, receipt: { ...kept.receipt, state, endedAt: atMs } })
    })
  }

  /** After a start: the moves that go on. Of others that were open nobody will say the end. */
  reconcile(open: ReadonlySet<string>): void {
    for (const kept of this.book.all()) {
      const { receipt } = kept
      const isLost = receipt.keptBy === 'source' && receipt.state === 'open'
      if (!isLost || open.has(receipt.id)) continue
      const trouble = 'the node stopped before it had begun'
      this.#put({
        ...kept,
        receipt: { ...receipt, state: 'failed', endedAt: this.#now(), trouble }
      })
    }
  }

  // -- what the source of a move to here says, and what was measured after it

  /** Throws ShoalError: it is none of a move from `from` to here. */
  keep(from: NodeId, said: Receipt): void {
    const { self } = this.#parts
    const before = this.book.get(said.id)?.receipt
    const isOurs = said.source === from && said.target === self && said.keptBy === 'target'
    if (!isOurs || from === self) {
      throw new ShoalError(
        { code: 'BAD_INPUT' },
        'a source tells its target, of its own moves only'
      )
    }
    if (said.decidedAt > this.#now() + AHEAD_MS) {
      throw new ShoalError({ code: 'BAD_INPUT' }, 'this receipt is of a day to come')
    }
    if (before !== undefined && (before.source !== from || before.keptBy !== 'target')) {
      throw new ShoalError({ code: 'CONFLICT', what: said.id }, 'another move has this id')
    }
    if (before !== undefined && progress(before) > progress(said)) return
    const alternatives =
      said.alternatives.length > 0 ? said.alternatives : (before?.alternatives ?? [])
    this.#put({ receipt: { ...said, alternatives } })
  }

  /** Of a move of this node; at most once. */
  judge(id: string, verdict: Outcome | { readonly unjudged: string }): void {
    const kept = this.book.get(id)
    if (kept === undefined || progress(kept.receipt) !== 1) return
    const outcome = 'unjudged' in verdict ? undefined : verdict
    const more =
      'unjudged' in verdict ? { unjudged: words(verdict.unjudged) } : { outcome: verdict }
    const day = this.score.addVerdict(kept.receipt, outcome)
    this.#put({ ...kept, receipt: { ...kept.receipt, ...more } }, { day })
    if (outcome !== undefined) this.#parts.onJudged?.(kept.receipt, outcome)
  }

  /** Its target knows what it is to keep of it, as it was when it was told. */
  told(receipt: Receipt): void {
    const kept = this.book.get(receipt.id)
    if (kept?.receipt !== receipt) return
    this.book.put({ ...kept, isTold: true })
    this.#file?.append(entryOf({ ...kept, isTold: true }))
  }

  /** Steps of this node's load, in order; `toMs`: what is before it is counted now. */
  addSteps(steps: readonly ScoredStep[], toMs: number): void {
    this.scoredTo = toMs
    const days = new Map(steps.map(step => this.score.addStep(step)).map(day => [day.day, day]))
    for (const day of days.values()) this.#file?.append({ day, scoredTo: toMs })
    this.book.prune(this.#now())
    this.score.prune(this.#now())
  }

  // -- reading, and the end

  problems(): string[] {
    const problem = this.#file?.problem
    return problem === undefined ? [] : [problem]
  }

  /** Resolves once what was said is durable, or could not be written. */
  async flush(): Promise<void> {
    await this.#file?.flush()
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }

  #ofMove(move: Move, reason: MoveReason = 'asked'): Omit<Kept, 'isTold'> {
    const known = this.book.get(move.id)
    return known ?? { receipt: receiptOfMove(move, reason, this.#now()) }
  }

  #put({ ranges, ...kept }: Omit<Kept, 'isTold'>, more: Omit<ReceiptEntry, 'receipt'> = {}): void {
    const receipt = fitReceipt(kept.receipt)
    const now = { receipt, isTold: receipt.keptBy === 'target', ...(ranges && { ranges }) }
    this.book.put(now)
    this.#file?.append({ ...entryOf(now), ...more })
    this.#parts.onChange?.()
  }

  #safely(id: string, task: () => void): void {
    try {
      task()
    } catch (error) {
      this.#parts.log.error({ move: id, error: messageOf(error) }, 'a receipt could not be kept')
    }
  }

  #replay({ receipt, ranges, isTold, day, scoredTo }: ReceiptEntry): void {
    if (receipt !== undefined) {
      this.book.put({ receipt, isTold: isTold === true, ...(ranges && { ranges }) })
    }
    if (day !== undefined) this.score.restore(day)
    if (scoredTo !== undefined) this.scoredTo = scoredTo
  }

  #snapshot(): ReceiptEntry[] {
    const { scoredTo } = this
    const days = this.score.days().map(day => ({ day, scoredTo }))
    return [...days, ...this.book.all().map(entryOf)]
  }

  #now(): number {
    return this.#parts.clock.now()
  }
}
