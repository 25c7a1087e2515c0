/**
 * How long moves of this node take beside copying, for an estimate of the next: negotiation, writing
 * down what was settled, handing over; and what a look came later than it was due.
 *
 *   due --late--> want --negotiation--> award --> move: copying, hand-over --> end
 *   '----------------------- all of it, less the copying ---------------------'
 *
 * Invariants: it is what most moves stay below, a mean and twice the usual deviation; no single move
 * counts for more than twice that, and it is bounded by MOST_DELAY_MS; a large move says nothing of
 * it: what copying differs from the estimate would be more.
 */
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import { MEASURED_COPY_BYTES, MOST_DELAY_MS, MOVE_DELAY_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import { rateOf } from '../scaled-clock.ts'

/** Of what the last move differs from the mean, what the mean takes up; the first ones count alike. */
const GAIN = 0.2
const DEVIATIONS = 2
/** Of the estimate: a node that stood still once must not move early ever after. */
const MOST_COUNTED = 2

export class MoveDelay {
  readonly #clock: Clock
  #meanMs: number
  #deviationMs: number
  #counted = 1
  #lookedMs: number | undefined
  #dueMs: number | undefined

  /** `clock`: that of load. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#meanMs = (MOVE_DELAY_MS / 2) * rateOf(clock)
    this.#deviationMs = this.#meanMs / DEVIATIONS
  }

  /** Milliseconds of load time. */
  get ms(): number {
    const mostMs = MOST_DELAY_MS * rateOf(this.#clock)
    return Math.min(mostMs, this.#meanMs + DEVIATIONS * this.#deviationMs)
  }

  /** A look begins: from it wants may come. */
  looked(): void {
    const nowMs = this.#clock.monotonicMs()
    const last = this.#lookedMs
    // A look that is missed costs a step; what comes after a longer pause is no later for it.
    this.#dueMs = last === undefined ? nowMs : Math.max(nowMs - STEP_MS, last + STEP_MS)
    this.#lookedMs = nowMs
  }

  /** When what is wanted now could have been wanted first; monotonic ms of load time. */
  wantedMs(): number {
    const nowMs = this.#clock.monotonicMs()
    return Math.min(nowMs, this.#dueMs ?? nowMs)
  }

  /** `bytesPerSecond`: at which it was taken to copy, of load time. */
  ended(
    { state, bytes }: Pick<Move, 'state' | 'bytes'>,
    wantedMs: number,
    bytesPerSecond: number
  ): void {
    if (state !== 'done' || bytes.done >= MEASURED_COPY_BYTES) return
    const copyMs = (bytes.done / Math.max(1, bytesPerSecond)) * 1000
    const tookMs = Math.max(0, this.#clock.monotonicMs() - wantedMs - copyMs)
    const ms = Math.min(MOST_COUNTED * this.ms, tookMs)
    const gain = Math.max(GAIN, 1 / (this.#counted + 1))
    this.#counted += 1
    const missedMs = ms - this.#meanMs
    this.#meanMs += gain * missedMs
    this.#deviationMs += gain * (Math.abs(missedMs) - this.#deviationMs)
  }
}
