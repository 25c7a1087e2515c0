/**
 * Counts what this node suffers: each step of 5 minutes in which its own measured load was above its
 * threshold. The node may have stood still meanwhile: steps since then are read from its series.
 *
 * Invariants: a step is counted once, and only after all of it was measured; one of which nothing is
 * known counts as neither.
 */
import { meanOf } from '../../protocols/balance/outcome.ts'
import { JUDGED_MS, JUDGED_STEP_MINUTES } from '../../protocols/balance/receipt-limits.ts'
import { counted, type ScoredStep } from '../../protocols/balance/score.ts'
import { MAX_SCORED_STEPS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { Measured } from './measured.ts'
import type { Receipts } from './receipts.ts'

const MINUTE_MS = 60_000
const STEP_MS = JUDGED_STEP_MINUTES * MINUTE_MS
/** A minute is in its series soon after it ended. */
const SETTLE_MS = 2 * MINUTE_MS

export interface ScoreKeeperParts {
  /** The load clock. */
  readonly clock: Pick<Clock, 'now'>
  readonly receipts: Receipts
  readonly measured: Pick<Measured, 'minutes'>
  readonly threshold: () => number | undefined
}

export class ScoreKeeper {
  readonly #parts: ScoreKeeperParts
  #wasOver = false

  constructor(parts: ScoreKeeperParts) {
    this.#parts = parts
  }

  /** Counts the steps that have ended since the last look. Rejects if the keeper does. */
  async look(): Promise<void> {
    const { clock, receipts, measured, threshold } = this.#parts
    const limit = threshold()
    if (limit === undefined) return
    const end = Math.floor((clock.now() - SETTLE_MS) / STEP_MS)
    const first = Math.max(Math.floor(receipts.scoredTo / STEP_MS), end - MAX_SCORED_STEPS)
    // Before the first look ever there is nothing that balancing could have been good for.
    const from = receipts.scoredTo === 0 ? end - 1 : first
    if (from >= end) return
    const minute = from * JUDGED_STEP_MINUTES
    const minutes = await measured.minutes(undefined, minute, end * JUDGED_STEP_MINUTES)
    const steps: ScoredStep[] = []
    for (let step = from; step < end; step++) {
      const load = meanOf(minutes, step - from)
      if (Number.isNaN(load)) continue
      const isOver = load > limit
      const isMissed = isOver && !this.#wasOver && !this.#isMeant(step * STEP_MS)
      this.#wasOver = isOver
      steps.push({ atMs: step * STEP_MS, minutes: JUDGED_STEP_MINUTES, isOver, isMissed })
    }
    receipts.addSteps(steps, end * STEP_MS)
  }

  /** Whether a move against an overload was under way then, or had ended within the hour before. */
  #isMeant(atMs: number): boolean {
    return this.#parts.receipts.book.all().some(({ receipt }) => {
      const { keptBy, decidedAt, endedAt = Number.POSITIVE_INFINITY } = receipt
      const isOurs = keptBy === 'source' && counted(receipt)
      return isOurs && decidedAt < atMs + STEP_MS && endedAt > atMs - JUDGED_MS
    })
  }
}
