/**
 * A network with long short-term memory (Hochreiter and Schmidhuber 1997), by hand on typed arrays:
 * one for a node, over all its shards.
 *
 *   input(t)   z(t), z(t+1-day), z(t+1-week), z(t)-z(t-day), 1     as deviations from a running
 *   gates      i f g o = W [input, h(t-1)]                         mean, in running deviations
 *   cell       c = f c + i g,  h = o tanh(c)
 *   output     z(t+1) = z(t+1-day) + V [input, h]
 *
 * A path feeds on itself. The weights are one flat array, so that they travel and are trained
 * elsewhere (lstm-trainer.ts).
 *
 * Invariants: the same weights and inputs give the same bits everywhere; an output is clamped.
 */
import { assert } from '../assert.ts'
import type { History } from './history.ts'
import { MAX_LSTM_CELLS } from './limits.ts'
import type { PointModel } from './model.ts'
import { sigmoid, tanh } from './numeric.ts'

export const LSTM_INPUTS = 5
const CLAMP = 6
const NORM_MEMORY_DAYS = 2

/** Weights of the gates: for each of 4 x cells a row of inputs, then of cells; then of the output. */
export interface LstmWeights {
  readonly cells: number
  readonly values: Float64Array
}

export function weightCount(cells: number): number {
  return (4 * cells + 1) * (LSTM_INPUTS + cells)
}

/** The running mean and mean deviation of a series, by which inputs are scaled. */
export class Norm {
  readonly #memory: number
  mean = 0
  deviation = 0
  #count = 0

  constructor(day: number) {
    this.#memory = NORM_MEMORY_DAYS * day
  }

  take(value: number): void {
    const rate = 1 / Math.min(++this.#count, this.#memory)
    this.mean += rate * (value - this.mean)
    this.deviation += rate * (Math.abs(value - this.mean) - this.deviation)
  }

  get scale(): number {
    return Math.max(this.deviation, 0.05)
  }
}

/** Fills the input of the step after the newest value: `value`, the day before it and the season. */
export function fillInput(
  x: Float64Array,
  norm: Norm,
  now: number,
  dayBefore: number,
  nextDay: number,
  nextWeek: number
): void {
  const { mean, scale } = norm
  x[0] = clamp((now - mean) / scale)
  x[1] = clamp((nextDay - mean) / scale)
  x[2] = clamp((nextWeek - mean) / scale)
  x[3] = clamp((now - dayBefore) / scale)
  x[4] = 1
}

/** One step of the network on its state `h`, `c`; gives the output's correction to the day before. */
export function lstmStep(
  { cells, values }: LstmWeights,
  x: Float64Array,
  h: Float64Array,
  c: Float64Array,
  gates: Float64Array
): number {
  const width = LSTM_INPUTS + cells
  for (let g = 0; g < 4 * cells; g++) {
    const row = g * width
    let sum = 0
    for (let i = 0; i < LSTM_INPUTS; i++) sum += (values[row + i] ?? 0) * (x[i] ?? 0)
    for (let i = 0; i < cells; i++) sum += (values[row + LSTM_INPUTS + i] ?? 0) * (h[i] ?? 0)
    gates[g] = g >= 2 * cells && g < 3 * cells ? tanh(sum) : sigmoid(sum)
  }
  const row = 4 * cells * width
  let output = 0
  for (let i = 0; i < LSTM_INPUTS; i++) output += (values[row + i] ?? 0) * (x[i] ?? 0)
  for (let i = 0; i < cells; i++) {
    const cell =
      (gates[cells + i] ?? 0) * (c[i] ?? 0) + (gates[i] ?? 0) * (gates[2 * cells + i] ?? 0)
    c[i] = cell
    h[i] = (gates[3 * cells + i] ?? 0) * tanh(cell)
    output += (values[row + LSTM_INPUTS + i] ?? 0) * (h[i] ?? 0)
  }
  return output
}

/** The network as a model of one series; without weights it is not ready. */
export class Lstm implements PointModel {
  readonly name = 'lstm'
  readonly #history: History
  readonly #norm: Norm
  readonly #x = new Float64Array(LSTM_INPUTS)
  #weights: LstmWeights | undefined
  #h = new Float64Array(0)
  #c = new Float64Array(0)
  #scratch = { h: this.#h, c: this.#c, gates: this.#h }

  constructor(history: History) {
    this.#history = history
    this.#norm = new Norm(history.day)
  }

  get ready(): boolean {
    return this.#weights !== undefined && this.#history.length > this.#history.day
  }

  /** Takes new weights; the memory of the old ones is dropped. */
  adopt(weights: LstmWeights): void {
    const { cells, values } = weights
    assert(
      cells <= MAX_LSTM_CELLS && values.length === weightCount(cells),
      'weights fit their cells'
    )
    this.#weights = weights
    this.#h = new Float64Array(cells)
    this.#c = new Float64Array(cells)
    this.#scratch = {
      h: new Float64Array(cells),
      c: new Float64Array(cells),
      gates: new Float64Array(4 * cells)
    }
  }

  observe(judged = true): void {
    const history = this.#history
    // Its memory reaches back hours, so a past that nobody asks about need not pass through it.
    if (judged && this.#weights !== undefined && history.length > history.day + 1) {
      // The newest value is what the step before it should have foretold: that step runs now.
      this.#fill(1, undefined)
      lstmStep(this.#weights, this.#x, this.#h, this.#c, this.#scratch.gates)
    }
    this.#norm.take(history.back(0))
  }

  forecast(out: Float64Array): void {
    const { h, c, gates } = this.#scratch
    if (this.#weights === undefined) {
      out.fill(this.#history.back(0))
      return
    }
    h.set(this.#h)
    c.set(this.#c)
    for (let step = 1; step <= out.length; step++) {
      const base = this.#fill(1 - step, out)
      const change = lstmStep(this.#weights, this.#x, h, c, gates) * this.#norm.scale
      out[step - 1] = Math.min(40, Math.max(0, base + change))
    }
  }

  /** The input of the step that ends `back` before now (negative: ahead); gives its day before. */
  #fill(back: number, path: Float64Array | undefined): number {
    const history = this.#history
    const at = (lag: number): number =>
      lag >= 0 ? history.back(Math.min(lag, history.kept - 1)) : (path?.[-lag - 1] ?? 0)
    const lag = history.dayLag(1)
    const week = history.length > 7 * history.day + 1 ? history.dayLag(7) : lag
    const nextDay = at(back - 1 + lag)
    fillInput(this.#x, this.#norm, at(back), at(back + lag), nextDay, at(back - 1 + week))
    return nextDay
  }
}

function clamp(value: number): number {
  return Math.min(CLAMP, Math.max(-CLAMP, value))
}
