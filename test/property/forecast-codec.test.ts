// Goal: what a node has learned survives a restart to the last bit, and no bytes on its disk can
// make it ask models that are none.
// Method: random models there and back; random bytes, and sound ones with anything changed.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checksum } from '../../protocols/checksum.ts'
import { weightCount } from '../../protocols/forecast/lstm.ts'
import { decodeModels, encodeModels } from '../../protocols/forecast/models-codec.ts'
import { FEATURES } from '../../protocols/forecast/overload-state.ts'
import { Random } from '../../protocols/forecast/random.ts'
import type { Models } from '../../protocols/forecast/training.ts'
import { nodesOf, Trees } from '../../protocols/forecast/trees.ts'
import { learnedNetwork, learnedTrees } from '../support/forecast-made-load.ts'

const CRC_AT = 12

function modelsOf(seed: number, count: number, depth: number, cells: number): Models {
  const random = new Random(seed)
  const trees = count === 0 ? undefined : new Trees(count, depth, random.normal())
  trees?.features.forEach((_, at) => {
    const isInner = at % nodesOf(depth) < nodesOf(depth - 1)
    trees.features[at] = isInner ? random.below(FEATURES.length + 1) - 1 : -1
    trees.thresholds[at] = random.unit() < 0.1 ? Number.NEGATIVE_INFINITY : random.normal()
    trees.values[at] = random.normal()
  })
  const values = Float64Array.from({ length: weightCount(cells) }, () => random.normal())
  const numbers = Array.from({ length: 9 }, () => random.normal())
  const [rows = 0, positives = 0, heldOut = 0, loss = 0, baseLoss = 0, presentLoss = 0] = numbers
  const [skill = 0, averagePrecision = 0, series = 0] = numbers.slice(6)
  return {
    trees,
    weights: cells === 0 ? undefined : { cells, values },
    record: {
      atMs: 1_700_000_000_000 + seed,
      ...{ rows, positives, heldOut, loss, baseLoss, presentLoss, skill, averagePrecision, series },
      trees: seed % 2 === 0 ? 'new' : 'none'
    }
  }
}

const models = fc
  .tuple(
    fc.nat(),
    fc.integer({ min: 0, max: 5 }),
    fc.integer({ min: 1, max: 6 }),
    fc.integer({ min: 0, max: 8 })
  )
  .map(([seed, count, depth, cells]) => modelsOf(seed, count, depth, cells))

function sealed(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  view.setUint32(CRC_AT, 0, true)
  view.setUint32(CRC_AT, checksum(bytes), true)
  return bytes
}

describe('learned models as bytes', () => {
  it('come back to the last bit', () => {
    const real = { ...modelsOf(1, 0, 1, 0), trees: learnedTrees(), weights: learnedNetwork() }
    expect(decodeModels(encodeModels(real))).toEqual(real)
    fc.assert(
      fc.property(models, made => {
        expect(decodeModels(encodeModels(made))).toEqual(made)
      }),
      { numRuns: 200 }
    )
  })

  it('are nothing when they are any other bytes, or damaged', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), bytes => {
        expect(decodeModels(bytes)).toBe(undefined)
      }),
      { numRuns: 500 }
    )
    fc.assert(
      fc.property(models, fc.nat(), fc.integer({ min: 1, max: 255 }), (made, place, change) => {
        const bytes = encodeModels(made)
        const at = place % bytes.length
        bytes[at] = (bytes[at] ?? 0) ^ change
        expect(decodeModels(bytes)).toBe(undefined)
        expect(decodeModels(encodeModels(made).subarray(0, at))).toBe(undefined)
      }),
      { numRuns: 300 }
    )
  })

  it('can be asked, or are nothing, even when their checksum was made to fit', () => {
    const row = new Float64Array(FEATURES.length).fill(0.5)
    fc.assert(
      fc.property(models, fc.nat(), fc.nat(255), fc.boolean(), (made, place, value, isHead) => {
        const bytes = encodeModels(made)
        const at = place % (isHead ? CRC_AT : bytes.length)
        bytes[at] = value
        const found = decodeModels(sealed(bytes))
        if (found?.trees === undefined) return
        expect(Number.isFinite(Trees.of(found.trees).score(row))).toBe(true)
        expect(found.weights?.values.every(Number.isFinite) ?? true).toBe(true)
      }),
      { numRuns: 500 }
    )
  })
})
