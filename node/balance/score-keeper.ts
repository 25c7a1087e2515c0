/**
 * Counts what this node suffers: each step of 5 minutes in which its own measured load was above its
 * threshold. The node may have stood still meanwhile: steps since then are read from its series.
 *
 * History follows data: what moves away takes its past off the series. So a minute counts as it was
 * when it was first seen, which is soon after it ended.
 *
 * Invariants: a step is counted once, and only after all of it was measured; one of which nothing is
 * known counts as neither; what is remembered is bounded by MAX_SCORED_STEPS.
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
  /** Loads of minutes since 1970 that are in no counted step yet, as they were first seen. */
  readonly #seen = new Map<number, number>()

  constructor(parts: ScoreKeeperParts) {
    this.#parts = parts
  }

  /** Looks at the last minutes, and counts the steps that have ended. Rejects if the keeper does. */
  async look(): Promise<void> {
    const { clock, receipts, threshold } = this.#parts
    const now = clock.now()
    const end = Math.floor((now - SETTLE_MS) / STEP_MS)
    // Before the first look ever there is nothing that balancing could have been good for.
    const last = receipts.scoredTo === 0 ? end - 1 : Math.floor(receipts.scoredTo / STEP_MS)
    const from = Math.max(last, end - MAX_SCORED_STEPS)
    await this.#see(from * JUDGED_STEP_MINUTES, Math.floor(now / MINUTE_MS))
    const limit = threshold()
    if (limit === undefined || from >= end) return
    const steps: ScoredStep[] = []
    for (let step = from; step < end; step++) {
      const load = this.#meanOf(step)
      if (Number.isNaN(load)) continue
      const isOver = load > limit
      const isMissed = isOver && !this.#wasOver && !this.#isMeant(step * STEP_MS)
      this.#wasOver = isOver
      steps.push({ atMs: step * STEP_MS, minutes: JUDGED_STEP_MINUTES, isOver, isMissed })
    }
    receipts.addSteps(steps, end * STEP_MS)
  }

  async #see(from: number, to: number): Promise<void> {
    for (const minute of this.#seen.keys()) if (minute < from) this.#seen.delete(minute)
    const first = Math.max(from - 1, ...this.#seen.keys()) + 1
    if (first >= to) return
    const loads = await this.#parts.measured.minutes(undefined, first, to)
    for (const [i, load] of loads.entries()) {
      if (!Number.isNaN(load)) this.#seen.set(first + i, load)
    }
  }

  #meanOf(step: number): number {
    const first = step * JUDGED_STEP_MINUTES
    const minutes = Array.from({ length: JUDGED_STEP_MINUTES }, (_, i) => {
      return this.#seen.get(first + i) ?? Number.NaN
    })
    return meanOf(minutes, 0)
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
