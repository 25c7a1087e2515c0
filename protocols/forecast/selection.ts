/**
 * Which model speaks: rolling-origin error decides.
 *
 * At every origin each model's path is kept at a few horizons; when the value comes, the absolute
 * error in load enters a fading mean. The better of last value and seasonal naive, and the models
 * that beat it, are weighed by the inverse power of their error; without any, it speaks alone.
 *
 * Invariants: weights sum to 1; a model without skill over naive has weight 0; skill is that of the
 * combination itself, measured like a model, never above what it showed.
 */
import { assert } from '../assert.ts'
import type { ModelName, PointModel } from './model.ts'
import { expm1 } from './numeric.ts'

const NAIVE: ReadonlySet<ModelName> = new Set(['last value', 'seasonal naive'])
const POWER = 6
/** The part of the memory over which a model must have been judged before it speaks. */
const YOUNG_PART = 1 / 6

export interface SelectionOptions {
  /**
   * Steps ahead at which models are judged, in bands of ascending reach: the models are weighed for
   * each band by itself. Leave out whole days, where the last value is the seasonal one.
   */
  readonly bands: ReadonlyArray<readonly number[]>
  /** Origins that an error is remembered for. */
  readonly memory: number
  /** Steps of the longest path that is asked for. */
  readonly horizon: number
}

export interface Verdict {
  readonly model: ModelName
  /** 1 - error / error of the better naive; 0 or less: no skill. */
  readonly skill: number
}

export class Selection {
  readonly #models: readonly PointModel[]
  readonly #bands: number
  readonly #memory: number
  readonly #marks: ReadonlyArray<{ readonly step: number; readonly band: number }>
  readonly #ends: readonly number[]
  readonly #longest: number
  /** The path of each model, and the step at which it was made: asked for once a step. */
  readonly #paths: readonly Float64Array[]
  readonly #madeAt: Float64Array
  /** Fading mean error and its count, by model then band; the last row is the combination. */
  readonly #errors: Float64Array
  readonly #counts: Float64Array
  /** What was foretold at past origins, by origin modulo longest, model, mark. NaN: nothing. */
  readonly #kept: Float64Array
  /** Whether a past step was an origin, by step modulo longest. */
  readonly #origins: Uint8Array
  readonly #weights: Float64Array
  #now = 0

  constructor(models: readonly PointModel[], { bands, memory, horizon }: SelectionOptions) {
    this.#models = models
    this.#bands = bands.length
    this.#marks = bands.flatMap((steps, band) => steps.map(step => ({ step, band })))
    this.#ends = bands.map(steps => Math.max(...steps))
    this.#longest = Math.max(...this.#ends)
    this.#memory = memory * (this.#marks.length / bands.length)
    this.#paths = models.map(() => new Float64Array(Math.max(horizon, this.#longest)))
    this.#madeAt = new Float64Array(models.length).fill(-1)
    this.#errors = new Float64Array((models.length + 1) * this.#bands)
    this.#counts = new Float64Array((models.length + 1) * this.#bands)
    const row = (models.length + 1) * this.#marks.length
    this.#kept = new Float64Array(row * (this.#longest + 1)).fill(Number.NaN)
    this.#origins = new Uint8Array(this.#longest + 1)
    // Before the first verdict the first model speaks alone.
    this.#weights = new Float64Array(models.length * this.#bands).fill(1, 0, this.#bands)
  }

  /** A value has come, as ln(1 + load): every forecast that was made of it is judged. */
  judge(value: number): void {
    this.#now++
    const actual = expm1(value)
    for (let j = 0; j < this.#marks.length; j++) {
      const mark = this.#marks[j]
      const origin = this.#now - (mark?.step ?? 0)
      if (mark === undefined || origin < 0 || this.#origins[this.#slot(origin)] !== 1) continue
      for (let m = 0; m <= this.#models.length; m++) {
        const foretold = this.#kept[this.#cell(origin, m, j)] ?? Number.NaN
        if (!Number.isNaN(foretold)) this.#learn(m * this.#bands + mark.band, foretold - actual)
      }
    }
    this.#origins[this.#slot(this.#now)] = 0
  }

  /** Makes this step an origin: keeps what every model, and the combination, says of the future. */
  foretell(): void {
    for (let band = 0; band < this.#bands; band++) this.#reweigh(band)
    this.#origins[this.#slot(this.#now)] = 1
    const from = this.#cell(this.#now, 0, 0)
    this.#kept.fill(Number.NaN, from, from + (this.#models.length + 1) * this.#marks.length)
    this.#models.forEach((model, m) => {
      if (!model.ready) return
      const path = this.#pathAt(m)
      this.#marks.forEach(({ step }, j) => {
        this.#kept[this.#cell(this.#now, m, j)] = expm1(path[step - 1] ?? 0)
      })
    })
    this.#marks.forEach(({ step, band }, j) => {
      const mixed = this.#mix(this.#paths, band, step)
      this.#kept[this.#cell(this.#now, this.#models.length, j)] = expm1(mixed)
    })
  }

  /** The combined path on the scale of the models. */
  forecast(out: Float64Array): void {
    assert(out.length <= (this.#paths[0]?.length ?? 0), 'a path is no longer than the horizon')
    for (let m = 0; m < this.#models.length; m++) if (this.#weightOf(m) > 0) this.#pathAt(m)
    for (let h = 1, band = 0; h <= out.length; h++) {
      while (band + 1 < this.#bands && (this.#ends[band] ?? 0) < h) band++
      out[h - 1] = this.#mix(this.#paths, band, h)
    }
  }

  /** The path of one model by itself, on the same scale; to be read before the next value. */
  pathOf(name: ModelName): Float64Array {
    const m = this.#models.findIndex(model => model.name === name)
    assert(m !== -1, 'a model is one of those that compete')
    return this.#pathAt(m)
  }

  /** A model has changed by something other than a value: its path is made again. */
  forget(): void {
    this.#madeAt.fill(-1)
  }

  /** Mean error of a model over all bands where it was judged; NaN before. */
  errorOf(name: ModelName): number {
    const m = this.#models.findIndex(model => model.name === name)
    return m === -1 ? Number.NaN : this.#meanError(m)
  }

  verdict(): Verdict {
    let naive = Number.POSITIVE_INFINITY
    for (const name of NAIVE) {
      const error = this.errorOf(name)
      if (error < naive) naive = error
    }
    const own = this.#meanError(this.#models.length)
    const judged = naive > 0 && naive < Number.POSITIVE_INFINITY && own >= 0
    return { model: this.#loudest(), skill: judged ? 1 - own / naive : 0 }
  }

  #cell(origin: number, m: number, j: number): number {
    return (this.#slot(origin) * (this.#models.length + 1) + m) * this.#marks.length + j
  }

  #slot(origin: number): number {
    return origin % (this.#longest + 1)
  }

  #learn(cell: number, error: number): void {
    const count = Math.min(this.#memory, (this.#counts[cell] ?? 0) + 1)
    const known = this.#errors[cell] ?? 0
    this.#counts[cell] = count
    this.#errors[cell] = known + (Math.abs(error) - known) / count
  }

  #pathAt(m: number): Float64Array {
    const path = this.#paths[m]
    assert(path !== undefined, 'every model has a path')
    if (this.#madeAt[m] !== this.#now) this.#models[m]?.forecast(path)
    this.#madeAt[m] = this.#now
    return path
  }

  #mix(paths: readonly Float64Array[], band: number, step: number): number {
    let sum = 0
    for (let m = 0; m < paths.length; m++) {
      const weight = this.#weights[m * this.#bands + band] ?? 0
      if (weight > 0) sum += weight * (paths[m]?.[step - 1] ?? 0)
    }
    return sum
  }

  #weightOf(m: number): number {
    let sum = 0
    for (let band = 0; band < this.#bands; band++) sum += this.#weights[m * this.#bands + band] ?? 0
    return sum
  }

  #reweigh(band: number): void {
    const cellOf = (m: number): number => m * this.#bands + band
    const naive = this.#bestNaive(band)
    const measure = this.#errors[cellOf(naive)] ?? 0
    let sum = 0
    this.#models.forEach((model, m) => {
      const error = this.#errors[cellOf(m)] ?? 0
      const judged = model.ready && (this.#counts[cellOf(m)] ?? 0) >= YOUNG_PART * this.#memory
      const skilled = judged && measure > 0 && (m === naive || error < measure)
      const weight = skilled ? inversePower(error / measure) : 0
      this.#weights[cellOf(m)] = weight
      sum += weight
    })
    for (let m = 0; m < this.#models.length; m++) {
      const alone = m === naive ? 1 : 0
      this.#weights[cellOf(m)] = sum > 0 ? (this.#weights[cellOf(m)] ?? 0) / sum : alone
    }
  }

  /** Of the naive models the one with the least error; before any was judged, the first ready. */
  #bestNaive(band: number): number {
    let best = -1
    let least = Number.POSITIVE_INFINITY
    this.#models.forEach((model, m) => {
      const cell = m * this.#bands + band
      if (!NAIVE.has(model.name) || !model.ready) return
      const error = (this.#counts[cell] ?? 0) > 0 ? (this.#errors[cell] ?? 0) : Number.MAX_VALUE
      if (error < least) {
        best = m
        least = error
      }
    })
    return Math.max(0, best)
  }

  #meanError(m: number): number {
    let sum = 0
    let judged = 0
    for (let band = 0; band < this.#bands; band++) {
      if ((this.#counts[m * this.#bands + band] ?? 0) === 0) continue
      sum += this.#errors[m * this.#bands + band] ?? 0
      judged++
    }
    return judged === 0 ? Number.NaN : sum / judged
  }

  #loudest(): ModelName {
    let best = 0
    for (let m = 1; m < this.#models.length; m++) {
      if (this.#weightOf(m) > this.#weightOf(best)) best = m
    }
    return this.#models[best]?.name ?? 'last value'
  }
}

function inversePower(ratio: number): number {
  const bounded = Math.max(0.05, ratio)
  let power = 1
  for (let i = 0; i < POWER; i++) power *= bounded
  return 1 / power
}
