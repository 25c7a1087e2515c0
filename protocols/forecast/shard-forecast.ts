/**
 * All that is foretold of one shard, a node or a volume, out of one sample per step:
 *
 *   sample -> clock, gaps -> minus declared patterns -> mean of 15 min -> Forecaster -> path, plus
 *                                                                      the patterns to come
 *                                                   \-> QuantileBand at each horizon
 *                                                   \-> PeakChance: the chance without trees
 *          minus declared  -> DirectForecast        -> mean and variance, plus the patterns to come
 *                          -> OverloadWatch         -> chance and warning within the hour
 *
 * Invariants: time is an argument; a late sample changes nothing; after a jump of the clock or a
 * long silence everything begins anew; the same samples give the same forecast, to the last bit,
 * on every version of Node. What is published is rounded to six decimals.
 */
import { assert } from '../assert.ts'
import { Calendar } from './calendar.ts'
import { Confirmation, type Outlook } from './chance.ts'
import { QuantileBand } from './conformal.ts'
import { Declared } from './declared.ts'
import { type Direct, DirectForecast } from './direct.ts'
import { Forecaster } from './forecaster.ts'
import { LastDay } from './last-day.ts'
import type { LstmWeights } from './lstm.ts'
import type { ModelName } from './model.ts'
import { ln1p, round6 } from './numeric.ts'
import { OverloadWatch, type Threshold } from './overload-watch.ts'
import type { Pattern } from './patterns.ts'
import { PeakChance } from './peak-chance.ts'
import { believable, StepClock, TrailingMean } from './samples.ts'
import type { Trees } from './trees.ts'

const DAY_MS = 86_400_000
const HOUR_MINUTES = 60
const LEVELS = [0.5, 0.9, 0.95] as const
const SMOOTH_STEPS = 3
/** A declared pattern ran if the load was at least this part of it. */
const RAN_PART = 0.5
/** The chance of an overload that a declared pattern is going to make. */
const DECLARED_CHANCE = 0.9

export interface ShardForecastOptions {
  readonly stepMs: number
  /** Minutes ahead that get quantiles; each a whole number of steps, the last is the horizon. */
  readonly horizonsMinutes: readonly number[]
  readonly zone: string
  /** Where an overload begins, in the unit of the load. */
  readonly capacity: Threshold
  readonly patterns: readonly Pattern[]
  /** Shared by all shards of the zone; made here if there is none. */
  readonly calendar?: Calendar
  /** In steps: spreads the daily work of many shards over the day. */
  readonly phase?: number
  /** Only every so many live steps are foretold from; 1 if not given. */
  readonly every?: number
  /** Mean and variance of the next steps are learned too; of steps of five minutes. */
  readonly isDirect?: boolean
  /** Errors that quantiles stand on; a week of steps if not given. */
  readonly window?: number
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
  /** That a load of the next hour, or of the whole path, exceeds the threshold: out of past errors. */
  readonly band: Outlook | undefined
  readonly pathChance: number | undefined
  /** The mean load of the last 15 minutes. */
  readonly load: number
  /** Of such loads in the last day. */
  readonly lastDay: { readonly mean: number; readonly variance: number }
  /** Of the steps to come; absent: not learned (yet). */
  readonly direct?: Direct
}

/** What begins anew with the series. */
interface Parts {
  readonly forecaster: Forecaster
  readonly ordinary: TrailingMean
  readonly bands: readonly QuantileBand[]
  readonly hourly: PeakChance
  /** The same one, if the path is an hour long. */
  readonly whole: PeakChance
  readonly confirmation: Confirmation
  readonly watch: OverloadWatch
  /** The mean of 15 minutes, declared patterns included. */
  readonly total: TrailingMean
  totalLoad: number
  readonly lastDay: LastDay
  readonly direct: DirectForecast | undefined
}

export class ShardForecast {
  readonly #options: ShardForecastOptions
  readonly #declared: Declared
  readonly #clock: StepClock
  readonly #day: number
  readonly #steps: readonly number[]
  readonly #path: Float64Array
  readonly #hour: number
  #capacity: Threshold
  #newestMs = 0
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
    const calendar = options.calendar ?? new Calendar(options.zone)
    this.#declared = new Declared(calendar, options.patterns, options.stepMs)
    this.#capacity = options.capacity
    this.#clock = new StepClock(options.stepMs)
    this.#path = new Float64Array(Math.max(...this.#steps))
    const hour = (HOUR_MINUTES * 60_000) / options.stepMs
    this.#hour = Math.max(1, Math.min(hour, this.#path.length))
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
  remember(timeMs: number, load: number | undefined): boolean {
    if (!this.#arrive(timeMs)) return false
    this.#push(timeMs, load, 'past')
    return true
  }

  /** The mean load of the step that holds `timeMs`; undefined or absurd: a gap. False if late. */
  sample(timeMs: number, load: number | undefined): boolean {
    if (!this.#arrive(timeMs)) return false
    this.#push(timeMs, load, 'live')
    return true
  }

  /** What is foretold after the newest sample, live or not; undefined before the first. */
  foretell(): Forecast | undefined {
    if (this.steps === 0) return undefined
    this.#latest = this.#compose(this.#newestMs, undefined)
    return this.#latest
  }

  /** Moves the threshold; its past is gone through again along the next samples. */
  move(capacity: Threshold): void {
    this.#capacity = capacity
    this.#parts.watch.move(capacity)
  }

  /** Steps known, filled ones too, since the series began. */
  get steps(): number {
    return this.#parts.forecaster.history.length
  }

  get watch(): OverloadWatch {
    return this.#parts.watch
  }

  /** Fills the features of the newest step, if it is quiet. */
  features(out: Float64Array): void {
    const { watch, forecaster } = this.#parts
    watch.features(forecaster.foretold(), out)
  }

  /** ln(1 + load) of the steps that are kept, without declared patterns: what the network learns. */
  history(): Float32Array {
    return this.#parts.forecaster.history.values()
  }

  /** What is foretold after the newest sample; undefined before the first. */
  get forecast(): Forecast | undefined {
    return this.#latest
  }

  #begin(): Parts {
    const { stepMs, window, phase = 0, isDirect = false } = this.#options
    const forecaster = new Forecaster({ day: this.#day, horizon: this.#path.length })
    if (this.#weights !== undefined) forecaster.adopt(this.#weights)
    this.#latest = undefined
    assert(this.#day % 24 === 0, `an hour is a whole number of steps of ${stepMs} ms`)
    const hourly = new PeakChance(this.#hour, window)
    return {
      forecaster,
      hourly,
      whole: this.#hour === this.#path.length ? hourly : new PeakChance(this.#path.length, window),
      confirmation: new Confirmation(),
      watch: new OverloadWatch({ day: this.#day, threshold: this.#capacity, phase }),
      total: new TrailingMean(SMOOTH_STEPS),
      totalLoad: 0,
      lastDay: new LastDay(this.#day),
      direct: isDirect ? new DirectForecast(this.#day) : undefined,
      ordinary: new TrailingMean(SMOOTH_STEPS),
      bands: this.#steps.map(steps => new QuantileBand(steps, LEVELS, this.#options.window))
    }
  }

  /** Takes a time in: fills the gap before it, or begins anew. False if the sample is late. */
  #arrive(timeMs: number): boolean {
    const arrival = this.#clock.arrive(timeMs)
    if (arrival.kind === 'late') return false
    if (arrival.kind === 'anew') this.#parts = this.#begin()
    const missing = arrival.kind === 'next' ? arrival.missing : 0
    for (let left = missing; left > 0; left--) {
      this.#push(timeMs - left * this.#options.stepMs, undefined, 'filled')
    }
    return true
  }

  #push(timeMs: number, load: number | undefined, kind: 'live' | 'past' | 'filled'): void {
    const { forecaster, bands, watch, hourly, whole } = this.#parts
    const every = this.#options.every ?? 1
    const foretell = kind === 'live' && (this.steps + 1) % every === 0
    this.#newestMs = timeMs
    const measured = load === undefined ? undefined : believable(load)
    const declared = this.#declared.load(timeMs)
    const fresh = measured === undefined ? this.#filled() : withoutDeclared(measured, declared)
    const ordinary = this.#parts.ordinary.take(fresh)
    const moment = this.#declared.moment(timeMs, declared)
    forecaster.push(ordinary, moment.offset, foretell)
    for (const band of bands) band.observe(ordinary)
    hourly.observe(ordinary)
    if (whole !== hourly) whole.observe(ordinary)
    const total = measured ?? fresh + declared
    this.#parts.totalLoad = this.#parts.total.take(total)
    this.#parts.lastDay.take(this.#parts.totalLoad)
    this.#parts.direct?.take(fresh, ordinary)
    watch.push(total, moment, kind === 'live')
    const trees = foretell ? this.#trees : undefined
    const outlook = watch.outlook(trees, () => forecaster.foretold())
    if (foretell) this.#latest = this.#compose(timeMs, outlook)
  }

  /** A gap: the load a day before at the same local time, else the last one, else 0. */
  #filled(): number {
    return this.#parts.forecaster.filler()
  }

  #compose(timeMs: number, outlook: Outlook | undefined): Forecast {
    const { forecaster, bands, hourly, whole } = this.#parts
    forecaster.path(this.#path)
    hourly.foretell(this.#path)
    if (whole !== hourly) whole.foretell(this.#path)
    const extra = Array.from(this.#path, (_, i) => this.#declared.load(timeMs, i + 1))
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
    return {
      path,
      bands: made,
      model,
      skill: round6(skill),
      outlook: this.#withDeclared(outlook, path, extra),
      ...this.#exceeding(extra),
      load: round6(this.#parts.totalLoad),
      lastDay: this.#lastDay(),
      ...this.#direct(timeMs)
    }
  }

  #direct(timeMs: number): Pick<Forecast, 'direct'> {
    const direct = this.#parts.direct?.foretell()
    if (direct === undefined) return {}
    const mean = direct.mean.map((load, i) => round6(load + this.#declared.load(timeMs, i + 1)))
    return { direct: { mean, variance: direct.variance.map(round6) } }
  }

  #lastDay(): Forecast['lastDay'] {
    const { mean, variance } = this.#parts.lastDay
    return { mean: round6(mean), variance: round6(variance) }
  }

  /** The chances without trees. */
  #exceeding(extra: readonly number[]): Pick<Forecast, 'band' | 'pathChance'> {
    const { hourly, whole, confirmation, watch } = this.#parts
    const { threshold } = watch
    if (threshold === undefined) return { band: undefined, pathChance: undefined }
    const near = this.#nearChance(extra, threshold)
    const ofPeak = hourly.chance(this.#path, extra, threshold)
    const chance = ofPeak === undefined ? undefined : Math.max(ofPeak, near)
    const warning = confirmation.take(chance)
    const ofWhole = whole === hourly ? chance : whole.chance(this.#path, extra, threshold)
    const onWhole = ofWhole === undefined ? undefined : Math.max(ofWhole, chance ?? 0)
    return {
      band: chance === undefined ? undefined : { chance: round6(chance), warning: round6(warning) },
      pathChance: onWhole === undefined ? undefined : round6(onWhole)
    }
  }

  /** That the load is above at the first horizon: surer than the whole hour where it is high now. */
  #nearChance(extra: readonly number[], threshold: number): number {
    const steps = this.#steps[0] ?? 1
    const least = Math.max(0, threshold - (extra[steps - 1] ?? 0))
    const gap = ln1p(least) - ln1p(this.#path[steps - 1] ?? 0)
    return this.#parts.bands[0]?.exceedance(gap) ?? 0
  }

  /** A declared pattern that will not fit is as good as an overload seen coming. */
  #withDeclared(
    outlook: Outlook | undefined,
    path: readonly number[],
    extra: readonly number[]
  ): Outlook | undefined {
    const capacity = this.#parts.watch.threshold ?? 0
    const bursts = path.some(
      (load, i) => i < this.#hour && (extra[i] ?? 0) > 0 && capacity > 0 && load > capacity
    )
    const chance = Math.max(outlook?.chance ?? 0, bursts ? DECLARED_CHANCE : 0)
    const warning = Math.max(outlook?.warning ?? 0, bursts ? DECLARED_CHANCE : 0)
    if (outlook === undefined && !bursts) return undefined
    return { chance: round6(chance), warning: round6(warning) }
  }
}

/**
 * What is left of a load without what was declared. Where there was less than half of that, it did
 * not run, as before it was declared: then nothing of it is in the load.
 */
function withoutDeclared(measured: number, declared: number): number {
  return measured < RAN_PART * declared ? measured : Math.max(0, measured - declared)
}
