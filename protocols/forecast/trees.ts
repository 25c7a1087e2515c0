/**
 * Gradient boosted trees as they are asked: the log odds of an event out of a row of features.
 *
 * A tree is a heap: node i has its children at 2i+1 and 2i+2. A leaf has feature -1.
 * An unknown feature (NaN) goes left. Invariant: every path ends in a leaf within the depth.
 */
import { assert } from '../assert.ts'
import { MAX_TREE_DEPTH, MAX_TREES } from './limits.ts'

/** Trees as plain arrays: what a worker hands over. */
export interface TreeParts {
  readonly count: number
  readonly depth: number
  readonly base: number
  readonly features: Int16Array
  readonly thresholds: Float64Array
  readonly values: Float64Array
}

export class Trees implements TreeParts {
  readonly depth: number
  readonly count: number
  /** Log odds before the first tree. */
  readonly base: number
  readonly features: Int16Array
  readonly thresholds: Float64Array
  readonly values: Float64Array

  constructor(count: number, depth: number, base: number) {
    assert(count <= MAX_TREES && depth >= 1 && depth <= MAX_TREE_DEPTH, 'trees have a bound')
    this.count = count
    this.depth = depth
    this.base = base
    const nodes = count * nodesOf(depth)
    this.features = new Int16Array(nodes).fill(-1)
    this.thresholds = new Float64Array(nodes)
    this.values = new Float64Array(nodes)
  }

  static of({ count, depth, base, features, thresholds, values }: TreeParts): Trees {
    const trees = new Trees(count, depth, base)
    assert(
      [features, thresholds, values].every(({ length }) => length === trees.values.length),
      'trees come with all their nodes'
    )
    trees.features.set(features)
    trees.thresholds.set(thresholds)
    trees.values.set(values)
    return trees
  }

  /** Log odds of the event. */
  score(row: Float64Array): number {
    const size = nodesOf(this.depth)
    let sum = this.base
    for (let root = 0; root < this.features.length; root += size) {
      let node = 0
      let feature = this.features[root] ?? -1
      while (feature >= 0) {
        const right = (row[feature] ?? Number.NaN) > (this.thresholds[root + node] ?? 0)
        node = 2 * node + (right ? 2 : 1)
        feature = this.features[root + node] ?? -1
      }
      sum += this.values[root + node] ?? 0
    }
    return sum
  }
}

export function nodesOf(depth: number): number {
  return 2 ** (depth + 1) - 1
}
