/**
 * SARIMA (2,0,2)(0,1,1) with a season of one day, on ln(1 + load):
 *
 *   w(t) = z(t) - z(t - day)
 *   w(t) = c + f1 w(t-1) + f2 w(t-2) + a(t) + g1 a(t-1) + g2 a(t-2) + G a(t-day) + G' a(t-day-1)
 *
 * Estimated without search by extended least squares (Panuska 1968, the recursive form of Hannan
 * and Rissanen): the model's own errors `a` are regressors, and a regression kept by sufficient
 * statistics is solved now and then.
 *
 * Invariants: an error that enters is clamped, so a moving average that cannot be inverted cannot
 * run away; a path stays between nothing and a little above what the season ever reached.
 */
import { History } from './history.ts'
import { LeastSquares } from './linear.ts'
import type { PointModel } from './model.ts'

const TERMS = 7
const RIDGE = 0.001
const MEMORY_DAYS = 28
const CLAMP = 6

export class Arima implements PointModel {
  readonly name = 'arima'
  readonly #history: History
  readonly #errors: History
  readonly #fit: LeastSquares
  readonly #row = new Float64Array(TERMS)
  #beta: Float64Array | undefined
  #spread = 0
  #age = 0

  constructor(history: History) {
    this.#history = history
    this.#errors = new History(history.day, 2)
    this.#fit = new LeastSquares(TERMS, 1 - 1 / (MEMORY_DAYS * history.day))
  }

  get ready(): boolean {
    return this.#fit.rows >= this.#history.day
  }

  observe(): void {
    const history = this.#history
    if (history.length <= history.day + 3) {
      this.#errors.push(0, history.offset)
      return
    }
    // The errors are one value behind the history here: their newest belongs to lag 1.
    const lag = history.dayLag(1)
    const row = this.#row
    row[0] = history.back(1) - history.back(1 + lag)
    row[1] = history.back(2) - history.back(2 + lag)
    row[2] = this.#errors.back(0)
    row[3] = this.#errors.back(1)
    row[4] = this.#errors.back(lag - 1)
    row[5] = this.#errors.back(lag)
    row[6] = 1
    const w = history.back(0) - history.back(lag)
    const error = w - dot(this.#solution(), row)
    const bound = CLAMP * this.#spread
    this.#fit.add(row, w)
    this.#errors.push(bound > 0 ? Math.min(bound, Math.max(-bound, error)) : error, history.offset)
    this.#spread += (Math.min(Math.abs(error), bound || Math.abs(error)) - this.#spread) / 100
    if (++this.#age * 6 >= history.day) this.#beta = undefined
  }

  forecast(out: Float64Array): void {
    const history = this.#history
    const beta = this.#solution()
    const row = this.#row
    let before = history.back(0) - history.back(history.dayLag(1))
    let earlier = history.back(1) - history.back(1 + history.dayLag(1))
    for (let h = 1; h <= out.length; h++) {
      const lag = history.dayLag(1)
      row[0] = before
      row[1] = earlier
      row[2] = h === 1 ? this.#errors.back(0) : 0
      row[3] = h <= 2 ? this.#errors.back(2 - h) : 0
      row[4] = h <= lag ? this.#errors.back(lag - h) : 0
      row[5] = h <= lag + 1 ? this.#errors.back(lag + 1 - h) : 0
      row[6] = 1
      const w = dot(beta, row)
      const season = h <= lag ? history.back(lag - h) : (out[h - 1 - lag] ?? 0)
      out[h - 1] = Math.min(40, Math.max(0, season + w))
      earlier = before
      before = w
    }
  }

  #solution(): Float64Array {
    if (this.#beta === undefined) {
      this.#beta = this.#fit.rows < 4 * TERMS ? new Float64Array(TERMS) : this.#fit.solve(RIDGE)
      this.#age = 0
    }
    return this.#beta
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}
