/**
 * A simulated clock for code that waits only for its own timers and promises: time passes in `run`,
 * timer by timer, with a few microtasks between, and never waits for the event loop.
 */
import type { Clock } from '../../node/ports.ts'

const WALL_MS = 1_700_000_000_000
const MICROTASKS = 30

interface Pending {
  readonly atMs: number
  readonly task: () => void
}

export class MicroClock implements Clock {
  #nowMs = 0
  #timers: Pending[] = []

  now(): number {
    return WALL_MS + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  /** Timers that have not run. */
  get pending(): number {
    return this.#timers.length
  }

  after(delayMs: number, task: () => void): { cancel: () => void } {
    const timer = { atMs: this.#nowMs + delayMs, task }
    this.#timers.push(timer)
    return { cancel: () => this.#drop(timer) }
  }

  soon(task: () => void): void {
    queueMicrotask(task)
  }

  /** Time passes and nothing runs, as on a machine that stands still: timers will be late. */
  stall(ms: number): void {
    this.#nowMs += ms
  }

  async run(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await microtasks()
    for (;;) {
      const [next] = this.#timers.sort((a, b) => a.atMs - b.atMs)
      if (next === undefined || next.atMs > endMs) break
      this.#nowMs = Math.max(this.#nowMs, next.atMs)
      this.#drop(next)
      next.task()
      await microtasks()
    }
    this.#nowMs = Math.max(this.#nowMs, endMs)
  }

  #drop(timer: Pending): void {
    this.#timers = this.#timers.filter(other => other !== timer)
  }
}

async function microtasks(): Promise<void> {
  for (let i = 0; i < MICROTASKS; i++) await Promise.resolve()
}
