/**
 * Requests of one link that were told BUSY, or to look elsewhere: asked again after a pause.
 *
 * Invariant: a request leaves once, by its timer or by `extract`.
 */
import type { Clock, Timer } from '../ports.ts'
import type { LinkRequest } from './request.ts'

export class Paused {
  readonly #clock: Clock
  readonly #timers = new Map<LinkRequest, Timer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#timers.size
  }

  some(test: (request: LinkRequest) => boolean): boolean {
    return [...this.#timers.keys()].some(test)
  }

  add(request: LinkRequest, pauseMs: number, again: () => void): void {
    const timer = this.#clock.after(pauseMs, () => {
      this.#timers.delete(request)
      again()
    })
    this.#timers.set(request, timer)
  }

  /** Removes and returns what the test chooses. */
  extract(test: (request: LinkRequest) => boolean): LinkRequest[] {
    const taken: LinkRequest[] = []
    for (const [request, timer] of this.#timers) {
      if (!test(request)) continue
      timer.cancel()
      this.#timers.delete(request)
      taken.push(request)
    }
    return taken
  }
}
