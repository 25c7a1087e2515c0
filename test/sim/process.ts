/**
 * One start of one simulated node: the gate through which everything reaches its code. Once it is
 * dead, no timer, no disk and no network enters it again, and what its code still calls in its last
 * microtasks goes nowhere. While it is frozen, what would enter waits.
 */
import type { Clock } from '../../node/ports.ts'
import type { Timeline } from './timeline.ts'

/** Wall clock at the beginning of every simulation. */
const WALL_MS = 1_700_000_000_000

export class SimProcess {
  readonly name: string
  readonly clock: Clock
  isAlive = true
  readonly #timeline: Timeline
  #frozen: Array<() => void> | undefined
  readonly #onDeath: Array<() => void> = []

  constructor(name: string, timeline: Timeline) {
    this.name = name
    this.#timeline = timeline
    this.clock = {
      now: () => WALL_MS + Math.floor(timeline.nowMs),
      monotonicMs: () => timeline.nowMs,
      after: (delayMs, task) => {
        const event = timeline.after(delayMs, () => this.enter(task))
        return { cancel: () => timeline.cancel(event) }
      },
      soon: task => {
        timeline.after(0, () => this.enter(task))
      }
    }
  }

  get isFrozen(): boolean {
    return this.#frozen !== undefined
  }

  /** Runs `task` inside the process: now, when it thaws, or never. */
  enter(task: () => void): void {
    if (!this.isAlive) return
    if (this.#frozen !== undefined) this.#frozen.push(task)
    else task()
  }

  /** Resolves inside the process after `delayMs`; never, once it is dead. */
  sleep(delayMs: number): Promise<void> {
    return new Promise(resolve => {
      this.#timeline.after(delayMs, () => this.enter(resolve))
    })
  }

  freeze(): void {
    this.#frozen ??= []
  }

  thaw(): void {
    const waiting = this.#frozen ?? []
    this.#frozen = undefined
    for (const task of waiting) this.#timeline.after(0, () => this.enter(task))
  }

  /** From this instant nothing of it acts any more. */
  die(): void {
    if (!this.isAlive) return
    this.isAlive = false
    this.#frozen = undefined
    for (const listener of this.#onDeath.splice(0)) listener()
  }

  onDeath(listener: () => void): void {
    this.#onDeath.push(listener)
  }
}
