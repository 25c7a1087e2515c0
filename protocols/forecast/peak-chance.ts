/**
 * The chance that the load exceeds a threshold at some step within a time, without trees: by how
 * much the greatest load of such a time was above the greatest of the path, in the last week.
 *
 *   now ---- path ----> its peak, and the peak that came    error = ln(1 + came) - ln(1 + foretold)
 *
 * The errors are of peaks, not of single steps: the most of an hour exceeds a threshold more often
 * than any one step of it does.
 *
 * Invariants: a peak is judged only when its time has ended; the chance lies in (0, 1).
 */
import { QuantileBand } from './conformal.ts'
import { ln1p } from './numeric.ts'
import { TrailingPeak } from './samples.ts'

export class PeakChance {
  readonly #steps: number
  readonly #band: QuantileBand
  readonly #peak: TrailingPeak
  readonly #unused = new Float64Array(1)

  constructor(steps: number) {
    this.#steps = steps
    this.#band = new QuantileBand(steps, [0.5])
    this.#peak = new TrailingPeak(steps)
  }

  observe(load: number): void {
    this.#band.observe(this.#peak.take(load))
  }

  /** The path is foretold now: its peak will be judged when it has passed. */
  foretell(path: Float64Array): void {
    this.#band.quantiles(this.#peakOf(path), this.#unused)
  }

  /** `extra`: what is declared on top of each step. Undefined before there are errors to count. */
  chance(path: Float64Array, extra: readonly number[], threshold: number): number | undefined {
    const peak = ln1p(this.#peakOf(path))
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#steps; i++) {
      const more = extra[i] ?? 0
      const point = more > 0 ? ln1p(path[i] ?? 0) : peak
      least = Math.min(least, ln1p(Math.max(0, threshold - more)) - point)
    }
    return this.#band.exceedance(least)
  }

  #peakOf(path: Float64Array): number {
    let peak = 0
    for (let i = 0; i < this.#steps; i++) peak = Math.max(peak, path[i] ?? 0)
    return peak
  }
}
