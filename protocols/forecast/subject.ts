/**
 * One subject of a node's forecasts: its shard forecast, what is published of it, and the rows that
 * the node's trees learn from it.
 *
 *   quiet moment, by lot -> features -> row ... an hour without a gap ... its label
 *
 * Invariants: a row is labelled by the threshold that it was made at, out of measured loads alone;
 * what is published is rounded to six decimals.
 */
import { type Crossing, crossingOf, quantilesAlong } from './along.ts'
import type { Calendar } from './calendar.ts'
import type { Direct } from './direct.ts'
import type { ModelName } from './model.ts'
import { round6 } from './numeric.ts'
import { FEATURES } from './overload-state.ts'
import type { Pattern } from './patterns.ts'
import { believable } from './samples.ts'
import { type Band, type Forecast, ShardForecast } from './shard-forecast.ts'
import type { Models } from './training.ts'
import type { TrainingRows } from './training-rows.ts'
import { Trees } from './trees.ts'

export const STEP_MS = 300_000
const STEP_MINUTES = STEP_MS / 60_000
export const DAY_STEPS = 86_400_000 / STEP_MS
const HOUR_STEPS = DAY_STEPS / 24
/** Minutes ahead that are foretold for everybody, always. */
const STANDING_HORIZONS = [15, 60] as const
/** A subject is learned from when so much of it is known. */
export const LEARNED_FROM_STEPS = 3 * DAY_STEPS

/** Where an overload begins: a part of what the node can do, or what the load seldom exceeds. */
export type ThresholdSetting = { readonly load: number; readonly from: 'capacity' } | 'usual'

export interface SubjectSettings {
  readonly zone: string
  readonly patterns: readonly Pattern[]
  readonly threshold: ThresholdSetting
}

export interface Published {
  /** When the newest step ended; path[i] is of the step that ends (i + 1) steps later. */
  readonly atMs: number
  readonly stepMs: number
  /** The mean of the last 15 minutes. */
  readonly load: number
  /** Mean and variance of such loads in the last day; absent: not known. */
  readonly lastDay?: { readonly mean: number; readonly variance: number }
  readonly path: readonly number[]
  /** Mean and variance of the same steps, and a few more; absent: not learned yet. */
  readonly direct?: Direct
  readonly bands: readonly Band[]
  readonly model: ModelName
  /** 1 - error / error of the better naive model; 0 or less: naive is as good. */
  readonly skill: number
  readonly threshold: { readonly load: number; readonly from: 'capacity' | 'usual' } | undefined
  /** Whether the load is above the threshold now. */
  readonly isOver: boolean
  /** By trees: that an overload starts within the hour. By the band: that the load is above. */
  readonly chance: number | undefined
  readonly warning: number | undefined
  readonly chanceFrom: 'trees' | 'band' | undefined
  readonly crossing: Crossing
  /** Steps that the forecast rests on. */
  readonly steps: number
}

export interface SubjectParts {
  readonly settings: SubjectSettings
  readonly calendar: Calendar
  /** Of the node, once: below 65,536. */
  readonly id: number
  readonly rows: TrainingRows
}

interface OpenRow {
  readonly ticket: number
  readonly step: number
}

export class Subject {
  readonly #parts: SubjectParts
  readonly #shard: ShardForecast
  readonly #row = new Float64Array(FEATURES.length)
  #threshold: ThresholdSetting
  #open: OpenRow[] = []
  #hasTrees = false
  #atMs = 0

  constructor(parts: SubjectParts) {
    const { settings, calendar, id } = parts
    this.#parts = parts
    this.#threshold = settings.threshold
    this.#shard = new ShardForecast({
      stepMs: STEP_MS,
      horizonsMinutes: STANDING_HORIZONS,
      zone: settings.zone,
      calendar,
      isDirect: true,
      patterns: settings.patterns,
      capacity: settings.threshold === 'usual' ? 'usual' : settings.threshold.load,
      // Spread over the day, whatever the ids: 179 has no divisor in common with it.
      phase: (id * 179) % DAY_STEPS
    })
  }

  get steps(): number {
    return this.#shard.steps
  }

  adopt({ trees, weights }: Models): void {
    this.#hasTrees = trees !== undefined
    this.#shard.adopt(trees instanceof Trees ? trees : undefined, weights)
  }

  move(threshold: ThresholdSetting): void {
    this.#threshold = threshold
    this.#shard.move(threshold === 'usual' ? 'usual' : threshold.load)
  }

  /** `part`: of its quiet moments, how many become rows. */
  take(timeMs: number, load: number | undefined, isLive: boolean, part: number): void {
    const shard = this.#shard
    const before = shard.steps
    const { state } = shard.watch
    const isTaken = isLive ? shard.sample(timeMs, load) : shard.remember(timeMs, load)
    if (!isTaken) return
    this.#atMs = (Math.floor(timeMs / STEP_MS) + 1) * STEP_MS
    const isMeasured = load !== undefined && believable(load) !== undefined
    const isNext = shard.steps === before + 1 && shard.watch.state === state
    if (isMeasured && isNext) this.#settle()
    else this.#open = []
    if (isMeasured && this.#isChosen(part)) this.#addRow()
  }

  history(): Float32Array {
    return this.#shard.history()
  }

  publish(): Published | undefined {
    const { forecast } = this.#shard
    if (forecast === undefined) return undefined
    const load = this.#shard.watch.threshold
    const from = this.#threshold === 'usual' ? 'usual' : 'capacity'
    const { path, bands, model, skill, direct } = forecast
    const high = quantilesAlong(path, bands, 'q90', STEP_MINUTES)
    const at = { atMs: this.#atMs, stepMs: STEP_MS }
    return {
      ...at,
      load: forecast.load,
      lastDay: forecast.lastDay,
      ...(direct !== undefined && { direct }),
      path,
      bands,
      model,
      skill,
      threshold: load === undefined ? undefined : { load: round6(load), from },
      isOver: this.#shard.watch.over,
      ...this.#chanceOf(forecast),
      crossing: crossingOf(path, high, load, at),
      steps: this.steps
    }
  }

  /** Trees speak of quiet moments; in an overload, and without them, the band does. */
  #chanceOf({ outlook, band }: Forecast): Pick<Published, 'chance' | 'warning' | 'chanceFrom'> {
    if (this.#hasTrees && this.#shard.watch.quiet && outlook !== undefined) {
      return { ...outlook, chanceFrom: 'trees' }
    }
    if (band === undefined) return { chance: undefined, warning: undefined, chanceFrom: undefined }
    // Without trees an outlook is a declared pattern that will not fit.
    const chance = Math.max(band.chance, outlook?.chance ?? 0)
    const warning = Math.max(band.warning, outlook?.warning ?? 0)
    return { chance, warning, chanceFrom: 'band' }
  }

  #settle(): void {
    const first = this.#open[0]
    if (first === undefined || first.step + HOUR_STEPS > this.steps) return
    this.#open.shift()
    this.#parts.rows.settle(first.ticket, this.#shard.watch.overWithinHour === true)
  }

  /** By lot, so that no hour of the day is left out; the same lot for the same steps. */
  #isChosen(part: number): boolean {
    if (this.steps < LEARNED_FROM_STEPS || !this.#shard.watch.quiet) return false
    let lot = Math.imul(this.steps, 0x9e3779b1) ^ Math.imul(this.#parts.id + 1, 0x85ebca6b)
    lot = Math.imul(lot ^ (lot >>> 15), 0x2c1b3c6d)
    return ((lot ^ (lot >>> 13)) >>> 0) / 4294967296 < part
  }

  #addRow(): void {
    this.#shard.features(this.#row)
    const { rows, id } = this.#parts
    const ticket = rows.add(this.#row, this.#atMs / STEP_MS, id)
    this.#open.push({ ticket, step: this.steps })
  }
}
