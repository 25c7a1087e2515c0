/**
 * The models that need no fitting: the measure of all others, and what is left when none of them
 * has skill. Seasonal naive repeats the day before (or the week before), at the same local time.
 */
import type { History } from './history.ts'
import type { ModelName, PointModel } from './model.ts'

const DAYS_OF_WEEK = 7
const MOST_WEEKS = 3
/** A last day that differs is in part the level of the next, in part its own affair. */
const FOLLOWED = 0.5

export class LastValue implements PointModel {
  readonly name = 'last value'
  readonly #history: History

  constructor(history: History) {
    this.#history = history
  }

  get ready(): boolean {
    return this.#history.length > 0
  }

  observe(): void {}

  forecast(out: Float64Array): void {
    out.fill(this.#history.back(0))
  }
}

export class SeasonalNaive implements PointModel {
  readonly name: ModelName
  readonly #history: History
  readonly #days: number

  /** `days` is the period: 1, or 7 for the same day of the week before. */
  constructor(history: History, days: 1 | 7) {
    this.name = days === 1 ? 'seasonal naive' : 'weekly naive'
    this.#history = history
    this.#days = days
  }

  get ready(): boolean {
    return this.#history.length >= this.#days * this.#history.day
  }

  observe(): void {}

  forecast(out: Float64Array): void {
    const history = this.#history
    const period = this.#days * history.day
    for (let h = 1; h <= out.length; h++) {
      const lag = history.dayLag(this.#days * Math.ceil(h / period)) - h
      out[h - 1] = history.back(Math.min(Math.max(0, lag), history.kept - 1))
    }
  }
}

/**
 * The mean of the same time of week, up to three weeks back, moved half-way by how much the last day
 * lay above or below it: a week's shape near today's level.
 */
export class WeeklyProfile implements PointModel {
  readonly name = 'weekly profile'
  readonly #history: History

  constructor(history: History) {
    this.#history = history
  }

  get ready(): boolean {
    return this.#history.length >= (DAYS_OF_WEEK + 1) * this.#history.day
  }

  observe(): void {}

  forecast(out: Float64Array): void {
    const { day, kept } = this.#history
    const known = Math.floor((kept - day) / (DAYS_OF_WEEK * day))
    const weeks = Math.min(MOST_WEEKS, Math.max(1, known))
    let shift = 0
    for (let lag = 0; lag < day; lag++) shift += this.#history.back(lag) - this.#shape(-lag, weeks)
    for (let h = 1; h <= out.length; h++) {
      out[h - 1] = Math.max(0, this.#shape(h, weeks) + (FOLLOWED * shift) / day)
    }
  }

  /** The mean over `weeks` of the value `h` steps after the newest (negative: before). */
  #shape(h: number, weeks: number): number {
    const history = this.#history
    let sum = 0
    for (let week = 1; week <= weeks; week++) {
      const lag = history.dayLag(DAYS_OF_WEEK * week) - h
      sum += history.back(Math.min(Math.max(0, lag), history.kept - 1))
    }
    return sum / weeks
  }
}

/** The median of a last part of a day: a level that a single spike does not move. */
export class MedianLevel implements PointModel {
  readonly name: ModelName
  readonly #history: History
  readonly #recent: Float64Array

  /** `parts`: of how many parts of a day one is looked at. */
  constructor(history: History, name: ModelName, parts: number) {
    this.name = name
    this.#history = history
    this.#recent = new Float64Array(Math.max(3, Math.round(history.day / parts)))
  }

  get ready(): boolean {
    return this.#history.length > 0
  }

  observe(): void {}

  forecast(out: Float64Array): void {
    const count = Math.min(this.#recent.length, this.#history.length)
    const recent = this.#recent.subarray(0, count)
    for (let i = 0; i < count; i++) recent[i] = this.#history.back(i)
    recent.sort()
    const middle = count >> 1
    const upper = recent[middle] ?? 0
    out.fill(count % 2 === 1 ? upper : (upper + (recent[middle - 1] ?? upper)) / 2)
  }
}
