/**
 * Rows of features with their outcomes, and how a column is cut into bins for the trees.
 *
 * Invariants: rows are bounded in number; a bin holds equal values whole; the unknown (NaN) has a
 * bin of its own, the first.
 */
import { MAX_BINS, MAX_TRAINING_ROWS } from './limits.ts'

/** What trees learn from. */
export interface Rows {
  readonly width: number
  readonly count: number
  label(row: number): number
  column(feature: number): Float32Array
}

/** Rows with their outcomes, kept as single floats. */
export class TrainingSet implements Rows {
  readonly width: number
  #rows: Float32Array
  #labels: Uint8Array
  #count = 0

  constructor(width: number) {
    this.width = width
    this.#rows = new Float32Array(width * 1024)
    this.#labels = new Uint8Array(1024)
  }

  get count(): number {
    return this.#count
  }

  /** Adds a row; one too many is refused. */
  add(row: Float64Array, label: boolean): boolean {
    if (this.#count >= MAX_TRAINING_ROWS) return false
    if (this.#count === this.#labels.length) this.#grow()
    this.#rows.set(row, this.#count * this.width)
    this.#labels[this.#count] = label ? 1 : 0
    this.#count++
    return true
  }

  label(row: number): number {
    return this.#labels[row] ?? 0
  }

  column(feature: number): Float32Array {
    const column = new Float32Array(this.#count)
    for (let row = 0; row < column.length; row++) {
      column[row] = this.#rows[row * this.width + feature] ?? 0
    }
    return column
  }

  #grow(): void {
    const rows = new Float32Array(this.#rows.length * 2)
    const labels = new Uint8Array(this.#labels.length * 2)
    rows.set(this.#rows)
    labels.set(this.#labels)
    this.#rows = rows
    this.#labels = labels
  }
}

/**
 * Where a column is cut: ascending, each the greatest value of its bin, about equally many rows in
 * each. Bin 0 is for the unknown, bin i holds (cut[i-2], cut[i-1]].
 */
export function cutsOf(column: Float32Array): Float32Array {
  const known = knownOf(column).sort()
  const cuts: number[] = []
  for (let i = 1; i < MAX_BINS; i++) {
    const value = known[Math.min(known.length - 1, Math.floor((i * known.length) / (MAX_BINS - 1)))]
    if (value !== undefined && value !== cuts.at(-1)) cuts.push(value)
  }
  return Float32Array.from(cuts)
}

/** The bin of every value of a column. */
export function binned(column: Float32Array, cuts: Float32Array): Uint8Array {
  const bins = new Uint8Array(column.length)
  for (let row = 0; row < bins.length; row++) bins[row] = binOf(column[row] ?? Number.NaN, cuts)
  return bins
}

function binOf(value: number, cuts: Float32Array): number {
  if (Number.isNaN(value)) return 0
  let low = 0
  let high = cuts.length - 1
  while (low < high) {
    const middle = (low + high) >> 1
    if ((cuts[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low + 1
}

/** A copy without what is unknown. */
function knownOf(column: Float32Array): Float32Array {
  const known = new Float32Array(column.length)
  let count = 0
  for (let row = 0; row < column.length; row++) {
    const value = column[row] ?? Number.NaN
    if (!Number.isNaN(value)) known[count++] = value
  }
  return known.subarray(0, count)
}
