/**
 * A forecast further ahead than the standing ones, made when somebody asks: up to a day, with
 * quantiles of every step.
 *
 *   28 days of loads -> learned -> the last 20 days again and again foretold, and judged
 *                                  -> path, bands at 8 horizons along it and between them
 *
 * The work is cut into slices of so many samples, because all of it takes a few hundred ms.
 *
 * Invariants: the same history gives the same forecast, to the last bit; bounded memory and work:
 * only the last 28 days count; what is published is rounded to six decimals.
 */
import { assert } from '../assert.ts'
import { type Crossing, crossingOf, type Level, quantilesAlong } from './along.ts'
import { HISTORY_DAYS, MAX_HORIZON_STEPS } from './limits.ts'
import type { LstmWeights } from './lstm.ts'
import type { ModelName } from './model.ts'
import { round6 } from './numeric.ts'
import { type Forecast, ShardForecast } from './shard-forecast.ts'
import { DAY_STEPS, STEP_MS, type SubjectSettings } from './subject.ts'

/** Parts of the horizon that have quantiles of their own: dense where a band grows fast. */
const HORIZONS = [1 / 96, 1 / 24, 1 / 12, 1 / 6, 1 / 3, 1 / 2, 3 / 4, 1]
/** None is nearer: the load is a mean of 15 minutes. */
const NEAREST_STEPS = 3
const HOUR_STEPS = DAY_STEPS / 24
const STEP_MINUTES = STEP_MS / 60_000
/** The end of the past, over which forecasts are made and judged. */
const JUDGED_DAYS = 20
/** Quantiles stand on the errors of so many days: those before were made by models not yet judged. */
const BAND_DAYS = 13
/** What a short history is not judged by: so much of its beginning, at most half of it. */
const YOUTH_DAYS = 2
const DAY_MS = DAY_STEPS * STEP_MS
const MAX_SAMPLES = HISTORY_DAYS * DAY_STEPS

export interface PastLoad {
  readonly timeMs: number
  /** Undefined: not known. */
  readonly load: number | undefined
}

export interface LongPublished {
  /** When the newest step ended; path[i] is of the step that ends (i + 1) steps later. */
  readonly atMs: number
  readonly stepMs: number
  readonly path: readonly number[]
  /** Quantiles of every step of the path. */
  readonly bands: Readonly<Record<Level, readonly number[]>>
  readonly model: ModelName
  /** 1 - error / error of the better naive model; 0 or less: naive is as good. */
  readonly skill: number
  readonly threshold: { readonly load: number; readonly from: 'capacity' | 'usual' } | undefined
  /** That the load is above the threshold within the hour, and within the whole horizon. */
  readonly chance: { readonly hour: number; readonly horizon: number } | undefined
  readonly crossing: Crossing
  /** Steps that the forecast rests on. */
  readonly steps: number
}

export class LongForecast {
  readonly #samples: readonly PastLoad[]
  readonly #settings: SubjectSettings
  readonly #steps: number
  readonly #shard: ShardForecast
  readonly #judgedFromMs: number
  #next = 0
  #finished: LongPublished | undefined

  /** `history` in order of time; `weights` of the node's network, if it has one. */
  constructor(
    history: Iterable<PastLoad>,
    settings: SubjectSettings,
    horizonMinutes: number,
    weights?: LstmWeights
  ) {
    this.#steps = Math.ceil(horizonMinutes / STEP_MINUTES)
    assert(this.#steps >= 1 && this.#steps <= MAX_HORIZON_STEPS, 'a horizon has a bound')
    this.#samples = [...history].slice(-MAX_SAMPLES)
    this.#settings = settings
    // Whole hours, so that what is judged falls on what is foretold: every quarter of the horizon.
    const hours = Math.ceil(this.#steps / HOUR_STEPS)
    const whole = hours * HOUR_STEPS
    const horizons = HORIZONS.map(part => Math.max(NEAREST_STEPS, Math.ceil(part * whole)))
    this.#shard = new ShardForecast({
      stepMs: STEP_MS,
      horizonsMinutes: [...new Set(horizons)].map(steps => steps * STEP_MINUTES),
      zone: settings.zone,
      patterns: settings.patterns,
      capacity: settings.threshold === 'usual' ? 'usual' : settings.threshold.load,
      every: hours,
      window: Math.floor((BAND_DAYS * DAY_STEPS) / hours)
    })
    this.#shard.adopt(undefined, weights)
    this.#judgedFromMs = judgedFromMs(this.#samples)
  }

  get done(): boolean {
    return this.#next > this.#samples.length
  }

  /** Undefined before it is done, and of an empty history. */
  get finished(): LongPublished | undefined {
    return this.#finished
  }

  /** Takes in so many samples; the last slice makes the forecast. */
  slice(samples: number): void {
    if (this.done) return
    const end = Math.min(this.#samples.length, this.#next + samples)
    for (; this.#next < end; this.#next++) {
      const sample = this.#samples[this.#next]
      if (sample === undefined) continue
      const { timeMs, load } = sample
      if (timeMs < this.#judgedFromMs) this.#shard.remember(timeMs, load)
      else this.#shard.sample(timeMs, load)
    }
    if (this.#next < this.#samples.length) return
    const forecast = this.#shard.foretell()
    this.#finished = forecast === undefined ? undefined : this.#publish(forecast)
    this.#next++
  }

  #publish(forecast: Forecast): LongPublished {
    const newestMs = this.#samples.at(-1)?.timeMs ?? 0
    const at = { atMs: (Math.floor(newestMs / STEP_MS) + 1) * STEP_MS, stepMs: STEP_MS }
    const load = this.#shard.watch.threshold
    const from = this.#settings.threshold === 'usual' ? 'usual' : 'capacity'
    const along = (level: Level): number[] =>
      quantilesAlong(forecast.path, forecast.bands, level, STEP_MINUTES).slice(0, this.#steps)
    const path = forecast.path.slice(0, this.#steps)
    const bands = { q50: along('q50'), q90: along('q90'), q95: along('q95') }
    return {
      ...at,
      path,
      bands,
      model: forecast.model,
      skill: forecast.skill,
      threshold: load === undefined ? undefined : { load: round6(load), from },
      chance: chanceOf(forecast),
      crossing: crossingOf(path, bands.q90, load, at),
      steps: this.#shard.steps
    }
  }
}

/** All of it at once: some 100 to 300 ms. */
export function longForecast(
  history: Iterable<PastLoad>,
  settings: SubjectSettings,
  horizonMinutes: number,
  weights?: LstmWeights
): LongPublished | undefined {
  const long = new LongForecast(history, settings, horizonMinutes, weights)
  while (!long.done) long.slice(MAX_SAMPLES)
  return long.finished
}

/** Errors of the first days are those of models that know no season yet: they promise nothing. */
function judgedFromMs(samples: readonly PastLoad[]): number {
  const oldestMs = samples[0]?.timeMs ?? 0
  const newestMs = samples.at(-1)?.timeMs ?? 0
  const youthMs = Math.min(YOUTH_DAYS * DAY_MS, (newestMs - oldestMs) / 2)
  return Math.max(newestMs - JUDGED_DAYS * DAY_MS, oldestMs + youthMs)
}

function chanceOf({ band, pathChance }: Forecast): LongPublished['chance'] {
  if (band === undefined || pathChance === undefined) return undefined
  return { hour: band.chance, horizon: Math.max(band.chance, pathChance) }
}
