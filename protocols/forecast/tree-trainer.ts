/**
 * Learns boosted trees for the log odds of an event (Friedman 2001; second order as in Chen and
 * Guestrin 2016), on features cut into bins: histograms of gradients, level by level.
 *
 * One slice is a part of a tree: a pass over the rows, or a level of it for some of the features;
 * at first, one column cut into bins. Whoever runs them can stop between any two.
 *
 * Invariants: nothing random but the seed; the same rows in the same order, seed and Node of any
 * version give the same trees; a leaf stands on at least `leastRows` rows.
 */
import { assert } from '../assert.ts'
import { MAX_BINS } from './limits.ts'
import { logit, sigmoid } from './numeric.ts'
import { Random } from './random.ts'
import { binned, cutsOf, type Rows } from './training-set.ts'
import { Trees } from './trees.ts'

export interface TreeOptions {
  readonly trees: number
  readonly depth: number
  readonly rate: number
  /** Added to the curvature of a leaf. */
  readonly shrink: number
  readonly leastRows: number
  /** The part of rows and of features that one tree sees. */
  readonly rowPart: number
  readonly featurePart: number
  readonly seed: number
}

export const TREE_OPTIONS: Omit<TreeOptions, 'seed'> = {
  trees: 160,
  depth: 5,
  rate: 0.06,
  shrink: 5,
  leastRows: 100,
  rowPart: 0.7,
  featurePart: 0.4
}

/** What a slice counts, and a little more; rows that it measures: a few milliseconds each. */
const CELLS_PER_SLICE = 250_000
const ROWS_PER_SLICE = 8_000

interface Node {
  readonly index: number
  /** Its rows stand at [from, to) of the order. */
  readonly from: number
  readonly to: number
  readonly histogram: Float64Array
}

interface Split {
  readonly feature: number
  readonly bin: number
  readonly gain: number
}

export class TreeTrainer {
  readonly trees: Trees
  readonly #options: TreeOptions
  readonly #random: Random
  readonly #work: Iterator<void, void>
  readonly #bins: Uint8Array[] = []
  readonly #cuts: Float32Array[] = []
  readonly #labels: Uint8Array
  readonly #scores: Float64Array
  readonly #slopes: Float64Array
  readonly #curves: Float64Array
  readonly #order: Uint32Array
  readonly #spare: Uint32Array
  #grown = 0
  /** Cells counted since the last pause. */
  #cells = 0

  constructor(set: Rows, options: TreeOptions) {
    assert(set.count > 0, 'there is something to learn from')
    this.#options = options
    this.#random = new Random(options.seed)
    this.#labels = Uint8Array.from({ length: set.count }, (_, row) => set.label(row))
    const share = this.#labels.reduce((sum, label) => sum + label, 0) / set.count
    const base = logit(Math.min(0.999, Math.max(0.001, share)))
    this.trees = new Trees(options.trees, options.depth, base)
    this.#scores = new Float64Array(set.count).fill(base)
    this.#slopes = new Float64Array(set.count)
    this.#curves = new Float64Array(set.count)
    this.#order = new Uint32Array(set.count)
    this.#spare = new Uint32Array(set.count)
    this.#work = this.#pieces(set)
  }

  get done(): boolean {
    return this.#grown >= this.#options.trees
  }

  /** Does one bounded piece of the work. */
  slice(): void {
    if (!this.done) this.#work.next()
  }

  *#pieces(set: Rows): Generator<void, void> {
    for (let feature = 0; feature < set.width; feature++) {
      const column = set.column(feature)
      yield
      const cuts = cutsOf(column)
      this.#cuts.push(cuts)
      yield
      this.#bins.push(binned(column, cuts))
      yield
    }
    while (!this.done) {
      for (const [from, to] of this.#ranges()) {
        this.#measure(from, to)
        yield
      }
      const count = this.#drawRows()
      const features = this.#drawFeatures()
      yield
      const histogram = new Float64Array(features.length * MAX_BINS * 3)
      yield* this.#count(histogram, features, 0, count)
      yield* this.#growFrom({ index: 0, from: 0, to: count, histogram }, features)
      for (const [from, to] of this.#ranges()) {
        this.#rescore(from, to)
        yield
      }
      this.#grown++
    }
  }

  /** Parts of the rows, a slice each. */
  *#ranges(): Generator<readonly [number, number], void> {
    for (let from = 0; from < this.#scores.length; from += ROWS_PER_SLICE) {
      yield [from, Math.min(this.#scores.length, from + ROWS_PER_SLICE)]
    }
  }

  /** How far every row is from its outcome: slope and curvature of its loss. */
  #measure(from: number, to: number): void {
    for (let row = from; row < to; row++) {
      const chance = sigmoid(this.#scores[row] ?? 0)
      this.#slopes[row] = chance - (this.#labels[row] ?? 0)
      this.#curves[row] = Math.max(1e-6, chance * (1 - chance))
    }
  }

  *#growFrom(root: Node, features: readonly number[]): Generator<void, void> {
    let level: Node[] = [root]
    for (let depth = 0; level.length > 0; depth++) {
      const next: Node[] = []
      for (const node of level) {
        const split = depth < this.#options.depth ? this.#bestSplit(node, features) : undefined
        if (split === undefined) this.#close(node, features)
        else next.push(...(yield* this.#open(node, split, features)))
      }
      level = next
    }
  }

  /** Makes a leaf of a node. */
  #close({ index, histogram }: Node, features: readonly number[]): void {
    const [slope, curve] = totals(histogram, features.length)
    const at = this.#base() + index
    this.trees.values[at] = (-this.#options.rate * slope) / (curve + this.#options.shrink)
  }

  *#open(node: Node, split: Split, features: readonly number[]): Generator<void, [Node, Node]> {
    const feature = features[split.feature] ?? 0
    const at = this.#base() + node.index
    this.trees.features[at] = feature
    this.trees.thresholds[at] = this.#cuts[feature]?.[split.bin - 1] ?? Number.NEGATIVE_INFINITY
    const middle = this.#partition(node, feature, split.bin)
    const leftIsSmall = middle - node.from <= node.to - middle
    const [from, to] = leftIsSmall ? [node.from, middle] : [middle, node.to]
    const small = new Float64Array(node.histogram.length)
    yield* this.#count(small, features, from, to)
    const large = node.histogram
    for (let i = 0; i < large.length; i++) large[i] = (large[i] ?? 0) - (small[i] ?? 0)
    const [left, right] = leftIsSmall ? [small, large] : [large, small]
    return [
      { index: 2 * node.index + 1, from: node.from, to: middle, histogram: left },
      { index: 2 * node.index + 2, from: middle, to: node.to, histogram: right }
    ]
  }

  /** Moves the rows of bins up to `bin` before the others, keeping their order. */
  #partition({ from, to }: Node, feature: number, bin: number): number {
    const bins = this.#bins[feature] ?? new Uint8Array(0)
    let left = from
    let others = 0
    for (let i = from; i < to; i++) {
      const row = this.#order[i] ?? 0
      if ((bins[row] ?? 0) <= bin) this.#order[left++] = row
      else this.#spare[others++] = row
    }
    this.#order.set(this.#spare.subarray(0, others), left)
    return left
  }

  /** Fills a histogram, as many features at a time as make a piece of work. */
  *#count(
    histogram: Float64Array,
    features: readonly number[],
    from: number,
    to: number
  ): Generator<void, void> {
    for (let k = 0; k < features.length; k++) {
      this.#countFeature(histogram, k, features[k] ?? 0, from, to)
      this.#cells += to - from
      if (this.#cells < CELLS_PER_SLICE) continue
      this.#cells = 0
      yield
    }
  }

  /** Per bin of the k-th feature: slope, curve, rows. */
  #countFeature(
    histogram: Float64Array,
    k: number,
    feature: number,
    from: number,
    to: number
  ): void {
    const order = this.#order
    const slopes = this.#slopes
    const curves = this.#curves
    const bins = this.#bins[feature] ?? new Uint8Array(0)
    const base = k * MAX_BINS * 3
    for (let i = from; i < to; i++) {
      const row = order[i] ?? 0
      const at = base + (bins[row] ?? 0) * 3
      histogram[at] = (histogram[at] ?? 0) + (slopes[row] ?? 0)
      histogram[at + 1] = (histogram[at + 1] ?? 0) + (curves[row] ?? 0)
      histogram[at + 2] = (histogram[at + 2] ?? 0) + 1
    }
  }

  #bestSplit({ histogram, from, to }: Node, features: readonly number[]): Split | undefined {
    const { leastRows } = this.#options
    if (to - from < 2 * leastRows) return undefined
    const [slope, curve] = totals(histogram, features.length)
    const whole = this.#worth(slope, curve)
    let best: Split | undefined
    for (let k = 0; k < features.length; k++) {
      let leftSlope = 0
      let leftCurve = 0
      let rows = 0
      for (let bin = 0; bin < MAX_BINS - 1; bin++) {
        const at = (k * MAX_BINS + bin) * 3
        leftSlope += histogram[at] ?? 0
        leftCurve += histogram[at + 1] ?? 0
        rows += histogram[at + 2] ?? 0
        if (rows < leastRows || to - from - rows < leastRows) continue
        const parts =
          this.#worth(leftSlope, leftCurve) + this.#worth(slope - leftSlope, curve - leftCurve)
        if (parts - whole > (best?.gain ?? 1e-6)) best = { feature: k, bin, gain: parts - whole }
      }
    }
    return best
  }

  #worth(slope: number, curve: number): number {
    return (slope * slope) / (curve + this.#options.shrink)
  }

  #drawRows(): number {
    const bound = this.#options.rowPart * 4294967296
    let count = 0
    for (let row = 0; row < this.#scores.length; row++) {
      if (this.#random.next() < bound) this.#order[count++] = row
    }
    return count
  }

  #drawFeatures(): number[] {
    const all = this.#bins.map((_, feature) => feature)
    const wanted = Math.max(1, Math.round(all.length * this.#options.featurePart))
    for (let i = 0; i < wanted; i++) {
      const other = i + this.#random.below(all.length - i)
      const swapped = all[i] ?? 0
      all[i] = all[other] ?? 0
      all[other] = swapped
    }
    return all.slice(0, wanted)
  }

  /** Adds the new tree to the score of every row, drawn or not. */
  #rescore(from: number, to: number): void {
    const base = this.#base()
    const { features, thresholds, values } = this.trees
    for (let row = from; row < to; row++) {
      let node = 0
      let feature = features[base] ?? -1
      while (feature >= 0) {
        const cuts = this.#cuts[feature] ?? thresholds
        const bin = this.#bins[feature]?.[row] ?? 0
        const right =
          bin > 0 && (cuts[bin - 1] ?? Number.POSITIVE_INFINITY) > (thresholds[base + node] ?? 0)
        node = 2 * node + (right ? 2 : 1)
        feature = features[base + node] ?? -1
      }
      this.#scores[row] = (this.#scores[row] ?? 0) + (values[base + node] ?? 0)
    }
  }

  #base(): number {
    return (this.trees.features.length / this.#options.trees) * this.#grown
  }
}

/** Slope and curve of all rows of a histogram: those of its first feature. */
function totals(histogram: Float64Array, features: number): [number, number] {
  assert(features > 0, 'a histogram has features')
  let slope = 0
  let curve = 0
  for (let bin = 0; bin < MAX_BINS; bin++) {
    slope += histogram[bin * 3] ?? 0
    curve += histogram[bin * 3 + 1] ?? 0
  }
  return [slope, curve]
}
