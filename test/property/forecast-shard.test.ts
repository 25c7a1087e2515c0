// Goal: whatever clocks and loads do, a shard's forecast keeps its promises, and what was learned
// from rows does not hang on how the learning was sliced.
// Method: random samples, gaps and jumps into the whole of a shard; random rows into the trees.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ShardForecast } from '../../protocols/forecast/shard-forecast.ts'
import { TrainingSet } from '../../protocols/forecast/training-set.ts'
import { TREE_OPTIONS, TreeTrainer } from '../../protocols/forecast/tree-trainer.ts'
import { nodesOf, Trees } from '../../protocols/forecast/trees.ts'

const STEP_MS = 3_600_000
const options = {
  stepMs: STEP_MS,
  horizonsMinutes: [60, 360],
  zone: 'America/New_York',
  capacity: 100,
  patterns: [{ days: 0b0011111, startMinute: 120, lengthMinutes: 90, extra: 40 }]
}

const load = fc.oneof(
  fc.constant(undefined),
  fc.constant(Number.NaN),
  fc.constant(0),
  fc.double({ min: -10, max: 1e16 }),
  fc.integer({ min: 0, max: 200 })
)
const stride = fc.oneof(
  { weight: 20, arbitrary: fc.constant(1) },
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 6 }) },
  { weight: 1, arbitrary: fc.integer({ min: -500, max: 500 }) }
)

describe('the forecast of a shard', () => {
  it('is finite, ordered and never negative, whatever comes', () => {
    const samples = fc.array(fc.tuple(stride, load), { minLength: 1, maxLength: 250 })
    fc.assert(
      fc.property(samples, list => {
        const shard = new ShardForecast(options)
        let now = Date.UTC(2024, 2, 5)
        for (const [steps, measured] of list) {
          now += steps * STEP_MS
          shard.sample(now, measured)
          const { forecast } = shard
          if (forecast === undefined) throw new Error('there is a forecast after a sample')
          expect(forecast.path.every(value => Number.isFinite(value) && value >= 0)).toBe(true)
          for (const { q50, q90, q95 } of forecast.bands) {
            expect(q50 >= 0 && q50 <= q90 && q90 <= q95 && Number.isFinite(q95)).toBe(true)
          }
          expect(Number.isFinite(forecast.skill) && forecast.skill <= 1).toBe(true)
        }
      }),
      { numRuns: 60 }
    )
  })

  it('is the same for the same samples, and deaf to late ones', () => {
    const samples = fc.array(fc.integer({ min: 0, max: 500 }), { minLength: 5, maxLength: 120 })
    fc.assert(
      fc.property(samples, list => {
        const [a, b] = [new ShardForecast(options), new ShardForecast(options)]
        const start = Date.UTC(2024, 9, 20)
        list.forEach((measured, t) => {
          a.sample(start + t * STEP_MS, measured)
          b.sample(start + t * STEP_MS, measured)
          b.sample(start + (t - 2) * STEP_MS, measured + 1)
        })
        expect(b.forecast).toEqual(a.forecast)
      }),
      { numRuns: 30 }
    )
  })
})

describe('boosted trees', () => {
  const rows = fc.array(
    fc.tuple(fc.double({ min: -5, max: 5 }), fc.integer({ min: 0, max: 3 }), fc.boolean()),
    { minLength: 60, maxLength: 200 }
  )
  const learn = (list: ReadonlyArray<readonly [number, number, boolean]>, trees: number): Trees => {
    const set = new TrainingSet(2)
    for (const [x, y, label] of list) set.add(Float64Array.of(x, y), label)
    const trainer = new TreeTrainer(set, {
      ...TREE_OPTIONS,
      trees,
      depth: 3,
      leastRows: 5,
      featurePart: 1,
      seed: 3
    })
    while (!trainer.done) trainer.slice()
    return trainer.trees
  }

  it('end every path in a leaf, for any row, and are the same for the same rows', () => {
    fc.assert(
      fc.property(rows, fc.double(), fc.double(), (list, x, y) => {
        const trees = learn(list, 6)
        expect(Number.isFinite(trees.score(Float64Array.of(x, y)))).toBe(true)
        expect(learn(list, 6)).toEqual(trees)
        const last = nodesOf(3) - nodesOf(2)
        for (let leaf = nodesOf(3) - last; leaf < nodesOf(3); leaf++) {
          expect(trees.features[leaf]).toBe(-1)
        }
      }),
      { numRuns: 40 }
    )
  })

  it('learn what separates the rows', () => {
    const list = Array.from(
      { length: 400 },
      (_, i) => [i % 20, (i * 7) % 4, i % 20 >= 12 && (i * 7) % 4 !== 2] as const
    )
    const trees = learn(list, 60)
    for (const [x, y, label] of list) {
      expect(trees.score(Float64Array.of(x, y)) > 0).toBe(label)
      expect(Trees.of(structuredClone({ ...trees })).score(Float64Array.of(x, y))).toBe(
        trees.score(Float64Array.of(x, y))
      )
    }
  })
})
