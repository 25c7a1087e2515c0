/**
 * Seasonal autoregression: the next value out of the last three and of those around the same time
 * one, two, three and seven days before, by ridge regression on ln(1 + load).
 *
 * Kept up to date by sufficient statistics: a sample costs one row of X'X, a solution is wanted only
 * now and then. Two sets of statistics: with one day of lags at first, with all once a week is known.
 * A path of forecasts feeds on itself.
 */
import type { History } from './history.ts'
import { LeastSquares } from './linear.ts'
import type { PointModel } from './model.ts'

const SHORT = [1, 2, 3]
const AROUND = [-1, 0, 1]
/** Means of the last hour and three hours, where they say more than the lags. */
const WINDOWS_PER_DAY = [24, 8]
const SOLUTIONS_PER_DAY = 6
const HEADROOM = 0.7
const RIDGE = 0.00003
/** Steps of a day after which old rows weigh half as much: four weeks. */
const HALF_LIFE_DAYS = 28
const LN_HALF = -Math.LN2

export class SeasonalRegression implements PointModel {
  readonly name = 'regression'
  readonly #history: History
  readonly #sets: readonly LagSet[]

  constructor(history: History) {
    this.#history = history
    const memory = 1 + LN_HALF / (HALF_LIFE_DAYS * history.day)
    this.#sets = [[1], [1, 2, 3], [1, 2, 3, 7]].map(days => new LagSet(history, days, memory))
  }

  get ready(): boolean {
    return this.#best() !== undefined
  }

  observe(): void {
    // A longer memory that is ready leaves nothing to the shorter ones.
    const best = this.#best()
    for (const set of this.#sets) if (best === undefined || set.terms >= best.terms) set.observe()
  }

  forecast(out: Float64Array): void {
    const set = this.#best()
    if (set === undefined) out.fill(this.#history.back(0))
    else set.forecast(out)
  }

  /** The longest memory with at least two days of rows and twice as many rows as terms. */
  #best(): LagSet | undefined {
    return this.#sets.findLast(set => set.rows >= 2 * Math.max(this.#history.day, set.terms))
  }
}

class LagSet {
  readonly terms: number
  readonly #history: History
  readonly #days: readonly number[]
  readonly #windows: readonly number[]
  /** Sums of the windows that end one value before the newest, and a copy to carry ahead. */
  readonly #sums: Float64Array
  readonly #ahead: Float64Array
  readonly #fit: LeastSquares
  readonly #row: Float64Array
  readonly #reach: number
  #beta: Float64Array | undefined
  #age = 0
  /** The greatest value so far: a path that feeds on itself must not run away. */
  #most = 0

  constructor(history: History, days: readonly number[], memory: number) {
    this.#history = history
    this.#days = days
    this.#windows = WINDOWS_PER_DAY.map(parts => Math.round(history.day / parts)).filter(
      window => window > SHORT.length
    )
    this.#sums = new Float64Array(this.#windows.length)
    this.#ahead = new Float64Array(this.#windows.length)
    this.terms = SHORT.length + AROUND.length * days.length + this.#windows.length + 1
    this.#fit = new LeastSquares(this.terms, memory)
    this.#row = new Float64Array(this.terms)
    this.#reach = (days.at(-1) ?? 1) * history.day + AROUND.length + SHORT.length
  }

  get rows(): number {
    return this.#fit.rows
  }

  observe(): void {
    this.#most = Math.max(this.#most, this.#history.back(0))
    if (this.#history.length > this.#reach) {
      this.#fill(0, undefined, this.#sums)
      this.#fit.add(this.#row, this.#history.back(0))
      if (++this.#age * SOLUTIONS_PER_DAY >= this.#history.day) this.#beta = undefined
    }
    this.#slide(0, undefined, this.#sums)
  }

  forecast(out: Float64Array): void {
    const beta = this.#solution()
    this.#ahead.set(this.#sums)
    for (let h = 1; h <= out.length; h++) {
      this.#fill(h, out, this.#ahead)
      let sum = 0
      for (let i = 0; i < this.terms; i++) sum += (beta[i] ?? 0) * (this.#row[i] ?? 0)
      out[h - 1] = Math.min(this.#most + HEADROOM, Math.max(0, sum))
      this.#slide(h, out, this.#ahead)
    }
  }

  #solution(): Float64Array {
    if (this.#beta === undefined) {
      this.#beta = this.#fit.solve(RIDGE)
      this.#age = 0
    }
    return this.#beta
  }

  /** The terms of the value `h` steps after the newest; `path` holds what was forecast so far. */
  #fill(h: number, path: Float64Array | undefined, sums: Float64Array): void {
    const history = this.#history
    const row = this.#row
    let i = 0
    for (const lag of SHORT) {
      row[i++] = lag < h && path !== undefined ? (path[h - 1 - lag] ?? 0) : history.back(lag - h)
    }
    for (const day of this.#days) {
      const before = history.dayLag(day)
      for (const shift of AROUND) {
        const lag = before - shift
        row[i++] = lag < h && path !== undefined ? (path[h - 1 - lag] ?? 0) : history.back(lag - h)
      }
    }
    for (let w = 0; w < sums.length; w++) row[i++] = (sums[w] ?? 0) / (this.#windows[w] ?? 1)
    row[i] = 1
  }

  /** Moves the windows one value on, to end with the value `h` steps after the newest. */
  #slide(h: number, path: Float64Array | undefined, sums: Float64Array): void {
    const history = this.#history
    const value = h > 0 && path !== undefined ? (path[h - 1] ?? 0) : history.back(0)
    for (let w = 0; w < sums.length; w++) {
      const lag = this.#windows[w] ?? 1
      const inside = history.length + h > lag
      const leaving = !inside
        ? 0
        : lag < h && path !== undefined
          ? (path[h - 1 - lag] ?? 0)
          : history.back(lag - h)
      sums[w] = (sums[w] ?? 0) + value - leaving
    }
  }
}
