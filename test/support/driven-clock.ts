/** Time that passes only in `advance`; what is to happen soon, and promises, happen by themselves. */
import type { Clock, Timer } from '../../node/ports.ts'

const WALL_MS = 1_700_000_000_000

export class DrivenClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<{ readonly atMs: number; readonly task: () => void }>()

  now(): number {
    return WALL_MS + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, task }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  soon(task: () => void): void {
    setImmediate(task)
  }

  /** Runs what is due until then, in order; each at its time. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > endMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      this.#timers.delete(next)
      next.task()
    }
    this.#nowMs = endMs
  }
}
