/**
 * How long the synchronous pieces of the load service hold the daemon's own thread: a promise of
 * Shoal (at most 10 ms at p99.9), so it is measured where it is kept.
 */
import { LatencyHistogram } from '../../protocols/load/histogram.ts'

export class PieceTimes {
  readonly #histogram = new LatencyHistogram()

  record(ms: number): void {
    this.#histogram.record(Math.round(ms * 1000))
  }

  summary(): { readonly count: number; readonly p50Us: number; readonly p999Us: number } {
    const { count } = this.#histogram
    if (count === 0) return { count, p50Us: 0, p999Us: 0 }
    return {
      count,
      p50Us: this.#histogram.quantile(0.5),
      p999Us: this.#histogram.quantile(0.999)
    }
  }
}
