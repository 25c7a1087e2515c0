/**
 * From what a clock and a counter say to an even series: one value per step, no holes.
 *
 *   time     1   2   3   .   .   6   7        a gap: filled with the day before, else the last value
 *   time     1   2   3   3   2   4            late or double: dropped
 *   time     1   2   3 | 90  91  92           a jump of the clock, or a long silence: begin anew
 *   counter  5   9   4                        it went down, so it began again: 4 since then
 *
 * Invariants: the values that leave are finite and never negative; their number is bounded per
 * sample; nothing later than the sample itself decides how a gap is filled.
 */
import { assert } from '../assert.ts'
import { MAX_FILLED_DAYS, MAX_LATE_STEPS, MAX_LOAD } from './limits.ts'

export type Arrival =
  /** Drop the sample: this step is already known. */
  | { readonly kind: 'late' }
  /** The next step, after `missing` steps that must be filled. */
  | { readonly kind: 'next'; readonly missing: number }
  /** The series begins again at this sample. */
  | { readonly kind: 'anew' }

/** Where a sample of `timeMs` stands in a series of even steps. Holds one number. */
export class StepClock {
  readonly stepMs: number
  readonly #longestGap: number
  #slot: number | undefined

  constructor(stepMs: number) {
    assert(stepMs > 0, 'a step lasts')
    this.stepMs = stepMs
    this.#longestGap = (MAX_FILLED_DAYS * 86_400_000) / stepMs
  }

  arrive(timeMs: number): Arrival {
    const slot = Math.floor(timeMs / this.stepMs)
    const last = this.#slot
    if (last !== undefined && slot <= last && last - slot <= MAX_LATE_STEPS) return { kind: 'late' }
    this.#slot = slot
    if (last === undefined || slot < last || slot - last > this.#longestGap) return { kind: 'anew' }
    return { kind: 'next', missing: slot - last - 1 }
  }
}

/** The last few values, of fewer at the start. */
class Trailing {
  readonly #recent: Float64Array
  #count = 0

  constructor(width: number) {
    this.#recent = new Float64Array(width)
  }

  /** Those that are known now, the new one among them; the rest is 0. */
  protected with(value: number): { readonly recent: Float64Array; readonly count: number } {
    this.#recent[this.#count % this.#recent.length] = value
    this.#count++
    return { recent: this.#recent, count: Math.min(this.#count, this.#recent.length) }
  }
}

/** Their mean. What "load" means: that of 15 minutes. */
export class TrailingMean extends Trailing {
  take(value: number): number {
    const { recent, count } = this.with(value)
    let sum = 0
    for (const known of recent) sum += known
    return sum / count
  }
}

/** The greatest of them. */
export class TrailingPeak extends Trailing {
  take(value: number): number {
    let peak = 0
    for (const known of this.with(value).recent) if (known > peak) peak = known
    return peak
  }
}

/** A load that can be believed, or undefined: then it is a gap. */
export function believable(value: number): number | undefined {
  return value >= 0 && value <= MAX_LOAD ? value : undefined
}

/** Rates per second out of a counter that may begin again at any time. */
export class CounterRate {
  #last: { readonly timeMs: number; readonly count: number } | undefined

  /** The rate since the last reading; undefined if there is none, or time did not pass. */
  read(timeMs: number, count: number): number | undefined {
    const last = this.#last
    if (!Number.isFinite(count) || count < 0) return undefined
    this.#last = { timeMs, count }
    if (last === undefined || timeMs <= last.timeMs) return undefined
    const grown = count >= last.count ? count - last.count : count
    return (grown * 1000) / (timeMs - last.timeMs)
  }
}
