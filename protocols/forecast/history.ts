/**
 * The last days of one series, at a fixed step: what every model of the series reads.
 *
 *   back(0) is the newest value, back(1) the one before ...; dayLag(d) says how far back the same
 *   time of day lies, d days ago, as people there read the clock.
 *
 * Invariants: bounded memory; a value older than the ring reads as the oldest that is left; when
 * the zone's offset changes, dayLag moves by the same number of steps for the days before it.
 */
import { assert } from '../assert.ts'
import { HISTORY_DAYS } from './limits.ts'

export class History {
  /** Steps of one day. */
  readonly day: number
  readonly #ring: Float32Array
  readonly #changes: Array<{ readonly at: number; readonly offset: number }> = []
  #next = 0
  #length = 0

  constructor(day: number, days = HISTORY_DAYS) {
    assert(Number.isInteger(day) && day >= 2 && days >= 1, 'a day has whole steps')
    this.day = day
    this.#ring = new Float32Array(day * days + 1)
  }

  /** How many values were ever pushed. */
  get length(): number {
    return this.#length
  }

  /** How many can still be read. */
  get kept(): number {
    return Math.min(this.#length, this.#ring.length)
  }

  /** `offset`: the zone's offset from UTC at this value, in steps. */
  push(value: number, offset = 0): void {
    assert(Number.isFinite(value), 'a history holds numbers')
    this.#ring[this.#next] = value
    this.#next = this.#next + 1 === this.#ring.length ? 0 : this.#next + 1
    if (offset !== (this.#changes.at(-1)?.offset ?? 0)) {
      this.#changes.push({ at: this.#length, offset })
    }
    this.#length++
    const oldest = this.#changes[1]
    if (oldest !== undefined && oldest.at < this.#length - this.#ring.length) this.#changes.shift()
  }

  /** The zone's offset at the newest value, in steps. */
  get offset(): number {
    return this.#changes.at(-1)?.offset ?? 0
  }

  /** The zone's offset at the value `lag` back, in steps. */
  offsetBack(lag: number): number {
    return this.#changes.length === 0 ? 0 : this.#offsetAt(this.#length - 1 - lag)
  }

  /** The values still kept, the oldest first. */
  values(): Float32Array {
    const values = new Float32Array(this.kept)
    const split = this.#length > this.#ring.length ? this.#next : 0
    values.set(this.#ring.subarray(split, split + this.kept))
    values.set(this.#ring.subarray(0, split), values.length - split)
    return values
  }

  back(lag: number): number {
    let index = this.#next - 1 - lag
    if (index < 0) index += this.#ring.length
    return this.#ring[index] ?? 0
  }

  /** Steps from the newest value back to the same local time `days` days before. */
  dayLag(days: number): number {
    const plain = days * this.day
    if (this.#changes.length === 0) return plain
    const last = this.#length - 1
    return plain + this.#offsetAt(last - plain) - this.#offsetAt(last)
  }

  #offsetAt(index: number): number {
    for (let i = this.#changes.length - 1; i >= 0; i--) {
      const change = this.#changes[i]
      if (change !== undefined && change.at <= index) return change.offset
    }
    return this.#changes[0]?.offset ?? 0
  }
}
