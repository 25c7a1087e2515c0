/**
 * The chance that an overload starts within the hour, held to its own record: what the trees said
 * of this shard against what came, fading over days, moves their log odds.
 *
 * The warning is what alarms are raised on: the chance, but above CONFIRMED only as far as it has
 * stood there for four steps. A chance that flares up once wakes nobody.
 *
 * Invariants: a step enters the record only when its hour has ended; the chance lies in (0, 1); the
 * warning is never above it.
 */
import { exp, ln, sigmoid } from './numeric.ts'
import { FEATURES, type Foretold, type OverloadState } from './overload-state.ts'
import type { Trees } from './trees.ts'

const MEMORY_DAYS = 5
/** Steps of perfect agreement that the record begins with. */
const PRIOR = 10
/** A warning above this is believed only if it stood for so many steps, this one included. */
const CONFIRMED = 0.45
const CONFIRMING_STEPS = 4

export interface Outlook {
  /** That an overload starts within the hour. */
  readonly chance: number
  readonly warning: number
}

/** From chance to warning: a chance above CONFIRMED counts only as far as it stood for a while. */
export class Confirmation {
  readonly #latest = new Float64Array(CONFIRMING_STEPS)
  #step = 0

  /** The warning of this step; a step with nothing to foretell breaks what stood. */
  take(chance: number | undefined): number {
    this.#latest[this.#step++ % CONFIRMING_STEPS] = chance ?? 0
    let stood = chance ?? 0
    for (let i = 0; i < CONFIRMING_STEPS; i++) stood = Math.min(stood, this.#latest[i] ?? 0)
    return Math.max(stood, Math.min(chance ?? 0, CONFIRMED))
  }
}

export class Chance {
  readonly #hour: number
  readonly #fade: number
  /** What was said of each step of the last hour; NaN where nothing was. */
  readonly #said: Float64Array
  readonly #row = new Float64Array(FEATURES.length)
  readonly #confirmation = new Confirmation()
  #step = 0
  #lastOver = Number.NEGATIVE_INFINITY
  #came = 0
  #expected = 0

  constructor(day: number) {
    this.#hour = day / 24
    this.#fade = exp(-1 / (MEMORY_DAYS * day))
    this.#said = new Float64Array(this.#hour).fill(Number.NaN)
  }

  /**
   * After each push of the state: the outlook, or undefined while there is nothing to foretell, or
   * no trees to ask. `foretold` is asked only if there are.
   */
  update(
    state: OverloadState,
    trees: Trees | undefined,
    foretold: () => Foretold
  ): Outlook | undefined {
    this.#step++
    if (state.over) this.#lastOver = this.#step
    const slot = this.#step % this.#hour
    this.#settle(this.#said[slot] ?? Number.NaN)
    this.#said[slot] = Number.NaN
    if (!state.quiet || trees === undefined) {
      this.#confirmation.take(undefined)
      return undefined
    }
    state.features(foretold(), this.#row)
    const odds = trees.score(this.#row)
    this.#said[slot] = sigmoid(odds)
    const chance = sigmoid(odds + ln((this.#came + PRIOR) / (this.#expected + PRIOR)))
    return { chance, warning: this.#confirmation.take(chance) }
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
