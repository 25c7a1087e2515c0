/**
 * Once a second: what the monitor has counted, to whoever keeps it. By a load clock that runs faster
 * than time, as often as it allows: what was counted then stands for several seconds, or minutes.
 *
 * Invariant: a second is told once, when it has ended; a clock that jumps skips or repeats none of
 * what was counted, only its name.
 */
import type { Clock, Timer } from '../ports.ts'
import { leastDelayMs, rateOf } from '../scaled-clock.ts'

const SECOND_MS = 1_000
/** A little into the second, so that a timer that comes early does not name the one before. */
const AFTER_MS = 20
/** The same of a faster clock, in time: timers are not as exact as its seconds are short. */
const AFTER_SCALED_MS = 2
/** Seconds that are taken at once: whole parts of a minute, or whole minutes. */
const PERIODS = [1, 5, 15, 60, 300, 900, 3600] as const

export class Sampler {
  readonly #clock: Clock
  readonly #take: (second: number, count: number) => void
  readonly #period: number
  readonly #afterMs: number
  /** Seconds since 1970 that were told; of a clock that never jumps. */
  #told: number | undefined
  #timer: Timer | undefined

  /** `take` gets the number of the second that has just ended, and how many end with it. */
  constructor(clock: Clock, take: (second: number, count: number) => void) {
    const least = leastDelayMs(clock) / SECOND_MS
    this.#clock = clock
    this.#take = take
    this.#period = PERIODS.find(period => period >= least) ?? 3600
    this.#afterMs = clock.scale === undefined ? AFTER_MS : AFTER_SCALED_MS * rateOf(clock)
  }

  start(): void {
    const periodMs = this.#period * SECOND_MS
    const leftMs = periodMs - (this.#clock.now() % periodMs)
    this.#timer = this.#clock.after(leftMs + this.#afterMs, () => {
      const periods = Math.floor((this.#clock.now() - this.#afterMs / 2) / periodMs)
      this.#end(periods * this.#period)
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }

  /** All seconds before `end` are over. */
  #end(end: number): void {
    const told = this.#clock.scale === undefined ? end - 1 : (this.#told ?? end - this.#period)
    this.#told = end
    if (end > told) this.#take(end - 1, end - told)
  }
}
