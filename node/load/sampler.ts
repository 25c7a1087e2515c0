/**
 * Once a second: what the monitor has counted, to whoever keeps it.
 *
 * Invariant: a second is told once, when it has ended; a clock that jumps skips or repeats none of
 * what was counted, only its name.
 */
import type { Clock, Timer } from '../ports.ts'

const SECOND_MS = 1_000
/** A little into the second, so that a timer that comes early does not name the one before. */
const AFTER_MS = 20

export class Sampler {
  readonly #clock: Clock
  readonly #take: (second: number) => void
  #timer: Timer | undefined

  /** `take` gets the number of the second that has just ended. */
  constructor(clock: Clock, take: (second: number) => void) {
    this.#clock = clock
    this.#take = take
  }

  start(): void {
    const leftMs = SECOND_MS - (this.#clock.now() % SECOND_MS)
    this.#timer = this.#clock.after(leftMs + AFTER_MS, () => {
      this.#take(Math.floor((this.#clock.now() - AFTER_MS) / SECOND_MS) - 1)
      this.start()
    })
  }

  stop(): void {
    this.#timer?.cancel()
  }
}
