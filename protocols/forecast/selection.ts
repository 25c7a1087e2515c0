/**
 * Which model speaks: rolling-origin error decides.
 *
 * At every origin each model's path is kept at a few horizons; when the value comes, the absolute
 * error in load enters a fading mean. Models that beat the better of last value and seasonal naive
 * are weighed by the inverse power of their error; without any, the better naive speaks alone.
 *
 * Invariants: weights sum to 1; a model without skill over naive has weight 0; skill is that of the
 * combination itself, measured like a model, never above what it showed.
 */
import type { ModelName, PointModel } from './model.ts'
import { expm1 } from './numeric.ts'

const NAIVE: ReadonlySet<ModelName> = new Set(['last value', 'seasonal naive'])
const POWER = 4
/** Origins whose errors are averaged plainly before older ones begin to fade. */
const YOUNG = 20

export interface SelectionOptions {
  /** Steps ahead at which models are judged, ascending. */
  readonly horizons: readonly number[]
  /** Origins that an error is remembered for. */
  readonly memory: number
}

export interface Verdict {
  readonly model: ModelName
  /** 1 - error / error of the better naive; 0 or less: no skill. */
  readonly skill: number
}

export class Selection {
  readonly #models: readonly PointModel[]
  readonly #options: SelectionOptions
  readonly #longest: number
  readonly #paths: readonly Float64Array[]
  /** Fading mean error, by model then horizon; the last row is the combination. */
  readonly #errors: Float64Array
  readonly #counts: Float64Array
  /** What was foretold at past origins, by origin modulo longest, model, horizon. NaN: nothing. */
  readonly #kept: Float64Array
  readonly #weights: Float64Array
  #now = 0

  constructor(models: readonly PointModel[], options: SelectionOptions) {
    this.#models = models
    this.#options = options
    this.#longest = options.horizons.at(-1) ?? 1
    this.#paths = models.map(() => new Float64Array(this.#longest))
    const cells = (models.length + 1) * options.horizons.length
    this.#errors = new Float64Array(cells)
    this.#counts = new Float64Array(cells)
    this.#kept = new Float64Array(cells * (this.#longest + 1)).fill(Number.NaN)
    this.#weights = new Float64Array(models.length * options.horizons.length)
  }

  /** A value has come, as ln(1 + load): every forecast that was made of it is judged. */
  judge(value: number): void {
    this.#now++
    const { horizons, memory } = this.#options
    const actual = expm1(value)
    for (let j = 0; j < horizons.length; j++) {
      const origin = this.#now - (horizons[j] ?? 0)
      if (origin < 0) continue
      for (let m = 0; m <= this.#models.length; m++) {
        const foretold = this.#kept[this.#slot(origin) + m * horizons.length + j] ?? Number.NaN
        if (Number.isNaN(foretold)) continue
        const cell = m * horizons.length + j
        const count = Math.min(memory, (this.#counts[cell] ?? 0) + 1)
        this.#counts[cell] = count
        const error = Math.abs(foretold - actual)
        this.#errors[cell] = (this.#errors[cell] ?? 0) + (error - (this.#errors[cell] ?? 0)) / count
      }
    }
    this.#kept.fill(Number.NaN, this.#slot(this.#now), this.#slot(this.#now) + this.#errors.length)
  }

  /** Makes this step an origin: keeps what every model, and the combination, says of the future. */
  foretell(): void {
    const { horizons } = this.#options
    const slot = this.#slot(this.#now)
    this.#reweigh()
    this.#models.forEach((model, m) => {
      if (!model.ready) return
      const path = this.#paths[m] ?? new Float64Array(this.#longest)
      model.forecast(path)
      for (let j = 0; j < horizons.length; j++) {
        this.#kept[slot + m * horizons.length + j] = expm1(path[(horizons[j] ?? 1) - 1] ?? 0)
      }
    })
    for (let j = 0; j < horizons.length; j++) {
      const mixed = this.#mix(j, (horizons[j] ?? 1) - 1)
      this.#kept[slot + this.#models.length * horizons.length + j] = expm1(mixed)
    }
  }

  /** The combined path on the scale of the models. */
  forecast(out: Float64Array): void {
    const { horizons } = this.#options
    const paths = this.#models.map((model, m) => {
      const path = new Float64Array(out.length)
      if (this.#uses(m)) model.forecast(path)
      return path
    })
    for (let h = 1, j = 0; h <= out.length; h++) {
      while (j + 1 < horizons.length && (horizons[j] ?? 0) < h) j++
      let sum = 0
      paths.forEach((path, m) => {
        sum += (this.#weights[m * horizons.length + j] ?? 0) * (path[h - 1] ?? 0)
      })
      out[h - 1] = sum
    }
  }

  /** Mean error of a model over the horizons where it was judged; NaN before. */
  errorOf(name: ModelName): number {
    const m = this.#models.findIndex(model => model.name === name)
    return m === -1 ? Number.NaN : this.#meanError(m)
  }

  verdict(): Verdict {
    const naive = Math.min(
      ...this.#models
        .filter(({ name }) => NAIVE.has(name))
        .map(({ name }) => orInfinity(this.errorOf(name)))
    )
    const own = this.#meanError(this.#models.length)
    const skill = naive > 0 && Number.isFinite(naive) && own >= 0 ? 1 - own / naive : 0
    return { model: this.#loudest(), skill }
  }

  #slot(origin: number): number {
    return (origin % (this.#longest + 1)) * this.#errors.length
  }

  #mix(j: number, step: number): number {
    const count = this.#options.horizons.length
    let sum = 0
    this.#paths.forEach((path, m) => {
      const weight = this.#weights[m * count + j] ?? 0
      if (weight > 0) sum += weight * (path[step] ?? 0)
    })
    return sum
  }

  #uses(m: number): boolean {
    const count = this.#options.horizons.length
    for (let j = 0; j < count; j++) if ((this.#weights[m * count + j] ?? 0) > 0) return true
    return false
  }

  #reweigh(): void {
    for (let j = 0; j < this.#options.horizons.length; j++) this.#reweighAt(j)
  }

  #reweighAt(j: number): void {
    const count = this.#options.horizons.length
    const errorAt = (m: number): number => {
      const cell = m * count + j
      const known = this.#models[m]?.ready === true && (this.#counts[cell] ?? 0) >= 1
      return known ? (this.#errors[cell] ?? 0) : Number.POSITIVE_INFINITY
    }
    let best = -1
    this.#models.forEach((model, m) => {
      if (!NAIVE.has(model.name)) return
      if (best === -1 || errorAt(m) < errorAt(best)) best = m
    })
    const naive = errorAt(best)
    let sum = 0
    this.#models.forEach((model, m) => {
      const error = errorAt(m)
      const young = (this.#counts[m * count + j] ?? 0) < YOUNG
      const skilled = !NAIVE.has(model.name) && !young && error < naive
      const weight = skilled ? inversePower(error / naive) : 0
      this.#weights[m * count + j] = weight
      sum += weight
    })
    this.#models.forEach((_, m) => {
      const cell = m * count + j
      this.#weights[cell] = sum > 0 ? (this.#weights[cell] ?? 0) / sum : m === best ? 1 : 0
    })
  }

  #meanError(m: number): number {
    const count = this.#options.horizons.length
    let sum = 0
    let judged = 0
    for (let j = 0; j < count; j++) {
      if ((this.#counts[m * count + j] ?? 0) === 0) continue
      sum += this.#errors[m * count + j] ?? 0
      judged++
    }
    return judged === 0 ? Number.NaN : sum / judged
  }

  #loudest(): ModelName {
    const count = this.#options.horizons.length
    let best = 0
    let most = -1
    this.#models.forEach((_, m) => {
      let sum = 0
      for (let j = 0; j < count; j++) sum += this.#weights[m * count + j] ?? 0
      if (sum > most) {
        best = m
        most = sum
      }
    })
    return this.#models[best]?.name ?? 'last value'
  }
}

function inversePower(ratio: number): number {
  const bounded = Math.max(0.05, ratio)
  let power = 1
  for (let i = 0; i < POWER; i++) power *= bounded
  return 1 / power
}

function orInfinity(value: number): number {
  return Number.isNaN(value) ? Number.POSITIVE_INFINITY : value
}
