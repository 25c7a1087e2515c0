/**
 * How a warning of overload is judged (part 2 of the forecasting bench).
 *
 *   over    a step above capacity, the 95th percentile of days 1 to 28 of the smoothed load
 *   quiet   no overload in this step and the 12 before: only here does a score count
 *   fresh   the first step above capacity after a quiet one
 *   alarm   a quiet step with score >= threshold
 *
 * P is the share of alarm steps followed by an overload within 60 min, R the share of fresh
 * overloads with an alarm 60 to 15 min before. A false alarm is the first of consecutive alarm
 * steps with no overload in the next 60 min. Everything is counted inside [from, to).
 */
import { quantile, quantileSorted } from 'simple-statistics'
import { DAY, WEEK } from './forecast-data.ts'

export const HORIZON = 12
const LEAST_LEAD = 3
const CAPACITY_QUANTILE = 0.95
const LEARN_END = 4 * WEEK
export const TEST_START = 6 * WEEK

export interface Subject {
  readonly name: string
  readonly load: Float64Array
  readonly capacity: number
  readonly over: Uint8Array
  readonly quiet: Uint8Array
}

export interface Point {
  readonly threshold: number
  readonly precision: number
  readonly recall: number
}

export interface Operating extends Point {
  readonly falsePerDay: number
}

export function subjectOf(name: string, load: Float64Array): Subject {
  const capacity = quantile(Array.from(load.subarray(0, LEARN_END)), CAPACITY_QUANTILE)
  const over = Uint8Array.from(load, value => (value > capacity ? 1 : 0))
  const quiet = new Uint8Array(load.length)
  let since = 0
  for (let t = 0; t < load.length; t++) {
    since = over[t] === 1 ? 0 : since + 1
    quiet[t] = since > HORIZON ? 1 : 0
  }
  return { name, load, capacity, over, quiet }
}

/** Scores of every step of every subject, to be judged on the steps [from, to). */
export interface Judged {
  readonly subjects: readonly Subject[]
  readonly scores: readonly Float64Array[]
  readonly from: number
  readonly to: number
}

/** What `scores` of every subject say inside [from, to): sorted, so that a sweep is cheap. */
export class Warnings {
  readonly #judged: Judged
  readonly #alarms: Float64Array
  readonly #hits: Float64Array
  readonly #reached: Float64Array
  readonly #fifth: Float64Array

  constructor(judged: Judged) {
    this.#judged = judged
    const { subjects, scores, from, to } = judged
    const alarms: number[] = []
    const hits: number[] = []
    const reached: number[] = []
    const fifth: number[] = []
    subjects.forEach((subject, index) => {
      const own = scores[index] ?? new Float64Array(0)
      const end = Math.min(to, subject.load.length)
      let quietSteps = 0
      for (let t = from; t < end; t++) {
        if (isFresh(subject, t)) reached.push(bestBefore(subject, own, t, from))
        if (subject.quiet[t] !== 1 || t + HORIZON >= end) continue
        const score = own[t] ?? 0
        alarms.push(score)
        if (overWithin(subject, t)) hits.push(score)
        if (quietSteps++ % 5 === 0) fifth.push(score)
      }
    })
    this.#alarms = Float64Array.from(alarms).sort()
    this.#hits = Float64Array.from(hits).sort()
    this.#reached = Float64Array.from(reached).sort()
    this.#fifth = Float64Array.from(fifth).sort()
  }

  get fresh(): number {
    return this.#reached.length
  }

  /** The share of quiet steps that an overload follows: the precision of an alarm always on. */
  get base(): number {
    return this.#hits.length / this.#alarms.length
  }

  thresholds(): number[] {
    const found: number[] = []
    const scores = Array.from(this.#fifth)
    if (scores.length === 0) return found
    for (let q = 0.3; q <= 0.9995 + 1e-9; q += 0.0035) {
      found.push(quantileSorted(scores, Math.min(q, 0.9995)))
    }
    return found
  }

  at(threshold: number): Point {
    const alarms = countFrom(this.#alarms, threshold)
    const precision = alarms === 0 ? 1 : countFrom(this.#hits, threshold) / alarms
    const recall = countFrom(this.#reached, threshold) / Math.max(1, this.#reached.length)
    return { threshold, precision, recall }
  }

  averagePrecision(): number {
    let sum = 0
    let recall = 0
    for (const threshold of this.thresholds().reverse()) {
      const point = this.at(threshold)
      sum += (point.recall - recall) * point.precision
      recall = point.recall
    }
    return sum
  }

  /** The threshold of highest recall with P >= `precision`; else the one of highest precision. */
  operatingThreshold(precision: number): number {
    const points = this.thresholds().map(threshold => this.at(threshold))
    const good = points.filter(point => point.precision >= precision)
    const [first, ...others] = good.length > 0 ? good : points
    const better = (a: Point, b: Point): Point =>
      (good.length > 0 ? b.recall >= a.recall : b.precision > a.precision) ? b : a
    return first === undefined ? Number.POSITIVE_INFINITY : others.reduce(better, first).threshold
  }

  operating(threshold: number): Operating {
    const { subjects, scores, from, to } = this.#judged
    let wrong = 0
    let steps = 0
    subjects.forEach((subject, index) => {
      const own = scores[index] ?? new Float64Array(0)
      const end = Math.min(to, subject.load.length)
      steps += end - from
      let before = false
      for (let t = from; t + HORIZON < end; t++) {
        const alarm = subject.quiet[t] === 1 && (own[t] ?? 0) >= threshold
        const isWrong = alarm && !overWithin(subject, t)
        if (isWrong && !before) wrong++
        before = isWrong
      }
    })
    return { ...this.at(threshold), falsePerDay: wrong / (steps / DAY) }
  }
}

export function overWithin(subject: Subject, t: number): boolean {
  for (let h = 1; h <= HORIZON; h++) if (subject.over[t + h] === 1) return true
  return false
}

export function isFresh(subject: Subject, t: number): boolean {
  return subject.over[t] === 1 && subject.quiet[t - 1] === 1
}

/** The best score that could have warned of a fresh overload at `t`, 60 to 15 min before. */
function bestBefore(subject: Subject, scores: Float64Array, t: number, from: number): number {
  let best = Number.NEGATIVE_INFINITY
  for (let s = Math.max(from, t - HORIZON); s <= t - LEAST_LEAD; s++) {
    if (subject.quiet[s] === 1) best = Math.max(best, scores[s] ?? best)
  }
  return best
}

/** How many of an ascending list are at or above `threshold`. */
function countFrom(sorted: Float64Array, threshold: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] ?? 0) < threshold) low = middle + 1
    else high = middle
  }
  return sorted.length - low
}
