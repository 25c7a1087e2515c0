/**
 * How long the synchronous pieces of the load service hold the daemon's own thread: a promise of
 * Shoal (at most 10 ms at p99.9), so it is measured where it is kept.
 */
import { LatencyHistogram } from '../../protocols/load/histogram.ts'

export interface PieceSummary {
  readonly count: number
  readonly totalMs: number
  readonly p50Us: number
  readonly p999Us: number
}

export class PieceTimes {
  readonly #histogram = new LatencyHistogram()
  #totalMs = 0

  record(ms: number): void {
    this.#totalMs += ms
    this.#histogram.record(Math.round(ms * 1000))
  }

  summary(): PieceSummary {
    const { count } = this.#histogram
    return {
      count,
      totalMs: this.#totalMs,
      p50Us: this.#histogram.quantile(0.5),
      p999Us: this.#histogram.quantile(0.999)
    }
  }
}
