/**
 * What a node remembers of its balancing, running: receipts on disk, targets told of them, verdicts
 * an hour later, the score. The loop and the moves tell it what they do (`receipts`, a ReceiptDesk);
 * it does the rest by itself.
 *
 *   each minute of the load clock: score, judge, tell; after each change of a receipt: tell
 *
 * Invariant: one look at a time; what fails at one look is tried at the next.
 */
import type { Receipt } from '../../protocols/balance/receipt.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { JOURNAL_LOOK_MS } from '../limits.ts'
import type { Clock, Disk, Log, Timer } from '../ports.ts'
import { askAfter, type BalanceAsker, tellReceipt } from './ask.ts'
import { Judge } from './judge.ts'
import type { Measured } from './measured.ts'
import { openReceipts, type Receipts, type ReceiptsParts } from './receipts.ts'
import { ScoreKeeper } from './score-keeper.ts'
import { tellTargets } from './teller.ts'

export interface JournalParts extends BalanceAsker, Pick<ReceiptsParts, 'onJudged'> {
  readonly self: NodeId
  /** The data directory, where receipts.log is. */
  readonly disk: Disk
  readonly log: Log
  /** The load clock. */
  readonly clock: Clock
  readonly measured: Measured
  /** Of this node, above which it counts as overloaded; undefined: none is known. */
  readonly threshold: () => number | undefined
}

export interface Journal {
  readonly receipts: Receipts
  /** What is due now: the steps of the score, verdicts, targets to tell. Never rejects. */
  readonly look: () => Promise<void>
  readonly problems: () => readonly string[]
  readonly close: () => Promise<void>
}

/** Reads what is kept, and begins to look. Never rejects. */
export async function openJournal(parts: JournalParts): Promise<Journal> {
  let onChange = (): void => undefined
  const receipts = await openReceipts({ ...parts, onChange: () => onChange() })
  const journal = new RunningJournal(parts, receipts)
  onChange = () => journal.tellSoon()
  journal.start()
  return journal
}

class RunningJournal implements Journal {
  readonly receipts: Receipts
  readonly #parts: JournalParts
  readonly #judge: Judge
  readonly #score: ScoreKeeper
  #running: Promise<void> = Promise.resolve()
  #timer: Timer | undefined
  #isTelling = false
  #isClosed = false

  constructor(parts: JournalParts, receipts: Receipts) {
    this.#parts = parts
    this.receipts = receipts
    this.#judge = new Judge({
      ...parts,
      receipts,
      askAfter: (target, query) => askAfter(parts, target, query)
    })
    this.#score = new ScoreKeeper({ ...parts, receipts })
  }

  start(): void {
    if (this.#isClosed) return
    this.#timer = this.#parts.clock.after(JOURNAL_LOOK_MS, () => {
      void this.look().then(() => this.start())
    })
  }

  /** What changes in one tick is told at once. */
  tellSoon(): void {
    if (this.#isTelling || this.#isClosed) return
    this.#isTelling = true
    this.#parts.clock.soon(() => {
      this.#isTelling = false
      void this.#next(() => this.#tell())
    })
  }

  readonly look = (): Promise<void> => {
    void this.#next(() => this.#score.look())
    void this.#next(() => this.#judge.look())
    return this.#next(() => this.#tell())
  }

  readonly problems = (): readonly string[] => this.receipts.problems()

  readonly close = async (): Promise<void> => {
    this.#isClosed = true
    this.#timer?.cancel()
    // A question that is on its way is not waited for: what comes of it is asked again.
    await this.receipts.close()
  }

  #tell(): Promise<void> {
    const tell = (target: NodeId, receipt: Receipt) => tellReceipt(this.#parts, target, receipt)
    return tellTargets({ ...this.#parts, receipts: this.receipts, tell })
  }

  #next(task: () => Promise<void>): Promise<void> {
    this.#running = this.#running.then(async () => {
      if (this.#isClosed) return
      await task().catch((error: unknown) => {
        const why = { error: messageOf(error) }
        this.#parts.log.warn(why, 'a look at what became of moves broke off')
      })
    })
    return this.#running
  }
}
