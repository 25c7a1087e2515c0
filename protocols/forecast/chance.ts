/**
 * The chance that an overload starts within the hour, held to its own record: what the trees said
 * of this shard against what came, fading over days, moves their log odds.
 *
 * Invariants: a step enters the record only when its hour has ended; the chance lies in (0, 1).
 */
import { exp, ln, sigmoid } from './numeric.ts'
import { FEATURES, type OverloadState } from './overload-state.ts'
import type { Trees } from './trees.ts'

const MEMORY_DAYS = 5
/** Steps of perfect agreement that the record begins with. */
const PRIOR = 10

export class Chance {
  readonly #hour: number
  readonly #fade: number
  /** What was said of each step of the last hour; NaN where nothing was. */
  readonly #said: Float64Array
  readonly #row = new Float64Array(FEATURES.length)
  #step = 0
  #lastOver = Number.NEGATIVE_INFINITY
  #came = 0
  #expected = 0

  constructor(day: number) {
    this.#hour = day / 24
    this.#fade = exp(-1 / (MEMORY_DAYS * day))
    this.#said = new Float64Array(this.#hour).fill(Number.NaN)
  }

  /** After each push of the state: the chance now, or undefined while there is nothing to foretell. */
  update(state: OverloadState, trees: Trees): number | undefined {
    this.#step++
    if (state.over) this.#lastOver = this.#step
    const slot = this.#step % this.#hour
    this.#settle(this.#said[slot] ?? Number.NaN)
    this.#said[slot] = Number.NaN
    if (!state.quiet) return undefined
    state.features(this.#row)
    const odds = trees.score(this.#row)
    this.#said[slot] = sigmoid(odds)
    return sigmoid(odds + ln((this.#came + PRIOR) / (this.#expected + PRIOR)))
  }

  /** The hour after what was said an hour ago has ended: an overload came in it, or not. */
  #settle(said: number): void {
    this.#came *= this.#fade
    this.#expected *= this.#fade
    if (Number.isNaN(said)) return
    this.#expected += said
    if (this.#step - this.#lastOver < this.#hour) this.#came++
  }
}
