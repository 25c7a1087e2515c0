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

export class LeastSquares {
  readonly size: number
  readonly #gram: Float64Array
  readonly #memory: number
  #rows = 0

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

  add(x: Float64Array, y: number, weight = 1): void {
    const { size } = this
    const width = size + 1
    const gram = this.#gram
    if (this.#memory < 1)
      for (let i = 0; i < gram.length; i++) gram[i] = (gram[i] ?? 0) * this.#memory
    for (let i = 0; i < size; i++) {
      const row = i * width
      const xi = weight * (x[i] ?? 0)
      for (let j = i; j < size; j++) gram[row + j] = (gram[row + j] ?? 0) + xi * (x[j] ?? 0)
      gram[row + size] = (gram[row + size] ?? 0) + xi * y
    }
    this.#rows = this.#rows * this.#memory + weight
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

  /** A copy with the ridge on its diagonal, measured on deviations so that no unit matters. */
  #centred(ridge: number): Float64Array {
    const { size } = this
    const width = size + 1
    const a = Float64Array.from(this.#gram)
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
