/**
 * All that is foretold of one shard, a node or a volume, out of one sample per step:
 *
 *   sample -> clock, gaps -> minus declared patterns -> mean of 15 min -> Forecaster -> path, plus
 *                                                                      the patterns to come
 *                                                   \-> QuantileBand at each horizon
 *                          -> OverloadState, Chance  -> chance and warning within the hour
 *
 * Invariants: time is an argument; a late sample changes nothing; after a jump of the clock or a
 * long silence everything begins anew; the same samples give the same forecast, to the last bit,
 * on every version of Node. What is published is rounded to six decimals.
 */
import { assert } from '../assert.ts'
import { Calendar } from './calendar.ts'
import { Chance, type Outlook } from './chance.ts'
import { QuantileBand } from './conformal.ts'
import { Forecaster } from './forecaster.ts'
import type { LstmWeights } from './lstm.ts'
import type { ModelName } from './model.ts'
import { round6 } from './numeric.ts'
import { type Moment, OverloadState } from './overload-state.ts'
import { type Pattern, patternLoad, patternPeak } from './patterns.ts'
import { believable, StepClock, TrailingMean } from './samples.ts'
import type { Trees } from './trees.ts'

const DAY_MS = 86_400_000
const HOUR_MINUTES = 60
const LEVELS = [0.5, 0.9, 0.95] as const
const SMOOTH_STEPS = 3
/** The chance of an overload that a declared pattern is going to make. */
const DECLARED_CHANCE = 0.9

export interface ShardForecastOptions {
  readonly stepMs: number
  /** Minutes ahead that get quantiles; each a whole number of steps, the last is the horizon. */
  readonly horizonsMinutes: readonly number[]
  readonly zone: string
  /** Where an overload begins, in the unit of the load. */
  readonly capacity: number
  readonly patterns: readonly Pattern[]
}

export interface Band {
  readonly minutes: number
  readonly q50: number
  readonly q90: number
  readonly q95: number
}

export interface Forecast {
  /** The expected load of each step up to the horizon. */
  readonly path: readonly number[]
  readonly bands: readonly Band[]
  readonly model: ModelName
  /** 1 - error / error of the better naive model; 0 or less says: naive is as good. */
  readonly skill: number
  /** That an overload starts within the hour; undefined in one, without trees, or with no past. */
  readonly outlook: Outlook | undefined
}

/** What begins anew with the series. */
interface Parts {
  readonly forecaster: Forecaster
  readonly ordinary: TrailingMean
  readonly bands: readonly QuantileBand[]
  readonly state: OverloadState
  readonly chance: Chance
}

export class ShardForecast {
  readonly #options: ShardForecastOptions
  readonly #calendar: Calendar
  readonly #clock: StepClock
  readonly #day: number
  readonly #steps: readonly number[]
  readonly #path: Float64Array
  #weights: LstmWeights | undefined
  #trees: Trees | undefined
  #parts: Parts
  #latest: Forecast | undefined

  constructor(options: ShardForecastOptions) {
    this.#options = options
    this.#day = DAY_MS / options.stepMs
    this.#steps = options.horizonsMinutes.map(minutes => (minutes * 60_000) / options.stepMs)
    assert(
      Number.isInteger(this.#day) && this.#steps.every(Number.isInteger),
      'days and horizons are whole steps'
    )
    this.#calendar = new Calendar(options.zone)
    this.#clock = new StepClock(options.stepMs)
    this.#path = new Float64Array(Math.max(...this.#steps))
    this.#parts = this.#begin()
  }

  /** The node's models, when they have been trained. */
  adopt(trees: Trees | undefined, weights: LstmWeights | undefined): void {
    this.#trees = trees
    this.#weights = weights
    if (weights !== undefined) this.#parts.forecaster.adopt(weights)
  }

  /**
   * A sample of the past, as after a restart: learned, but nothing is foretold from it. Give the
   * last day to `sample`, so that the models are judged again.
   */
  remember(timeMs: number, load: number | undefined): void {
    if (this.#arrive(timeMs)) this.#push(timeMs, load, false)
  }

  /** The mean load of the step that holds `timeMs`; undefined or absurd: a gap. */
  sample(timeMs: number, load: number | undefined): void {
    if (this.#arrive(timeMs)) this.#push(timeMs, load, true)
  }

  /** What is foretold after the newest sample; undefined before the first. */
  get forecast(): Forecast | undefined {
    return this.#latest
  }

  #begin(): Parts {
    const { capacity, stepMs } = this.#options
    const forecaster = new Forecaster({ day: this.#day, horizon: this.#path.length })
    if (this.#weights !== undefined) forecaster.adopt(this.#weights)
    this.#latest = undefined
    assert(this.#day % 24 === 0, `an hour is a whole number of steps of ${stepMs} ms`)
    return {
      forecaster,
      ordinary: new TrailingMean(SMOOTH_STEPS),
      bands: this.#steps.map(steps => new QuantileBand(steps, LEVELS)),
      state: new OverloadState({ day: this.#day, capacity, unit: 1 }),
      chance: new Chance(this.#day)
    }
  }

  /** Takes a time in: fills the gap before it, or begins anew. False if the sample is late. */
  #arrive(timeMs: number): boolean {
    const arrival = this.#clock.arrive(timeMs)
    if (arrival.kind === 'late') return false
    if (arrival.kind === 'anew') this.#parts = this.#begin()
    const missing = arrival.kind === 'next' ? arrival.missing : 0
    for (let left = missing; left > 0; left--) {
      this.#push(timeMs - left * this.#options.stepMs, undefined, false)
    }
    return true
  }

  #push(timeMs: number, load: number | undefined, foretell: boolean): void {
    const { forecaster, bands, state, chance } = this.#parts
    const measured = load === undefined ? undefined : believable(load)
    const { patterns } = this.#options
    const declared = patternLoad(patterns, this.#calendar, timeMs)
    const fresh = measured === undefined ? this.#filled() : Math.max(0, measured - declared)
    const ordinary = this.#parts.ordinary.take(fresh)
    const moment = this.#momentAt(timeMs, declared)
    forecaster.push(ordinary, moment.offset, foretell)
    for (const band of bands) band.observe(ordinary)
    state.push(measured ?? fresh + declared, moment)
    const trees = foretell ? this.#trees : undefined
    const outlook = chance.update(state, trees, () => forecaster.foretold())
    if (foretell) this.#latest = this.#compose(timeMs, outlook)
  }

  /** A gap: the load a day before at the same local time, else the last one, else 0. */
  #filled(): number {
    return this.#parts.forecaster.filler()
  }

  #compose(timeMs: number, outlook: Outlook | undefined): Forecast {
    const { forecaster, bands } = this.#parts
    forecaster.path(this.#path)
    const extra = Array.from(this.#path, (_, i) => this.#declaredAt(timeMs, i + 1))
    const quantiles = new Float64Array(LEVELS.length)
    const made = bands.map((band, i): Band => {
      const steps = this.#steps[i] ?? 1
      const more = extra[steps - 1] ?? 0
      band.quantiles(this.#path[steps - 1] ?? 0, quantiles)
      const [q50 = 0, q90 = 0, q95 = 0] = quantiles
      const minutes = (steps * this.#options.stepMs) / 60_000
      return { minutes, q50: round6(q50 + more), q90: round6(q90 + more), q95: round6(q95 + more) }
    })
    const { model, skill } = forecaster.verdict()
    const path = Array.from(this.#path, (load, i) => round6(load + (extra[i] ?? 0)))
    const foretold = this.#withDeclared(outlook, path, extra)
    return { path, bands: made, model, skill: round6(skill), outlook: foretold }
  }

  /** A declared pattern that will not fit is as good as an overload seen coming. */
  #withDeclared(
    outlook: Outlook | undefined,
    path: readonly number[],
    extra: readonly number[]
  ): Outlook | undefined {
    const { capacity, stepMs } = this.#options
    const hour = (HOUR_MINUTES * 60_000) / stepMs
    const bursts = path.some(
      (load, i) => i < hour && (extra[i] ?? 0) > 0 && capacity > 0 && load > capacity
    )
    const chance = Math.max(outlook?.chance ?? 0, bursts ? DECLARED_CHANCE : 0)
    const warning = Math.max(outlook?.warning ?? 0, bursts ? DECLARED_CHANCE : 0)
    if (outlook === undefined && !bursts) return undefined
    return { chance: round6(chance), warning: round6(warning) }
  }

  #declaredAt(timeMs: number, steps: number): number {
    return patternLoad(
      this.#options.patterns,
      this.#calendar,
      timeMs + steps * this.#options.stepMs
    )
  }

  #momentAt(timeMs: number, declared: number): Moment {
    const { patterns, stepMs } = this.#options
    const { minuteOfDay, dayOfWeek } = this.#calendar.localTime(timeMs)
    return {
      stepOfDay: Math.floor((minuteOfDay * 60_000) / stepMs),
      dayOfWeek,
      offset: (this.#calendar.offsetMinutes(timeMs) * 60_000) / stepMs,
      patternNow: declared,
      patternNext: patternPeak(patterns, this.#calendar, timeMs, HOUR_MINUTES)
    }
  }
}
