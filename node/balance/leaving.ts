/**
 * Loads that have left, or come, and that forecasts may not know of yet: a chunk's history follows it
 * a little later, and the next forecast after that is the first without, or with it.
 *
 * Invariant: each is forgotten with the first forecast that surely knows, and after a while anyway.
 */
import { MOVED_FORGOTTEN_MS, MOVED_SETTLES_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { Ahead } from './outlooks.ts'

interface Gone {
  readonly ahead: Ahead
  readonly endedMs: number
}

export class Leaving {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  #gone: Gone[] = []

  /** `clock`: that of load. */
  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  add(ahead: Ahead): void {
    this.#gone.push({ ahead, endedMs: this.#clock.monotonicMs() })
  }

  gone(): Ahead[] {
    this.#drop(MOVED_FORGOTTEN_MS)
    return this.#gone.map(({ ahead }) => ahead)
  }

  /** A forecast of the node came in. */
  foretold(): void {
    this.#drop(MOVED_SETTLES_MS)
  }

  #drop(olderThanMs: number): void {
    const sinceMs = this.#clock.monotonicMs() - olderThanMs
    this.#gone = this.#gone.filter(({ endedMs }) => endedMs > sinceMs)
  }
}
