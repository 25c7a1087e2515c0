/**
 * The forecast of one series: its history, the models that compete on it, and their selection.
 *
 *   push(load) -> history -> judge what was foretold -> models learn -> sometimes: foretell
 *   path(out)  <- the combination of the models with skill, back in load
 *
 * One setting for every series: what depends on the series is measured in days or in parts of the
 * horizon. Invariants: a path is finite and never negative; the same pushes give the same path.
 */
import { assert } from '../assert.ts'
import { Arima } from './arima.ts'
import { History } from './history.ts'
import { MAX_HORIZON_STEPS, MAX_LOAD } from './limits.ts'
import { Lstm, type LstmWeights } from './lstm.ts'
import type { ModelName, PointModel } from './model.ts'
import { LastValue, MedianLevel, SeasonalNaive, WeeklyProfile } from './naive.ts'
import { expm1, ln1p } from './numeric.ts'
import type { Foretold } from './overload-state.ts'
import { SeasonalRegression } from './regression.ts'
import { Selection, type Verdict } from './selection.ts'
import { Smoothing } from './smoothing.ts'

/** Where a path is judged, as parts of the horizon: near and far are weighed apart. */
const NEAR = [0.04, 0.1, 0.18]
const FAR = [0.27, 0.35, 0.43, 0.56, 0.68, 0.81, 0.93]
/** The past whose origins decide: at least so many days, and so many horizons. */
const MEMORY_DAYS = 0.5
const MEMORY_HORIZONS = 6
/** An origin every so many steps: a quarter of the horizon, and at most a quarter of a day. */
const ORIGINS_PER_HORIZON = 4

export interface ForecasterOptions {
  /** Steps of a day. */
  readonly day: number
  /** Steps ahead that matter. */
  readonly horizon: number
}

export class Forecaster {
  readonly history: History
  readonly #models: readonly PointModel[]
  readonly #lstm: Lstm
  readonly #selection: Selection
  readonly #stride: number
  readonly #memorySteps: number
  readonly #scratch: Float64Array

  constructor({ day, horizon }: ForecasterOptions) {
    assert(horizon >= 1 && horizon <= MAX_HORIZON_STEPS, 'a horizon has a bound')
    const history = new History(day)
    this.history = history
    this.#lstm = new Lstm(history)
    this.#scratch = new Float64Array(horizon)
    this.#models = [
      new LastValue(history),
      new SeasonalNaive(history, 1),
      new SeasonalNaive(history, 7),
      new WeeklyProfile(history),
      new MedianLevel(history, 'level of 30 min', 48),
      new MedianLevel(history, 'level of 1 h', 24),
      new MedianLevel(history, 'level of 2 h', 12),
      new MedianLevel(history, 'level of 3 h', 8),
      new MedianLevel(history, 'level of 6 h', 4),
      new SeasonalRegression(history),
      new Smoothing(history),
      new Arima(history),
      this.#lstm
    ]
    this.#stride = Math.max(1, Math.floor(Math.min(horizon, day) / ORIGINS_PER_HORIZON))
    this.#memorySteps = Math.max(MEMORY_DAYS * day, MEMORY_HORIZONS * horizon)
    this.#selection = new Selection(this.#models, {
      bands: [NEAR, FAR].map(parts => marksOf(parts, horizon, day)),
      memory: Math.ceil(this.#memorySteps / this.#stride),
      horizon
    })
  }

  /** The weights of the node's network; until then the LSTM takes no part. */
  adopt(weights: LstmWeights): void {
    this.#lstm.adopt(weights)
    this.#selection.forget()
  }

  /** The next load. `offset`: the zone's, in steps. `judged` false spares the selection's work. */
  push(load: number, offset = 0, judged = true): void {
    assert(load >= 0 && load <= MAX_LOAD, 'a load is a number, not negative')
    this.history.push(ln1p(load), offset)
    this.#selection.judge(this.history.back(0))
    for (const model of this.#models) model.observe(judged)
    if (judged && this.history.length % this.#stride === 0) this.#selection.foretell()
  }

  /** What a gap is filled with: the load of the day before, else the last one, else 0. */
  filler(): number {
    const { history } = this
    if (history.length === 0) return 0
    const lag = history.dayLag(1) - 1
    return Math.max(0, expm1(history.back(lag < history.kept ? lag : 0)))
  }

  /** A whole series at once: the selection looks only at the origins that it would remember. */
  replay(loads: Float64Array): void {
    const from = loads.length - this.#memorySteps
    loads.forEach((load, t) => {
      this.push(load, 0, t >= from)
    })
    this.#selection.foretell()
  }

  /** Loads out[h - 1] at h steps ahead: the median that is expected. */
  path(out: Float64Array): void {
    this.#selection.forecast(out)
    for (let i = 0; i < out.length; i++) out[i] = Math.max(0, expm1(out[i] ?? 0))
  }

  /** The same of one model by itself, ready or not. */
  pathOf(name: ModelName, out: Float64Array): void {
    const path = this.#selection.pathOf(name)
    for (let i = 0; i < out.length; i++) out[i] = Math.max(0, expm1(path[i] ?? 0))
  }

  /** What the overload model wants to know of the path: its greatest load, by two models. */
  foretold(): Foretold {
    const path = this.#scratch
    this.pathOf('smoothing', path)
    const smoothing = most(path)
    this.pathOf('regression', path)
    return { smoothing, regression: most(path) }
  }

  errorOf(name: ModelName): number {
    return this.#selection.errorOf(name)
  }

  verdict(): Verdict {
    return this.#selection.verdict()
  }
}

function most(path: Float64Array): number {
  let found = 0
  for (const load of path) if (load > found) found = load
  return found
}

function marksOf(parts: readonly number[], horizon: number, day: number): number[] {
  const steps = parts.map(part => Math.ceil(part * horizon))
  return [...new Set(steps.map(step => (step % day === 0 ? step - 1 : step)))]
}
