/**
 * Regularised least squares by sufficient statistics: X'X and X'y, kept up to date per sample,
 * solved by Cholesky. Old rows fade by `memory`.
 *
 *   gram   upper triangle of the weighted X'X and, as last column, X'y
 *
 * Invariants: the last regressor is the constant 1 and is not shrunk; `solve` never divides by a
 * pivot that rounding has eaten (such a coefficient is 0).
 */
import { assert } from '../assert.ts'

const LEAST_PIVOT = 1e-10
const HEAVIEST = 1e6

export class LeastSquares {
  readonly size: number
  readonly #gram: Float64Array
  readonly #memory: number
  #rows = 0
  /** Of the next row: newer rows weigh more, which is the same as older ones fading. */
  #weight = 1

  /** `memory` is the weight that a row keeps from one to the next: 1 forgets nothing. */
  constructor(size: number, memory: number) {
    assert(size >= 1 && memory > 0 && memory <= 1, 'a regression has terms and a memory')
    this.size = size
    this.#memory = memory
    this.#gram = new Float64Array(size * (size + 1))
  }

  /** Rows that still count. */
  get rows(): number {
    return this.#rows
  }

  add(x: Float64Array, y: number): void {
    const { size } = this
    const gram = this.#gram
    const weight = this.#weight
    let at = 0
    for (let i = 0; i < size; i++) {
      const xi = weight * (x[i] ?? 0)
      at += i
      for (let j = i; j < size; j++, at++) gram[at] = (gram[at] ?? 0) + xi * (x[j] ?? 0)
      gram[at] = (gram[at] ?? 0) + xi * y
      at++
    }
    this.#rows = this.#rows * this.#memory + 1
    this.#weight = weight / this.#memory
    if (this.#weight > HEAVIEST) this.#lighten()
  }

  /** Coefficients; each but the constant is shrunk by `ridge` times its own sum of squares. */
  solve(ridge: number): Float64Array {
    const { size } = this
    const width = size + 1
    const a = this.#centred(ridge)
    for (let j = 0; j < size; j++) factorColumn(a, j, size, width)
    const beta = new Float64Array(size)
    for (let i = 0; i < size; i++) {
      let sum = a[i * width + size] ?? 0
      for (let k = 0; k < i; k++) sum -= (a[k * width + i] ?? 0) * (beta[k] ?? 0)
      const pivot = a[i * width + i] ?? 0
      beta[i] = pivot > 0 ? sum / pivot : 0
    }
    for (let i = size - 1; i >= 0; i--) {
      let sum = beta[i] ?? 0
      for (let k = i + 1; k < size; k++) sum -= (a[i * width + k] ?? 0) * (beta[k] ?? 0)
      const pivot = a[i * width + i] ?? 0
      beta[i] = pivot > 0 ? sum / pivot : 0
    }
    return beta
  }

  #lighten(): void {
    for (let i = 0; i < this.#gram.length; i++) this.#gram[i] = (this.#gram[i] ?? 0) / this.#weight
    this.#weight = 1
  }

  /** A copy with the ridge on its diagonal, measured on deviations so that no unit matters. */
  #centred(ridge: number): Float64Array {
    const { size } = this
    const width = size + 1
    const a = this.#gram.slice()
    for (let i = 0; i < a.length; i++) a[i] = (a[i] ?? 0) / this.#weight
    const last = size - 1
    const count = a[last * width + last] ?? 0
    for (let i = 0; i < last; i++) {
      const sum = a[i * width + last] ?? 0
      const square = a[i * width + i] ?? 0
      const spread = count > 0 ? Math.max(0, square - (sum * sum) / count) : square
      a[i * width + i] = square + ridge * spread + LEAST_PIVOT * (1 + square)
    }
    return a
  }
}

/** Column `j` of the upper factor of a symmetric matrix, in place. */
function factorColumn(a: Float64Array, j: number, size: number, width: number): void {
  for (let i = 0; i <= j; i++) {
    let sum = a[i * width + j] ?? 0
    for (let k = 0; k < i; k++) sum -= (a[k * width + i] ?? 0) * (a[k * width + j] ?? 0)
    const pivot = a[i * width + i] ?? 0
    if (i < j) a[i * width + j] = pivot > 0 ? sum / pivot : 0
    else a[i * width + i] = sum > LEAST_PIVOT * size * LEAST_PIVOT ? Math.sqrt(sum) : 0
  }
}
