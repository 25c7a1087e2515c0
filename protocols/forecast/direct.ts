/**
 * The mean and the variance of a load at each of the next steps, each learned directly from the loads
 * of the series itself: what adds up over the shards of a node.
 *
 *   loads so far --features of (now, step)--> Ridge of that step --> mean
 *             squares of its errors ---------> Ridge of that step --> variance
 *
 * A path of medians on a logarithmic scale says what is likely; a node is over its capacity by what is
 * not. So this works on the load as it is. Rows are made again when their outcome comes, not kept.
 *
 * Invariants: bounded memory; a row of step t is made of loads before t alone; nothing is said before
 * LEARNED_DAYS of rows; nothing said is negative.
 */
import { assert } from '../assert.ts'
import { exp } from './numeric.ts'
import { Ridge } from './ridge.ts'

/** Steps that are foretold. */
export const DIRECT_STEPS = 15
/** Of rows: so long until something is said, and what their weight fades by. */
const LEARNED_DAYS = 3
const MEMORY_DAYS = 14
/** Weights are made anew so often. */
const SOLVED_HOURS = 6
const WIDTH = 21
const SPREAD_WIDTH = 3
const WEEK_DAYS = 7
/** Steps about the same time of a day before, half of them on each side. */
const ABOUT = 6
const HOURS_BEHIND = [1, 2, 3, 6, 12] as const
const HOURS_MEANT = 12
/** A variance is at least this part of the usual square of an error. */
const LEAST_SPREAD = 0.1
/** How slowly the greatest load of late is forgotten, per day. */
const PEAK_FADE_DAYS = 14

export interface Direct {
  readonly mean: readonly number[]
  readonly variance: readonly number[]
}

interface Step {
  readonly level: Ridge
  readonly spread: Ridge
  error: number
}

export class DirectForecast {
  readonly #day: number
  readonly #hour: number
  readonly #size: number
  readonly #raw: Float64Array
  readonly #loads: Float64Array
  /** Sums of all loads before, and of their squares, since the ring last began. */
  readonly #sums: Float64Array
  readonly #squares: Float64Array
  readonly #steps: readonly Step[]
  readonly #row = new Float64Array(WIDTH)
  readonly #spreadRow = new Float64Array(SPREAD_WIDTH)
  readonly #fade: number
  readonly #peakFade: number
  #count = 0
  #peak = 0

  /** `day`: steps of a day, a multiple of 24. */
  constructor(day: number) {
    this.#day = day
    this.#hour = day / 24
    assert(2 * this.#hour > DIRECT_STEPS, 'two hours ago lies before what is foretold from')
    this.#size = (WEEK_DAYS + 1) * day
    this.#raw = new Float64Array(this.#size)
    this.#loads = new Float64Array(this.#size)
    this.#sums = new Float64Array(this.#size)
    this.#squares = new Float64Array(this.#size)
    this.#fade = exp(-1 / (MEMORY_DAYS * day))
    this.#peakFade = exp(-1 / (PEAK_FADE_DAYS * day))
    this.#steps = Array.from({ length: DIRECT_STEPS }, () => ({
      level: new Ridge(WIDTH, this.#fade),
      spread: new Ridge(SPREAD_WIDTH, this.#fade),
      error: 0
    }))
  }

  /** The next step: what was measured in it, and the mean of 15 minutes that is foretold. */
  take(raw: number, load: number): void {
    const at = this.#count % this.#size
    const before = (this.#count + this.#size - 1) % this.#size
    if (at === 0) this.#rebase(before)
    const last = this.#count === 0 ? 0 : (this.#loads[before] ?? 0)
    this.#sums[at] = (this.#count === 0 ? 0 : (this.#sums[before] ?? 0)) + last
    this.#squares[at] = (this.#count === 0 ? 0 : (this.#squares[before] ?? 0)) + last * last
    this.#raw[at] = raw
    this.#loads[at] = load
    this.#peak = Math.max(load, this.#peak * this.#peakFade)
    this.#count++
    this.#steps.forEach((step, h) => {
      this.#learn(step, h, load)
    })
  }

  /** Undefined: too little is known. */
  foretell(): Direct | undefined {
    if (this.#count < this.#size + LEARNED_DAYS * this.#day) return undefined
    const mean: number[] = []
    const variance: number[] = []
    this.#steps.forEach((step, h) => {
      this.#fill(this.#count, h)
      const level = this.#levelOf(step)
      this.#fillSpread(this.#count, level, step)
      mean.push(level)
      variance.push(Math.max(LEAST_SPREAD * step.error, step.spread.predict(this.#spreadRow)))
    })
    return { mean, variance }
  }

  #learn(step: Step, h: number, load: number): void {
    const now = this.#count - 1 - h
    if (now < this.#size - DIRECT_STEPS) return
    this.#fill(now, h)
    const level = this.#levelOf(step)
    const rows = now - this.#size + DIRECT_STEPS
    const isSolved = rows >= this.#day
    if (isSolved) {
      const square = (load - level) * (load - level)
      this.#fillSpread(now, level, step)
      step.spread.learn(this.#spreadRow, square)
      step.error += Math.max(1 - this.#fade, 1 / (1 + rows - this.#day)) * (square - step.error)
    }
    step.level.learn(this.#row, load)
    // One step after the other, so that no moment has all the work.
    if (
      (this.#count + h * this.#hour) % (SOLVED_HOURS * this.#hour) !== 0 &&
      rows !== this.#day - 1
    ) {
      return
    }
    step.level.solve()
    step.spread.solve()
  }

  #levelOf({ level }: Step): number {
    return Math.min(this.#peak, Math.max(0, level.predict(this.#row)))
  }

  /** What loads before step `now` say of the load `h` steps later. */
  #fill(now: number, h: number): void {
    const row = this.#row
    const then = now + h
    const day = this.#day
    let at = 0
    for (let back = 1; back <= 3; back++) row[at++] = this.#raw[(now - back) % this.#size] ?? 0
    row[at++] = this.#load(now - 1)
    row[at++] = this.#load(now - 4)
    row[at++] = this.#mean(now, this.#hour)
    row[at++] = this.#mean(now, 3 * this.#hour)
    row[at++] = this.#mean(now, day)
    row[at++] = this.#mean(now, WEEK_DAYS * day)
    row[at++] = this.#load(then - day)
    row[at++] = this.#load(then - 2 * day)
    row[at++] = this.#load(then - WEEK_DAYS * day)
    row[at++] = this.#load(now - 1 - day)
    let same = 0
    let about = 0
    for (let days = 1; days <= WEEK_DAYS; days++) {
      same += this.#load(then - days * day)
      about += this.#mean(then - days * day + ABOUT / 2, ABOUT)
    }
    row[at++] = same / WEEK_DAYS
    row[at++] = about / WEEK_DAYS
    for (const hours of HOURS_BEHIND) {
      const lag = hours * this.#hour
      row[at++] = this.#load(then - lag * (Math.floor(h / lag) + 1))
    }
    let hourly = 0
    for (let hours = 2; hours < 2 + HOURS_MEANT; hours++) {
      hourly += this.#load(then - hours * this.#hour)
    }
    row[at] = hourly / HOURS_MEANT
  }

  #fillSpread(now: number, level: number, { error }: Step): void {
    const mean = this.#mean(now, this.#day)
    const squares = this.#squareBefore(now) - this.#squareBefore(now - this.#day)
    this.#spreadRow[0] = Math.max(0, squares / this.#day - mean * mean)
    this.#spreadRow[1] = level * Math.max(0, this.#peak - level)
    this.#spreadRow[2] = error
  }

  #load(at: number): number {
    return this.#loads[at % this.#size] ?? 0
  }

  /** Of the `steps` loads before a step. */
  #mean(at: number, steps: number): number {
    const now = this.#sumBefore(at)
    return Math.max(0, (now - this.#sumBefore(at - steps)) / steps)
  }

  #sumBefore(at: number): number {
    if (at < this.#count) return this.#sums[at % this.#size] ?? 0
    return (this.#sums[(at - 1) % this.#size] ?? 0) + this.#load(at - 1)
  }

  #squareBefore(at: number): number {
    if (at < this.#count) return this.#squares[at % this.#size] ?? 0
    const last = this.#load(at - 1)
    return (this.#squares[(at - 1) % this.#size] ?? 0) + last * last
  }

  /** Sums begin again at what the ring still holds, so that rounding never adds up. */
  #rebase(last: number): void {
    for (const sums of [this.#sums, this.#squares]) {
      const base = sums[(last + 1) % this.#size] ?? 0
      for (let i = 0; i < this.#size; i++) sums[i] = (sums[i] ?? 0) - base
    }
  }
}
