/**
 * What trees are worth on rows that they have not seen: the newest fifth of them, by time.
 *
 *   |------------- learn -------------| an hour |-- held out --|   time
 *
 * Invariants: no row that is learned from has an hour that reaches into those that are held out; the
 * base is the rate of each subject by itself, so trees that only know who is often over gain nothing.
 */
import { ln, logit, sigmoid } from './numeric.ts'
import { BLOCK_ROWS, type RowParts, rowAt } from './training-rows.ts'
import type { Rows } from './training-set.ts'
import type { Trees } from './trees.ts'

const HELD_PART = 0.2
const LEAST_CHANCE = 1e-6
/** Rows of the common rate that a subject's own rate begins with. */
const PRIOR_ROWS = 20

export interface Split {
  readonly learn: Uint32Array
  readonly held: Uint32Array
}

export function splitByTime({ steps }: RowParts, hour: number): Split {
  const sorted = steps.slice().sort()
  const cut = sorted[Math.floor((1 - HELD_PART) * sorted.length)] ?? 0
  const learn = new Uint32Array(steps.length)
  const held = new Uint32Array(steps.length)
  let learned = 0
  let heldOut = 0
  for (let row = 0; row < steps.length; row++) {
    const step = steps[row] ?? 0
    if (step >= cut) held[heldOut++] = row
    else if (step + hour < cut) learn[learned++] = row
  }
  return { learn: learn.subarray(0, learned), held: held.subarray(0, heldOut) }
}

/** Some of the rows, as trees learn from them; nothing is copied but a column at a time. */
export function someOf({ width, blocks, labels }: RowParts, chosen: Uint32Array): Rows {
  return {
    width,
    count: chosen.length,
    label: row => labels[chosen[row] ?? 0] ?? 0,
    column: feature => {
      const column = new Float32Array(chosen.length)
      for (let i = 0; i < column.length; i++) {
        const row = chosen[i] ?? 0
        const block = blocks[Math.floor(row / BLOCK_ROWS)]
        column[i] = block?.[(row % BLOCK_ROWS) * width + feature] ?? Number.NaN
      }
      return column
    }
  }
}

/** How many of the chosen rows an overload followed. */
export function positivesOf({ labels }: RowParts, chosen: Uint32Array): number {
  let count = 0
  for (const row of chosen) count += labels[row] ?? 0
  return count
}

/** Log odds of each held-out row by the rate of its subject among those that are learned from. */
export function baseOdds(rows: RowParts, { learn, held }: Split): Float64Array {
  const counts = new Map<number, { rows: number; came: number }>()
  for (const row of learn) {
    const subject = rows.subjects[row] ?? 0
    const known = counts.get(subject) ?? { rows: 0, came: 0 }
    known.rows++
    known.came += rows.labels[row] ?? 0
    counts.set(subject, known)
  }
  const rate = positivesOf(rows, learn) / Math.max(1, learn.length)
  return Float64Array.from(held, row => {
    const known = counts.get(rows.subjects[row] ?? 0)
    const came = (known?.came ?? 0) + PRIOR_ROWS * rate
    return logit(came / ((known?.rows ?? 0) + PRIOR_ROWS))
  })
}

/** Fills the odds of the chosen rows [from, to) by trees. */
export function scoreSome(
  trees: Trees,
  { width, blocks }: RowParts,
  chosen: Uint32Array,
  out: Float64Array,
  from: number,
  to: number
): void {
  const row = new Float64Array(width)
  for (let i = from; i < to; i++) {
    row.set(rowAt(blocks, width, chosen[i] ?? 0))
    out[i] = trees.score(row)
  }
}

/** Mean loss, in nats, of log odds against what came. */
export function logLoss({ labels }: RowParts, chosen: Uint32Array, odds: Float64Array): number {
  let sum = 0
  chosen.forEach((row, i) => {
    const chance = sigmoid(odds[i] ?? 0)
    sum -= ln(Math.max(LEAST_CHANCE, labels[row] === 1 ? chance : 1 - chance))
  })
  return sum / Math.max(1, chosen.length)
}

/** The mean, over rows that an overload followed, of the precision of an alarm at their odds. */
export function averagePrecision(
  { labels }: RowParts,
  chosen: Uint32Array,
  odds: Float64Array
): number {
  const all = odds.slice().sort()
  const came = odds.filter((_, i) => labels[chosen[i] ?? 0] === 1).sort()
  let sum = 0
  for (let i = 0; i < came.length; i++) {
    const first = firstFrom(came, came[i] ?? 0)
    sum += (came.length - first) / (all.length - firstFrom(all, came[i] ?? 0))
  }
  return came.length === 0 ? 0 : sum / came.length
}

/** The first place of an ascending list that is not below `value`. */
function firstFrom(sorted: Float64Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < value) low = middle + 1
    else high = middle
  }
  return low
}
