/**
 * How much is asked of the node and its shards right now: the mean of the last minute, which a burst
 * of a few seconds does not move.
 *
 * Invariants: of the node a fixed number of samples is kept; a node that was looked at for less than
 * half of the window is not called busy.
 */
import { loadOf } from '../../protocols/load/record.ts'
import { BALANCE_PRESSURE_MS, BALANCE_SAMPLE_MS } from '../limits.ts'
import { NODE_KEY } from '../load/keeper-messages.ts'
import type { Load } from '../load/load.ts'
import type { Clock, Timer } from '../ports.ts'
import { leastDelayMs } from '../scaled-clock.ts'

const FEWEST_SAMPLES = 3

interface Sample {
  readonly atMs: number
  readonly load: number
}

export class Pressure {
  readonly #load: Pick<Load, 'recent'>
  readonly #clock: Clock
  readonly #onSample: () => void
  /** By a faster clock, of as many looks as it allows. */
  readonly #windowMs: number
  #samples: Sample[] = []
  #timer: Timer | undefined

  /** `onSample`: after each look. `clock`: that of load. */
  constructor(load: Pick<Load, 'recent'>, clock: Clock, onSample: () => void) {
    this.#load = load
    this.#clock = clock
    this.#onSample = onSample
    this.#windowMs = Math.max(BALANCE_PRESSURE_MS, FEWEST_SAMPLES * leastDelayMs(clock))
    this.#arm()
  }

  /** Units per second. */
  get node(): number {
    if (this.#samples.length === 0) return loadOf(this.#load.recent(NODE_KEY))
    return this.#samples.reduce((sum, { load }) => sum + load, 0) / this.#samples.length
  }

  isOver(threshold: number): boolean {
    const [first] = this.#samples
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined) return false
    if (last.atMs - first.atMs < this.#windowMs / 2) return false
    return last.load > threshold && this.node > threshold
  }

  stop(): void {
    this.#timer?.cancel()
  }

  #arm(): void {
    this.#timer = this.#clock.after(BALANCE_SAMPLE_MS, () => {
      this.#arm()
      const atMs = this.#clock.monotonicMs()
      this.#samples.push({ atMs, load: loadOf(this.#load.recent(NODE_KEY)) })
      this.#samples = this.#samples.filter(one => one.atMs > atMs - this.#windowMs)
      this.#onSample()
    })
  }
}
