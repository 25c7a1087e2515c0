/**
 * Exponential smoothing with damped trend and two seasons, day and week, on ln(1 + load), with the
 * error's own autocorrelation (Taylor 2003, "Short-term electricity demand forecasting using double
 * seasonal exponential smoothing").
 *
 * Several settings run side by side; the one whose one-step error was least of late speaks. The
 * phase of a step is its local time of week, so daylight saving moves it with the clock.
 */
import type { History } from './history.ts'
import type { PointModel } from './model.ts'

interface Setting {
  readonly level: number
  readonly daily: number
  readonly weekly: number
}

const SETTINGS: readonly Setting[] = [
  { level: 0.01, daily: 0.3, weekly: 0.4 },
  { level: 0.05, daily: 0.2, weekly: 0.3 },
  { level: 0.05, daily: 0.08, weekly: 0.08 },
  { level: 0.3, daily: 0.1, weekly: 0.1 }
]
const TREND = 0.0003
/** How fast a season is taken in that was never seen before. */
const FIRST_DAILY = 0.5
const FIRST_WEEKLY = 0.6
const DAMPING = 0.98
/** Weight that the autocorrelation of errors keeps from one step to the next. */
const ERROR_MEMORY = 0.995

export class Smoothing implements PointModel {
  readonly name = 'smoothing'
  readonly #history: History
  readonly #tracks: readonly Track[]

  constructor(history: History) {
    this.#history = history
    this.#tracks = SETTINGS.map(setting => new Track(history, setting))
  }

  get ready(): boolean {
    return this.#history.length >= 2 * this.#history.day
  }

  observe(): void {
    for (const track of this.#tracks) track.observe()
  }

  forecast(out: Float64Array): void {
    this.#tracks.reduce((a, b) => (b.loss < a.loss ? b : a)).forecast(out)
  }
}

class Track {
  readonly #history: History
  readonly #setting: Setting
  readonly #daily: Float32Array
  readonly #weekly: Float32Array
  #phase = 0
  #level = 0
  #trend = 0
  #error = 0
  #product = 0
  #square = 1e-9
  /** Mean absolute one-step error, fading. */
  loss = 0

  constructor(history: History, setting: Setting) {
    this.#history = history
    this.#setting = setting
    this.#daily = new Float32Array(history.day)
    this.#weekly = new Float32Array(7 * history.day)
  }

  observe(): void {
    const { day, length } = this.#history
    const value = this.#history.back(0)
    if (length === 1) this.#level = value
    this.#phase = this.#phaseAt(0)
    const tod = this.#phase % day
    const season = (this.#daily[tod] ?? 0) + (this.#weekly[this.#phase] ?? 0)
    const base = this.#level + DAMPING * this.#trend + season
    const error = value - base
    this.#remember(error, value)
    // The first day sets the level fast; the first week fills the daily season before the weekly.
    const { level, daily, weekly } = this.#setting
    const young = length < 2 * day
    const alpha = Math.max(level, 1 / length)
    const gain = alpha * error
    this.#level += DAMPING * this.#trend + gain
    this.#trend = DAMPING * this.#trend + (young ? 0 : TREND * error)
    const left = error - gain
    this.#daily[tod] = (this.#daily[tod] ?? 0) + (young ? FIRST_DAILY : daily) * left
    if (length > 7 * day) {
      this.#weekly[this.#phase] =
        (this.#weekly[this.#phase] ?? 0) + (length <= 14 * day ? FIRST_WEEKLY : weekly) * left
    }
  }

  forecast(out: Float64Array): void {
    const { day } = this.#history
    const rho = Math.min(0.95, Math.max(0, this.#product / this.#square))
    let trend = 0
    let damped = DAMPING
    let carried = rho * this.#error
    for (let h = 1; h <= out.length; h++) {
      const phase = this.#phaseAt(h)
      trend += damped * this.#trend
      damped *= DAMPING
      const season = (this.#daily[phase % day] ?? 0) + (this.#weekly[phase] ?? 0)
      out[h - 1] = Math.max(0, this.#level + trend + season + carried)
      carried *= rho
    }
  }

  #remember(error: number, value: number): void {
    const rho = Math.min(0.95, Math.max(0, this.#product / this.#square))
    const surprise = Math.abs(error - rho * this.#error)
    this.loss = this.#history.length < 3 ? Math.abs(value) : 0.999 * this.loss + 0.001 * surprise
    this.#product = ERROR_MEMORY * this.#product + error * this.#error
    this.#square = ERROR_MEMORY * this.#square + error * error
    this.#error = error
  }

  /** Local step of the week of the value `h` after the newest; any origin serves. */
  #phaseAt(h: number): number {
    const { day, length } = this.#history
    const week = 7 * day
    const shift = this.#history.offset
    return (((length - 1 + h + shift) % week) + week) % week
  }
}
