/**
 * A load clock that a test turns by hand: what waits for it runs when the hand passes it, in order,
 * and what it starts on other clocks gets turns in between. Everything else runs on the real clock.
 */
import type { Clock, Timer } from '../../node/ports.ts'

interface Pending {
  readonly atMs: number
  readonly task: () => void
}

export class TurnedClock implements Clock {
  #nowMs = 0
  readonly #startMs: number
  readonly #timers = new Set<Pending>()

  /** `startMs`: wall. */
  constructor(startMs: number) {
    this.#startMs = startMs
  }

  now(): number {
    return this.#startMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(1, delayMs), task }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  soon(task: () => void): void {
    setImmediate(task)
  }

  async turn(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#first()
      if (next === undefined || next.atMs > endMs) break
      this.#timers.delete(next)
      if (next.atMs > this.#nowMs + BREATH_MS) await breath()
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      next.task()
    }
    this.#nowMs = Math.max(this.#nowMs, endMs)
    await breath()
  }

  #first(): Pending | undefined {
    let first: Pending | undefined
    for (const timer of this.#timers)
      if (first === undefined || timer.atMs < first.atMs) first = timer
    return first
  }
}

/** Whoever waits for less than this has no turn of its own. */
const BREATH_MS = 5

function breath(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
