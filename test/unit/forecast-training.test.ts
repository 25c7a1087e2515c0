// Goal: a node never uses trees that are worth nothing: what it learned is judged on rows that it
// has not seen, by time, against each subject's own rate and against what is in use.
// Method: rows whose outcome follows from a feature, or from nothing, or from the subject alone.
import { describe, expect, it } from 'vitest'
import { averagePrecision, splitByTime } from '../../protocols/forecast/held-out.ts'
import { FEATURES } from '../../protocols/forecast/overload-state.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { type Models, Training } from '../../protocols/forecast/training.ts'
import { type RowParts, rowAt, TrainingRows } from '../../protocols/forecast/training-rows.ts'
import type { TreeParts } from '../../protocols/forecast/trees.ts'

const HOUR = 12
const COUNT = 6000
const SUBJECTS = 5

interface Drawn {
  readonly features: Float64Array
  readonly subject: number
  /** Of the whole, 0 to 1. */
  readonly age: number
  readonly luck: number
}

/** Rows of five subjects over 2,000 steps; `chance` says how likely an overload follows. */
function rowsOf(seed: number, chance: (drawn: Drawn) => number): RowParts {
  const random = new Random(seed)
  const rows = new TrainingRows(FEATURES.length)
  for (let i = 0; i < COUNT; i++) {
    const features = Float64Array.from(FEATURES, () => random.unit())
    const drawn = { features, subject: i % SUBJECTS, age: i / COUNT, luck: random.unit() }
    const ticket = rows.add(features, 10_000 + Math.floor(i / 3), drawn.subject)
    rows.settle(ticket, drawn.luck < chance(drawn))
  }
  return partsOf(rows)
}

function partsOf(rows: TrainingRows): RowParts {
  const parts = rows.parts()
  for (;;) {
    const step = parts.next()
    if (step.done === true) return step.value
  }
}

function train(rows: RowParts, present?: TreeParts): Models {
  const input = { atMs: 1, seed: 1, day: 24 * HOUR, rows, series: [], present, trees: 40 }
  const training = new Training(input)
  while (!training.done) training.slice()
  if (training.finished === undefined) throw new Error('what is done has finished')
  return training.finished
}

const byFirst = ({ features }: Drawn): number => ((features[0] ?? 0) > 0.8 ? 0.9 : 0.02)
const bySecond = ({ features }: Drawn): number => ((features[1] ?? 0) > 0.8 ? 0.9 : 0.02)

describe('a training', () => {
  it('finds what separates the rows, and says what it is worth', () => {
    const { trees, record } = train(rowsOf(1, byFirst))
    expect(record.trees).toBe('new')
    expect(trees).toBeDefined()
    expect(record.skill).toBeGreaterThan(0.4)
    expect(record.averagePrecision).toBeGreaterThan(0.8)
    expect([record.rows, record.heldOut]).toEqual([COUNT, COUNT / 5])
  })

  it('refuses trees that know nothing, or only who is often over', () => {
    const luck = train(rowsOf(2, () => 0.1))
    const who = train(rowsOf(3, ({ subject }) => (subject === 0 ? 0.6 : 0.02)))
    expect([luck.record.trees, who.record.trees]).toEqual(['none', 'none'])
    expect([luck.trees, who.trees]).toEqual([undefined, undefined])
  })

  it('keeps better trees that are in use, and drops those that the world has left behind', () => {
    const good = train(rowsOf(1, byFirst)).trees
    // What follows from the feature came too late to be learned from.
    const late = rowsOf(4, drawn => (drawn.age < 0.8 ? 0.1 : byFirst(drawn)))
    expect(train(late, good).record.trees).toBe('present')
    expect(train(late, good).trees).toBe(good)
    expect(train(rowsOf(5, bySecond), good).record.trees).toBe('new')
    const gone = train(
      rowsOf(6, () => 0.1),
      good
    )
    expect([gone.record.trees, gone.trees]).toEqual(['none', undefined])
  })

  it('leaves what is in use alone when there is too little to learn from', () => {
    const good = train(rowsOf(1, byFirst)).trees
    const one = rowsOf(7, () => 0)
    expect(train(one).record.trees).toBe('none')
    expect(train(one, good).record.trees).toBe('present')
  })

  it('learns from no row whose hour reaches into those held out', () => {
    const rows = rowsOf(1, byFirst)
    const { learn, held } = splitByTime(rows, HOUR)
    const stepOf = (row: number): number => rows.steps[row] ?? 0
    const newest = Math.max(...Array.from(learn, stepOf))
    expect(newest + HOUR).toBeLessThan(Math.min(...Array.from(held, stepOf)))
    expect(learn.length).toBeGreaterThan(0.75 * COUNT)
  })

  it('is learned and judged in slices that give the same models as one run', () => {
    const [a, b] = [train(rowsOf(8, byFirst)), train(rowsOf(8, byFirst))]
    expect(a).toEqual(b)
  })
})

describe('average precision', () => {
  it('is 1 for a perfect order, and the rate for none', () => {
    const labels = Uint8Array.from({ length: 1000 }, (_, i) => (i % 10 === 0 ? 1 : 0))
    const parts = { ...rowsOf(1, () => 0), labels }
    const all = Uint32Array.from(labels, (_, i) => i)
    expect(averagePrecision(parts, all, Float64Array.from(labels))).toBe(1)
    expect(averagePrecision(parts, all, new Float64Array(1000))).toBeCloseTo(0.1, 10)
  })
})

describe('the rows that are kept', () => {
  it('are the newest, and settle only while they are there', () => {
    const rows = new TrainingRows(1, 3000)
    const tickets = Array.from({ length: 5000 }, (_, i) => rows.add(Float64Array.of(i), i, 1))
    expect(rows.count).toBe(0)
    for (const ticket of tickets) rows.settle(ticket, ticket % 2 === 1)
    expect([rows.count, rows.positives]).toEqual([3000, 1500])
    const { blocks, steps, labels } = partsOf(rows)
    const kept = Array.from(steps, (step, row) => [step, rowAt(blocks, 1, row)[0], labels[row]])
    expect(kept.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0))).toEqual(
      Array.from({ length: 3000 }, (_, i) => [i + 2000, i + 2000, i % 2])
    )
  })

  it('leave out what was never settled', () => {
    const rows = new TrainingRows(1, 100)
    for (let i = 0; i < 10; i++) rows.add(Float64Array.of(i), i, 1)
    rows.settle(4, true)
    expect(Array.from(partsOf(rows).steps)).toEqual([4])
  })
})
