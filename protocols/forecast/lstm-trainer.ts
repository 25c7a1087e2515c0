/**
 * Trains the network of lstm.ts over windows of several series: truncated backpropagation through
 * time, Huber's loss, Adam. It advances by slices, so that a worker at low priority can run it and
 * be stopped between any two.
 *
 * Invariants: nothing random but the seed; one slice is two windows of a batch, or the inputs of one
 * series: about a millisecond; weights of the same series, seed and number of slices are the same bits everywhere.
 */
import { assert } from '../assert.ts'
import { MAX_LSTM_SERIES } from './limits.ts'
import { fillInput, LSTM_INPUTS, type LstmWeights, lstmStep, Norm, weightCount } from './lstm.ts'
import { Random } from './random.ts'

export interface LstmTraining {
  /** Each ln(1 + load) at even steps. */
  readonly series: readonly Float32Array[]
  /** Steps of a day. */
  readonly day: number
  readonly cells: number
  readonly seed: number
  /** Batches until the rate has faded to nothing. */
  readonly slices: number
}

const WINDOW = 32
const BATCH = 8
const WINDOWS_PER_SLICE = 2
const RATE = 0.01
const BETA1 = 0.9
const BETA2 = 0.99
const HUBER = 1
const LONGEST_GRADIENT = 2
const FIRST_FORGET = 1

interface Prepared {
  readonly inputs: Float64Array
  readonly targets: Float64Array
  readonly count: number
}

export class LstmTrainer {
  readonly weights: LstmWeights
  readonly #training: LstmTraining
  readonly #random: Random
  /** Those long enough, of which the first are prepared. */
  readonly #series: readonly Float32Array[]
  readonly #prepared: Prepared[] = []
  readonly #total: number
  readonly #gradient: Float64Array
  readonly #first: Float64Array
  readonly #second: Float64Array
  readonly #tape: Tape
  #done = 0
  /** Of the batch that is being learned from: windows so far, and their loss. */
  #windows = 0
  #loss = 0

  constructor(training: LstmTraining) {
    assert(training.series.length <= MAX_LSTM_SERIES, 'a network learns from so many series')
    this.#training = training
    this.#random = new Random(training.seed)
    const countOf = (series: Float32Array): number => stepsOf(series, training.day)
    this.#series = training.series.filter(series => countOf(series) > WINDOW)
    this.#total = this.#series.reduce((sum, series) => sum + countOf(series) - WINDOW, 0)
    const size = weightCount(training.cells)
    this.weights = { cells: training.cells, values: this.#initial(size) }
    this.#gradient = new Float64Array(size)
    this.#first = new Float64Array(size)
    this.#second = new Float64Array(size)
    this.#tape = new Tape(training.cells)
  }

  get done(): boolean {
    return this.#total === 0 || this.#done >= this.#training.slices
  }

  /** Prepares one series, or learns from two windows; gives the mean loss when a batch is whole. */
  slice(): number {
    if (this.done) return 0
    const next = this.#series[this.#prepared.length]
    if (next !== undefined) {
      this.#prepared.push(prepare(next, this.#training.day))
      return 0
    }
    for (let i = 0; i < WINDOWS_PER_SLICE; i++) {
      const { prepared, start } = this.#draw()
      this.#loss += this.#tape.run(this.weights, prepared, start, this.#gradient)
      this.#windows++
    }
    if (this.#windows < BATCH) return 0
    const loss = this.#loss / (BATCH * WINDOW)
    this.#step(1 / (BATCH * WINDOW))
    this.#gradient.fill(0)
    this.#windows = 0
    this.#loss = 0
    this.#done++
    return loss
  }

  #draw(): { prepared: Prepared; start: number } {
    let place = this.#random.below(this.#total)
    for (const prepared of this.#prepared) {
      if (place < prepared.count - WINDOW) return { prepared, start: place }
      place -= prepared.count - WINDOW
    }
    throw new Error('unreachable: a place lies in one of the series')
  }

  /** Adam (Kingma and Ba 2015) on the clipped gradient, at a rate that fades. */
  #step(scale: number): void {
    const { values } = this.weights
    let norm = 0
    for (const g of this.#gradient) norm += g * scale * (g * scale)
    const clip = scale * Math.min(1, LONGEST_GRADIENT / (Math.sqrt(norm) + 1e-12))
    const left = 1 - this.#done / this.#training.slices
    const rate = RATE * left
    let power1 = 1
    let power2 = 1
    for (let i = 0; i <= Math.min(this.#done, 2000); i++) {
      power1 *= BETA1
      power2 *= BETA2
    }
    for (let i = 0; i < values.length; i++) {
      const g = (this.#gradient[i] ?? 0) * clip
      const m = BETA1 * (this.#first[i] ?? 0) + (1 - BETA1) * g
      const v = BETA2 * (this.#second[i] ?? 0) + (1 - BETA2) * g * g
      this.#first[i] = m
      this.#second[i] = v
      const step = m / (1 - power1) / (Math.sqrt(v / (1 - power2)) + 1e-8)
      values[i] = (values[i] ?? 0) - rate * step
    }
  }

  #initial(size: number): Float64Array {
    const { cells } = this.#training
    const width = LSTM_INPUTS + cells
    const values = new Float64Array(size)
    const spread = 1 / Math.sqrt(width)
    for (let i = 0; i < 4 * cells * width; i++) values[i] = spread * this.#random.normal()
    for (let g = cells; g < 2 * cells; g++) values[g * width + LSTM_INPUTS - 1] = FIRST_FORGET
    return values
  }
}

/** The forward pass of a window, kept for the way back. */
class Tape {
  readonly #cells: number
  readonly #h: Float64Array[]
  readonly #c: Float64Array[]
  readonly #gates: Float64Array[]
  readonly #slopes = new Float64Array(WINDOW)
  readonly #dh: Float64Array
  readonly #dc: Float64Array
  readonly #dgates: Float64Array

  constructor(cells: number) {
    this.#cells = cells
    const rows = (count: number, size: number): Float64Array[] =>
      Array.from({ length: count }, () => new Float64Array(size))
    this.#h = rows(WINDOW + 1, cells)
    this.#c = rows(WINDOW + 1, cells)
    this.#gates = rows(WINDOW, 4 * cells)
    this.#dh = new Float64Array(cells)
    this.#dc = new Float64Array(cells)
    this.#dgates = new Float64Array(4 * cells)
  }

  /** Runs a window forward and back; adds to the gradient, gives the loss. */
  run(weights: LstmWeights, prepared: Prepared, start: number, gradient: Float64Array): number {
    let loss = 0
    for (let t = 0; t < WINDOW; t++) {
      const h = rowOf(this.#h, t + 1)
      const c = rowOf(this.#c, t + 1)
      h.set(rowOf(this.#h, t))
      c.set(rowOf(this.#c, t))
      const x = inputAt(prepared, start + t)
      const output = lstmStep(weights, x, h, c, rowOf(this.#gates, t))
      const error = output - (prepared.targets[start + t] ?? 0)
      const size = Math.abs(error)
      loss += size < HUBER ? 0.5 * error * error : HUBER * (size - 0.5 * HUBER)
      this.#slopes[t] = Math.min(HUBER, Math.max(-HUBER, error))
    }
    this.#dh.fill(0)
    this.#dc.fill(0)
    for (let t = WINDOW - 1; t >= 0; t--) {
      this.#back(weights, t, inputAt(prepared, start + t), gradient)
    }
    return loss
  }

  #back({ cells, values }: LstmWeights, t: number, x: Float64Array, gradient: Float64Array): void {
    const width = LSTM_INPUTS + cells
    const slope = this.#slopes[t] ?? 0
    const h = rowOf(this.#h, t + 1)
    const before = rowOf(this.#h, t)
    const row = 4 * cells * width
    addRow(gradient, row, slope, x, h)
    for (let i = 0; i < cells; i++) {
      this.#dh[i] = (this.#dh[i] ?? 0) + slope * (values[row + LSTM_INPUTS + i] ?? 0)
    }
    this.#gateSlopes(t)
    this.#dh.fill(0)
    for (let g = 0; g < 4 * cells; g++) {
      const d = this.#dgates[g] ?? 0
      addRow(gradient, g * width, d, x, before)
      const from = g * width + LSTM_INPUTS
      for (let i = 0; i < cells; i++) {
        this.#dh[i] = (this.#dh[i] ?? 0) + d * (values[from + i] ?? 0)
      }
    }
  }

  #gateSlopes(t: number): void {
    const cells = this.#cells
    const gates = rowOf(this.#gates, t)
    const c = rowOf(this.#c, t + 1)
    const earlier = rowOf(this.#c, t)
    const h = rowOf(this.#h, t + 1)
    for (let k = 0; k < cells; k++) {
      const i = gates[k] ?? 0
      const f = gates[cells + k] ?? 0
      const g = gates[2 * cells + k] ?? 0
      const o = gates[3 * cells + k] ?? 0
      const squashed = o > 1e-12 ? (h[k] ?? 0) / o : 0
      const dh = this.#dh[k] ?? 0
      const dc = (this.#dc[k] ?? 0) + dh * o * (1 - squashed * squashed)
      this.#dgates[k] = dc * g * i * (1 - i)
      this.#dgates[cells + k] = dc * (earlier[k] ?? 0) * f * (1 - f)
      this.#dgates[2 * cells + k] = dc * i * (1 - g * g)
      this.#dgates[3 * cells + k] = dh * squashed * o * (1 - o)
      this.#dc[k] = Number.isFinite(c[k]) ? dc * f : 0
    }
  }
}

function rowOf(rows: readonly Float64Array[], index: number): Float64Array {
  const row = rows[index]
  assert(row !== undefined, 'the tape is as long as its window')
  return row
}

function addRow(
  gradient: Float64Array,
  row: number,
  slope: number,
  x: Float64Array,
  h: Float64Array
): void {
  for (let i = 0; i < LSTM_INPUTS; i++) {
    gradient[row + i] = (gradient[row + i] ?? 0) + slope * (x[i] ?? 0)
  }
  const from = row + LSTM_INPUTS
  for (let i = 0; i < h.length; i++) {
    gradient[from + i] = (gradient[from + i] ?? 0) + slope * (h[i] ?? 0)
  }
}

function inputAt({ inputs }: Prepared, step: number): Float64Array {
  return inputs.subarray(step * LSTM_INPUTS, (step + 1) * LSTM_INPUTS)
}

/** Steps that have a day before them and one after. */
function stepsOf(series: Float32Array, day: number): number {
  return Math.max(0, series.length - 1 - day)
}

/** Inputs and targets of every step from the second day on. */
function prepare(series: Float32Array, day: number): Prepared {
  const first = day
  const count = stepsOf(series, day)
  const inputs = new Float64Array(count * LSTM_INPUTS)
  const targets = new Float64Array(count)
  const norm = new Norm(day)
  const at = (t: number): number => series[Math.max(0, t)] ?? 0
  for (let t = 0; t < series.length - 1; t++) {
    norm.take(at(t))
    if (t < first) continue
    const step = t - first
    const week = t + 1 >= 7 * day ? 7 * day : day
    const nextDay = at(t + 1 - day)
    const x = inputs.subarray(step * LSTM_INPUTS, (step + 1) * LSTM_INPUTS)
    fillInput(x, norm, at(t), at(t - day), nextDay, at(t + 1 - week))
    targets[step] = Math.min(6, Math.max(-6, (at(t + 1) - nextDay) / norm.scale))
  }
  return { inputs, targets, count }
}
