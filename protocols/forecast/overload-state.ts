/**
 * What one shard's past says about an overload to come: the features of the direct model.
 *
 *   over    load (mean of the last 15 min) above capacity
 *   quiet   no overload in this step and the hour before: only then is there something to foretell
 *   onset   the first step over after a quiet one
 *
 * Features: level and trend now, calendar, how often and when onsets came (by time of day, by
 * weekday, by the gaps between them), and how often one followed within the hour at moments of past
 * days that were like this one. Unknown ones are NaN. Everything is relative to capacity.
 *
 * Invariants: bounded memory; nothing of the future; the same pushes give the same features.
 */
import { assert } from '../assert.ts'
import { History } from './history.ts'
import { HISTORY_DAYS } from './limits.ts'
import { ln, ln1p } from './numeric.ts'
import { DAYS_BEHIND, type Past, pastFeatures } from './overload-past.ts'

/** Loads are compared as ln(1 + 20 load / capacity): fine below capacity, coarse above. */
const STEEPNESS = 20
const SMOOTH_STEPS = 3
const KEPT_GAPS = 40
const FAR_STEPS = 5000

export interface OverloadOptions {
  /** Steps of a day; an hour must be a whole number of them. */
  readonly day: number
  /** In the unit of the load. */
  readonly capacity: number
  /** What loads are measured against where capacity is 0: the mean load, or 1. */
  readonly unit: number
}

/** The moment of a push: what the calendar and the declared patterns say. */
export interface Moment {
  readonly stepOfDay: number
  /** 0 is Monday. */
  readonly dayOfWeek: number
  /** The zone's offset, in steps. */
  readonly offset: number
  /** The most that declared patterns add now, and within the next hour. */
  readonly patternNow: number
  readonly patternNext: number
}

/** What models of load say of the next hour: the greatest load, in the unit of the load. */
export interface Foretold {
  readonly smoothing: number
  readonly regression: number
}

export const FEATURES = [
  'foretold by smoothing',
  'foretold by regression',
  'level',
  'level an hour ago',
  'most of 1 h',
  'most of 3 h',
  'most of 1 d',
  'mean of 1 h',
  'mean of 6 h',
  'mean of 1 d',
  'mean of 7 d',
  'raw',
  'slope',
  'mean of two raw',
  'restlessness',
  'time of day',
  'day of week',
  'pattern now',
  'pattern next',
  'since over',
  'since onset',
  'share over, 1 d',
  'share over, 28 d',
  'onsets, 1 d',
  'onsets, 7 d',
  'onsets, 28 d',
  'hazard by gap',
  'last gap',
  'left of last gap',
  ...DAYS_BEHIND
] as const

export class OverloadState {
  readonly #day: number
  readonly #hour: number
  readonly capacity: number
  readonly #unit: number
  readonly #past: Past
  readonly #recent = new Float64Array(SMOOTH_STEPS)
  readonly #gaps: number[] = []
  readonly #sums: Float64Array
  readonly #windows: readonly number[]
  #moment: Moment = { stepOfDay: 0, dayOfWeek: 0, offset: 0, patternNow: 0, patternNext: 0 }
  #steps = 0
  #sinceOver = FAR_STEPS

  constructor({ day, capacity, unit }: OverloadOptions) {
    assert(Number.isInteger(day / 24) && unit > 0 && capacity >= 0, 'hours are whole, units not 0')
    this.#day = day
    this.#hour = day / 24
    this.capacity = capacity
    this.#unit = capacity > 0 ? capacity : unit
    const size = day * HISTORY_DAYS + 8 * this.#hour
    this.#past = {
      hour: this.#hour,
      load: new History(day, HISTORY_DAYS + 1),
      raw: new History(day, HISTORY_DAYS + 1),
      size,
      now: -1,
      dayOfWeek: 0,
      overs: new Uint32Array(size),
      onsets: new Uint32Array(size),
      quiet: new Uint8Array(size),
      sinceOnset: new Float32Array(size).fill(ln(FAR_STEPS + 1))
    }
    this.#windows = [this.#hour, 6 * this.#hour, day, 7 * day]
    this.#sums = new Float64Array(this.#windows.length)
  }

  /** Whether there is something to foretell, and enough past to do so. */
  get quiet(): boolean {
    return this.#sinceOver > this.#hour && this.#steps > this.#day + this.#hour
  }

  /** Whether this step began an overload, and whether it is one. */
  get over(): boolean {
    return this.#sinceOver === 0
  }

  /** Whether a step of the last hour was over. */
  get overWithinHour(): boolean {
    return this.#sinceOver < this.#hour
  }

  /** The mean load of the last 15 minutes over capacity: the reactive rule. */
  get share(): number {
    return this.#smooth() / this.#unit
  }

  /** The next load, as it was measured; smoothing is done here. */
  push(load: number, moment: Moment): void {
    this.#recent[this.#steps % SMOOTH_STEPS] = load
    this.#steps++
    this.#moment = moment
    const smooth = this.#smooth()
    const wasQuiet = this.#sinceOver > this.#hour
    const over = smooth > this.capacity
    this.#sinceOver = over ? 0 : Math.min(FAR_STEPS, this.#sinceOver + 1)
    const past = this.#past
    past.load.push(this.#scale(smooth), moment.offset)
    past.raw.push(this.#scale(load), moment.offset)
    this.#mark(over, over && wasQuiet && this.#steps > 1)
    this.#windows.forEach((window, w) => {
      const leaving = this.#steps > window ? past.load.back(window) : 0
      this.#sums[w] = (this.#sums[w] ?? 0) + past.load.back(0) - leaving
    })
  }

  /** Fills the features of the newest step: as many as FEATURES names. */
  features(foretold: Foretold, out: Float64Array): void {
    assert(out.length === FEATURES.length, 'there is room for the features')
    const { load, raw, overs, onsets, now, size } = this.#past
    const hour = this.#hour
    const { stepOfDay, dayOfWeek, patternNow, patternNext } = this.#moment
    let i = 0
    out[i++] = this.#scale(foretold.smoothing)
    out[i++] = this.#scale(foretold.regression)
    out[i++] = load.back(0)
    out[i++] = load.back(hour)
    out[i++] = most(load, hour)
    out[i++] = most(load, 3 * hour)
    out[i++] = most(load, this.#day)
    this.#windows.forEach((window, w) => {
      out[i++] = (this.#sums[w] ?? 0) / Math.min(window, this.#steps)
    })
    out[i++] = raw.back(0)
    out[i++] = raw.back(0) - load.back(SMOOTH_STEPS)
    out[i++] = this.#twoRaw()
    out[i++] = restlessness(raw, 3 * hour)
    out[i++] = stepOfDay
    out[i++] = dayOfWeek
    out[i++] = patternNow / this.#unit
    out[i++] = patternNext / this.#unit
    out[i++] = this.#sinceOver
    out[i++] = this.#past.sinceOnset[now % size] ?? 0
    for (const days of [1, 28]) out[i++] = this.#rate(overs, days)
    for (const days of [1, 7, 28]) out[i++] = this.#rate(onsets, days)
    i = this.#gapFeatures(out, i)
    pastFeatures(this.#past, out, i)
  }

  #scale(load: number): number {
    return ln1p((STEEPNESS * load) / this.#unit)
  }

  #smooth(): number {
    let sum = 0
    for (let i = 0; i < SMOOTH_STEPS; i++) sum += this.#recent[i] ?? 0
    return sum / Math.max(1, Math.min(this.#steps, SMOOTH_STEPS))
  }

  /** What the mean of 15 minutes will be at least, whatever comes next. */
  #twoRaw(): number {
    const last = this.#recent[(this.#steps - 1) % SMOOTH_STEPS] ?? 0
    const before = this.#recent[(this.#steps + 1) % SMOOTH_STEPS] ?? 0
    return (last + before) / SMOOTH_STEPS / this.#unit
  }

  #mark(over: boolean, onset: boolean): void {
    const past = this.#past
    const { size } = past
    const before = past.now % size
    const first = past.now < 0
    past.now++
    past.dayOfWeek = this.#moment.dayOfWeek
    const at = past.now % size
    past.overs[at] = (first ? 0 : (past.overs[before] ?? 0)) + (over ? 1 : 0)
    past.onsets[at] = (first ? 0 : (past.onsets[before] ?? 0)) + (onset ? 1 : 0)
    past.quiet[at] = this.#sinceOver > this.#hour ? 1 : 0
    if (onset) {
      if (past.lastOnset !== undefined) this.#gaps.push(past.now - past.lastOnset)
      if (this.#gaps.length > KEPT_GAPS) this.#gaps.shift()
      past.lastOnset = past.now
    }
    const since = past.lastOnset === undefined ? FAR_STEPS : past.now - past.lastOnset
    past.sinceOnset[at] = ln(Math.min(FAR_STEPS, since) + 1)
  }

  #rate(counts: Uint32Array, days: number): number {
    const { now, size } = this.#past
    const steps = Math.min(days * this.#day, now)
    const grown = (counts[now % size] ?? 0) - (counts[(now - steps) % size] ?? 0)
    return (grown * this.#day) / Math.max(1, steps)
  }

  /** Of the gaps between onsets that lasted as long as this one: how many end within the hour. */
  #gapFeatures(out: Float64Array, from: number): number {
    const { now, lastOnset } = this.#past
    const since = lastOnset === undefined ? FAR_STEPS : Math.min(FAR_STEPS, now - lastOnset)
    let longer = 0
    let ended = 0
    for (const gap of this.#gaps) {
      if (gap > since) longer++
      if (gap > since && gap <= since + this.#hour) ended++
    }
    const last = this.#gaps.at(-1) ?? Number.NaN
    out[from] = (ended + 0.1) / (longer + 1)
    out[from + 1] = last
    out[from + 2] = last - since
    return from + 3
  }
}

function most(history: History, steps: number): number {
  let found = 0
  const count = Math.min(steps, history.kept)
  for (let lag = 0; lag < count; lag++) {
    const value = history.back(lag)
    if (value > found) found = value
  }
  return found
}

function restlessness(history: History, steps: number): number {
  let sum = 0
  const count = Math.min(steps, history.kept - 1)
  for (let lag = 0; lag < count; lag++) sum += Math.abs(history.back(lag) - history.back(lag + 1))
  return sum / steps
}
