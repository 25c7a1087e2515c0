/**
 * A linear regression that learns one row at a time and forgets: normal equations whose past fades,
 * solved with a ridge (Cholesky) when asked.
 *
 * Invariants: bounded memory; no row makes it divide by zero; made of + - * / and square roots, so the
 * same rows give the same weights on every version of Node.
 */

/** The ridge, as part of the mean of the diagonal. */
const RIDGE_PART = 1e-3
const LEAST_RIDGE = 1e-12

export class Ridge {
  readonly width: number
  readonly #fade: number
  /** Lower triangle, row by row: sums of products, and those with the outcome. */
  readonly #products: Float64Array
  readonly #outcomes: Float64Array
  readonly #factor: Float64Array
  readonly #weights: Float64Array

  /** `fade`: what is left of a row's weight one row later. */
  constructor(width: number, fade: number) {
    this.width = width
    this.#fade = fade
    this.#products = new Float64Array((width * (width + 1)) / 2)
    this.#outcomes = new Float64Array(width)
    this.#factor = new Float64Array(this.#products.length)
    this.#weights = new Float64Array(width)
  }

  learn(row: Float64Array, outcome: number): void {
    let at = 0
    for (let i = 0; i < this.width; i++) {
      const x = row[i] ?? 0
      for (let j = 0; j <= i; j++, at++) {
        this.#products[at] = this.#fade * (this.#products[at] ?? 0) + x * (row[j] ?? 0)
      }
      this.#outcomes[i] = this.#fade * (this.#outcomes[i] ?? 0) + x * outcome
    }
  }

  /** What the last `solve` makes of a row; 0 before the first. */
  predict(row: Float64Array): number {
    let sum = 0
    for (let i = 0; i < this.width; i++) sum += (this.#weights[i] ?? 0) * (row[i] ?? 0)
    return sum
  }

  solve(): void {
    this.#decompose()
    const [factor, weights] = [this.#factor, this.#weights]
    for (let i = 0; i < this.width; i++) {
      let sum = this.#outcomes[i] ?? 0
      for (let j = 0; j < i; j++) sum -= (factor[place(i, j)] ?? 0) * (weights[j] ?? 0)
      weights[i] = sum / (factor[place(i, i)] ?? 1)
    }
    for (let i = this.width - 1; i >= 0; i--) {
      let sum = weights[i] ?? 0
      for (let j = i + 1; j < this.width; j++) {
        sum -= (factor[place(j, i)] ?? 0) * (weights[j] ?? 0)
      }
      weights[i] = sum / (factor[place(i, i)] ?? 1)
    }
  }

  #decompose(): void {
    let trace = 0
    for (let i = 0; i < this.width; i++) trace += this.#products[place(i, i)] ?? 0
    const ridge = LEAST_RIDGE + (RIDGE_PART * trace) / this.width
    for (let i = 0; i < this.width; i++) {
      for (let j = 0; j <= i; j++) {
        let sum = (this.#products[place(i, j)] ?? 0) + (i === j ? ridge : 0)
        for (let k = 0; k < j; k++) {
          sum -= (this.#factor[place(i, k)] ?? 0) * (this.#factor[place(j, k)] ?? 0)
        }
        // What rounding may take from the diagonal is less than the ridge.
        this.#factor[place(i, j)] =
          i === j ? Math.sqrt(Math.max(ridge / 2, sum)) : sum / (this.#factor[place(j, j)] ?? 1)
      }
    }
  }
}

function place(row: number, column: number): number {
  return (row * (row + 1)) / 2 + column
}
