/**
 * The chance that the load exceeds a threshold at some step within a time, without trees: by how
 * much the greatest load of such a time was above the greatest of the path, in the last week.
 *
 *   now ---- path ----> its peak, and the peak that came    error = ln(1 + came) - ln(1 + foretold)
 *
 * The errors are of peaks, not of single steps: the most of an hour exceeds a threshold more often
 * than any one step of it does. What is foretold is first drawn towards what peaks are on average, as
 * far as they did not follow it (a regression of what came on what was foretold): else errors would
 * be great where the path is low and small where it is high, and no chance would hold.
 *
 * Invariants: a peak is judged only when its time has ended; the chance lies in (0, 1).
 */
import { QuantileBand } from './conformal.ts'
import { expm1, ln1p } from './numeric.ts'
import { TrailingPeak } from './samples.ts'

/** Peaks that the regression remembers, and before which it says nothing. */
const MEMORY = 2016
const LEAST_PEAKS = 24

export class PeakChance {
  readonly #steps: number
  /** What was foretold in the last `steps` steps, as ln(1 + load). NaN: nothing. */
  readonly #foretold: Float64Array
  readonly #band: QuantileBand
  readonly #peak: TrailingPeak
  readonly #unused = new Float64Array(1)
  #now = 0
  #peaks = 0
  #meanForetold = 0
  #meanCame = 0
  #square = 0
  #product = 0

  constructor(steps: number, window?: number) {
    this.#steps = steps
    this.#foretold = new Float64Array(steps).fill(Number.NaN)
    this.#band = new QuantileBand(steps, [0.5], window)
    this.#peak = new TrailingPeak(steps)
  }

  observe(load: number): void {
    const came = this.#peak.take(load)
    this.#band.observe(came)
    const slot = ++this.#now % this.#steps
    const foretold = this.#foretold[slot] ?? Number.NaN
    this.#foretold[slot] = Number.NaN
    if (!Number.isNaN(foretold)) this.#learn(foretold, ln1p(came))
  }

  /** The path is foretold now: its peak will be judged when it has passed. */
  foretell(path: Float64Array): void {
    const peak = ln1p(this.#peakOf(path))
    this.#foretold[this.#now % this.#steps] = peak
    this.#band.quantiles(expm1(this.#drawn(peak)), this.#unused)
  }

  /** `extra`: what is declared on top of each step. Undefined before there are errors to count. */
  chance(path: Float64Array, extra: readonly number[], threshold: number): number | undefined {
    const peak = this.#drawn(ln1p(this.#peakOf(path)))
    let least = Number.POSITIVE_INFINITY
    for (let i = 0; i < this.#steps; i++) {
      const more = extra[i] ?? 0
      const point = more > 0 ? ln1p(path[i] ?? 0) : peak
      least = Math.min(least, ln1p(Math.max(0, threshold - more)) - point)
    }
    return this.#band.exceedance(least)
  }

  #learn(foretold: number, came: number): void {
    const rate = 1 / Math.min(++this.#peaks, MEMORY)
    const off = foretold - this.#meanForetold
    this.#meanForetold += rate * off
    this.#meanCame += rate * (came - this.#meanCame)
    this.#square += rate * (off * (foretold - this.#meanForetold) - this.#square)
    this.#product += rate * (off * (came - this.#meanCame) - this.#product)
  }

  /** A foretold peak as peaks have followed such. */
  #drawn(foretold: number): number {
    if (this.#peaks < LEAST_PEAKS || this.#square < 1e-9) return foretold
    const slope = Math.min(1, Math.max(0, this.#product / this.#square))
    return Math.max(0, this.#meanCame + slope * (foretold - this.#meanForetold))
  }

  #peakOf(path: Float64Array): number {
    let peak = 0
    for (let i = 0; i < this.#steps; i++) peak = Math.max(peak, path[i] ?? 0)
    return peak
  }
}
