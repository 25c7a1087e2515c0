/**
 * Quantiles that hold what they promise: the point forecast plus a quantile of its own recent
 * errors (split conformal prediction on a sliding window), whose level is corrected by what was
 * covered (Gibbs and Candes 2021, adaptive conformal inference).
 *
 * Errors are on the scale ln(1 + load). A load that equals its quantile teaches nothing: that is
 * how a shard that mostly stands still is covered in proportion.
 *
 * Invariants: bounded memory; quantiles of rising levels never cross; none is negative.
 */
import { assert } from '../assert.ts'
import { CONFORMAL_WINDOW } from './limits.ts'
import { expm1, ln1p, round6 } from './numeric.ts'

const LEARNING_RATE = 0.003
const LEAST_ERRORS = 24
/** No quantile is above the greatest load of late by more than this; "late" fades by the window. */
const HEADROOM = 1.25

/** Of one horizon: `steps` ahead, at rising levels. */
export class QuantileBand {
  readonly #steps: number
  readonly #levels: readonly number[]
  readonly #adapted: Float64Array
  readonly #sorted: Float32Array
  readonly #ring: Float32Array
  /** Point forecasts and quantiles given in the last `steps` steps. NaN: none. */
  readonly #points: Float64Array
  readonly #given: Float64Array
  #count = 0
  #next = 0
  #now = 0
  #most = 0

  constructor(steps: number, levels: readonly number[], window = CONFORMAL_WINDOW) {
    assert(steps >= 1 && levels.length >= 1, 'a band looks ahead')
    this.#steps = steps
    this.#levels = levels
    this.#adapted = Float64Array.from(levels)
    this.#sorted = new Float32Array(window)
    this.#ring = new Float32Array(window)
    this.#points = new Float64Array(steps).fill(Number.NaN)
    this.#given = new Float64Array(steps * levels.length)
  }

  /** A load has come: what was said of it `steps` ago is held against it. */
  observe(load: number): void {
    this.#now++
    this.#most = Math.max(load, this.#most * (1 - 0.1 / this.#ring.length))
    const slot = this.#now % this.#steps
    const point = this.#points[slot] ?? Number.NaN
    this.#points[slot] = Number.NaN
    if (Number.isNaN(point)) return
    const actual = round6(load)
    this.#levels.forEach((level, i) => {
      const given = this.#given[slot * this.#levels.length + i] ?? 0
      if (given === actual) return
      const adapted =
        (this.#adapted[i] ?? level) + LEARNING_RATE * (level - (actual < given ? 1 : 0))
      this.#adapted[i] = Math.min(1, Math.max(0, adapted))
    })
    this.#insert(ln1p(load) - ln1p(point))
  }

  /** The quantiles `steps` ahead of now around a point forecast of load, in the order of levels. */
  quantiles(point: number, out: Float64Array): void {
    const slot = this.#now % this.#steps
    this.#points[slot] = point
    const center = ln1p(point)
    let floor = 0
    for (let i = 0; i < this.#levels.length; i++) {
      const error = this.#count < LEAST_ERRORS ? 0 : this.#errorAt(this.#adapted[i] ?? 1)
      const bounded = Math.min(expm1(center + error), HEADROOM * this.#most)
      floor = Math.max(floor, round6(Math.max(0, bounded)))
      out[i] = floor
      this.#given[slot * this.#levels.length + i] = floor
    }
  }

  /**
   * The chance that the load `steps` ahead exceeds a threshold, where the point forecast lies `gap`
   * below it: ln(1 + threshold) - ln(1 + point). Undefined before there are enough errors to count.
   */
  exceedance(gap: number): number | undefined {
    if (this.#count < LEAST_ERRORS) return undefined
    const above = this.#count - this.#placeAbove(gap)
    return (above + 0.5) / (this.#count + 1)
  }

  #errorAt(level: number): number {
    const place = Math.min(this.#count - 1, Math.floor(level * (this.#count + 1)))
    return this.#sorted[place] ?? 0
  }

  #insert(error: number): void {
    const value = Math.fround(error)
    if (this.#count === this.#ring.length) {
      const at = this.#placeOf(this.#ring[this.#next] ?? 0)
      this.#sorted.copyWithin(at, at + 1, this.#count)
      this.#count--
    }
    const at = this.#placeOf(value)
    this.#sorted.copyWithin(at + 1, at, this.#count)
    this.#sorted[at] = value
    this.#count++
    this.#ring[this.#next] = value
    this.#next = (this.#next + 1) % this.#ring.length
  }

  /** The first place whose error is above `value`. */
  #placeAbove(value: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sorted[middle] ?? 0) <= value) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The first place whose error is not below `value`. */
  #placeOf(value: number): number {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#sorted[middle] ?? 0) < value) low = middle + 1
      else high = middle
    }
    return low
  }
}
