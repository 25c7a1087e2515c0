/**
 * What every model of one series is: it reads the shared history of ln(1 + load), learns from the
 * newest value when told, and fills a path of forecasts on the same scale.
 *
 * Invariants: `observe` is called once after each push; `forecast` changes nothing and fills all of
 * `out` with finite numbers as soon as one value is known; the same history gives the same path.
 */
export type ModelName =
  | 'last value'
  | 'level of 30 min'
  | 'level of 1 h'
  | 'level of 2 h'
  | 'level of 3 h'
  | 'level of 6 h'
  | 'seasonal naive'
  | 'weekly naive'
  | 'weekly profile'
  | 'smoothing'
  | 'regression'
  | 'arima'
  | 'lstm'

export interface PointModel {
  readonly name: ModelName
  /** Takes in the newest value of the history; not `judged`: nobody will ask before the next day. */
  observe(judged?: boolean): void
  /** Fills out[h - 1] with the forecast h steps ahead. */
  forecast(out: Float64Array): void
  /** Whether it has seen enough to be worth asking. */
  readonly ready: boolean
}
