/**
 * A cheap forecast of each volume, in place of the real forecaster, which is too slow for thousands
 * of volumes: what it usually is at that time of day, moved by how far off that is now, with a band
 * as wide as the errors lately were.
 *
 *   ln(1 + load) at k steps ahead = season(slot + k) + off * FADES^k,   spread from sd(1) to sd(12)
 *
 * Invariant: nothing but what has been told is known of a load.
 */
import type { LoadPath } from '../../../protocols/balance/types.ts'
import type { Foreteller, SceneLoad } from './scene.ts'
import { AHEAD_STEPS, STEP_MS, STEPS_PER_DAY } from './settings.ts'

const FADES = 0.9
const Z90 = 1.2816
const ERRORS_LAST = 0.98
/** Variance of ln(1 + load), until errors were seen. */
const FIRST_VARIANCE = 0.05
const MOST_DAYS = 4
/** Of the steps of an hour of the rest of a day, those that are looked at. */
const EVERY = 3

export class Foretelling implements Foreteller {
  readonly #volumes: number
  readonly #season: Float32Array
  readonly #last: Float64Array
  readonly #off: Float64Array
  readonly #near: Float64Array
  readonly #far: Float64Array
  /** What was said an hour ahead, by step of telling. */
  readonly #said: Float32Array
  #told = 0

  constructor(volumes: number) {
    this.#volumes = volumes
    this.#season = new Float32Array(volumes * STEPS_PER_DAY)
    this.#last = new Float64Array(volumes)
    this.#off = new Float64Array(volumes)
    this.#near = new Float64Array(volumes).fill(FIRST_VARIANCE)
    this.#far = new Float64Array(volumes).fill(FIRST_VARIANCE)
    this.#said = new Float32Array(volumes * AHEAD_STEPS)
  }

  /** The loads of the next step that is over. */
  tell(loads: Float64Array): void {
    const step = this.#told
    const slot = step % STEPS_PER_DAY
    const days = Math.floor(step / STEPS_PER_DAY)
    for (let v = 0; v < this.#volumes; v++) {
      const x = Math.log1p(loads[v] ?? 0)
      if (step > 0) this.#judge(this.#near, v, x - this.#at(v, step, 1))
      const said = v * AHEAD_STEPS + (step % AHEAD_STEPS)
      if (step >= AHEAD_STEPS) this.#judge(this.#far, v, x - (this.#said[said] ?? 0))
      const at = v * STEPS_PER_DAY + slot
      const usual = this.#season[at] ?? 0
      this.#off[v] = days > 0 ? x - usual : 0
      this.#last[v] = x
      this.#season[at] = usual + (x - usual) / Math.min(days + 1, MOST_DAYS)
    }
    this.#told++
    for (let v = 0; v < this.#volumes; v++) {
      const said = v * AHEAD_STEPS + ((step + AHEAD_STEPS) % AHEAD_STEPS)
      this.#said[said] = this.#at(v, step + AHEAD_STEPS, AHEAD_STEPS)
    }
  }

  /** From the step after the last told one on. */
  path(v: number): LoadPath {
    const expected: number[] = []
    const high: number[] = []
    const near = this.#near[v] ?? 0
    const far = Math.max(near, this.#far[v] ?? 0)
    for (let k = 1; k <= AHEAD_STEPS; k++) {
      const x = this.#at(v, this.#told - 1 + k, k)
      const variance = near + ((far - near) * (k - 1)) / (AHEAD_STEPS - 1)
      expected.push(Math.max(0, Math.expm1(x)))
      high.push(Math.max(0, Math.expm1(x + Z90 * Math.sqrt(variance))))
    }
    return { atMs: this.#told * STEP_MS, stepMs: STEP_MS, expected, high }
  }

  /** The hours after the path, until a day is full; undefined before a day was seen. */
  day(v: number): LoadPath | undefined {
    if (this.#told < STEPS_PER_DAY) return undefined
    const wide = Z90 * Math.sqrt(Math.max(this.#near[v] ?? 0, this.#far[v] ?? 0))
    const expected: number[] = []
    const high: number[] = []
    for (let from = AHEAD_STEPS; from < STEPS_PER_DAY; from += AHEAD_STEPS) {
      let most = 0
      let sum = 0
      for (let k = from; k < from + AHEAD_STEPS; k += EVERY) {
        const slot = (this.#told + k) % STEPS_PER_DAY
        const x = this.#season[v * STEPS_PER_DAY + slot] ?? 0
        sum += Math.expm1(x)
        most = Math.max(most, Math.expm1(x + wide))
      }
      expected.push((sum * EVERY) / AHEAD_STEPS)
      high.push(most)
    }
    const stepMs = AHEAD_STEPS * STEP_MS
    return { atMs: this.#told * STEP_MS + stepMs, stepMs, expected, high }
  }

  /** What is foretold of `step`, `k` steps after the last told one. */
  #at(v: number, step: number, k: number): number {
    if (step < STEPS_PER_DAY) return this.#last[v] ?? 0
    const usual = this.#season[v * STEPS_PER_DAY + (step % STEPS_PER_DAY)] ?? 0
    return usual + (this.#off[v] ?? 0) * FADES ** k
  }

  #judge(variances: Float64Array, v: number, error: number): void {
    variances[v] = ERRORS_LAST * (variances[v] ?? 0) + (1 - ERRORS_LAST) * error * error
  }
}

/** That nothing will change. */
export class Unchanging implements Foreteller {
  readonly #load: SceneLoad
  #told = 0

  constructor(load: SceneLoad) {
    this.#load = load
  }

  tell(): void {
    this.#told++
  }

  path(v: number): LoadPath {
    const list = new Array<number>(AHEAD_STEPS).fill(this.#load.now[v] ?? 0)
    return { atMs: this.#told * STEP_MS, stepMs: STEP_MS, expected: list, high: list }
  }

  day(): undefined {
    return undefined
  }
}
