// Goal: the book of a node's forecasts says honest things from the first sample on: thresholds that
// move with the load, a chance that holds what it says, and the same bits wherever it is kept.
// Method: days of made load through a whole book; what is published is held against what comes.
import { describe, expect, it } from 'vitest'
import { ForecastBook } from '../../protocols/forecast/book.ts'
import { round6 } from '../../protocols/forecast/numeric.ts'
import { FEATURES } from '../../protocols/forecast/overload-state.ts'
import { OverloadWatch } from '../../protocols/forecast/overload-watch.ts'
import { Random } from '../../protocols/forecast/random.ts'
import type { SubjectSettings } from '../../protocols/forecast/subject.ts'
import { Training } from '../../protocols/forecast/training.ts'
import {
  learnedNetwork,
  learnedTrees,
  nightly,
  START_MS,
  STEP_MS
} from '../support/forecast-made-load.ts'

const DAY = 288
const HOUR = 12
const settings: SubjectSettings = { zone: 'Europe/Berlin', patterns: [], threshold: 'usual' }
const fixed = (load: number): SubjectSettings => ({
  ...settings,
  threshold: { load, from: 'capacity' }
})
const timeOf = (t: number): number => START_MS + t * STEP_MS

/** Noise that lasts, around 300. */
function restless(seed: number): () => number {
  const random = new Random(seed)
  let noise = 0
  return () => {
    noise = 0.9 * noise + 40 * random.normal()
    return Math.max(0, 300 + noise)
  }
}

describe('a subject of the book', () => {
  it('says nothing before a live sample, and the last value after the first', () => {
    const book = new ForecastBook()
    book.open('a', settings)
    book.remember('a', timeOf(0), 40)
    expect(book.forecast('a')).toBe(undefined)
    expect(book.forecast('nobody')).toBe(undefined)
    book.sample('a', timeOf(1), 40)
    const said = book.forecast('a')
    expect(said?.path.length).toBe(HOUR)
    expect(said?.path.every(load => Math.abs(load - 40) < 1e-3)).toBe(true)
    expect(said?.atMs).toBe(timeOf(2))
    expect([said?.threshold, said?.chance, said?.chanceFrom]).toEqual([
      undefined,
      undefined,
      undefined
    ])
  })

  it('is one of so many, and gone when it is closed', () => {
    const book = new ForecastBook(2)
    expect([book.open('a', settings), book.open('b', settings)]).toEqual([true, true])
    expect(book.open('c', settings)).toBe(false)
    book.close('a')
    expect([book.has('a'), book.has('b'), book.open('c', settings)]).toEqual([false, true, true])
  })

  it('forgets its past when it is reset, and keeps its settings', () => {
    const book = new ForecastBook()
    book.open('a', fixed(50))
    for (let t = 0; t < 2 * DAY; t++) book.sample('a', timeOf(t), 40)
    book.reset('a')
    expect(book.forecast('a')).toBe(undefined)
    book.sample('a', timeOf(2 * DAY), 7)
    const said = book.forecast('a')
    expect(said?.steps).toBe(1)
    expect(said?.threshold).toEqual({ load: 50, from: 'capacity' })
  })

  it('names when a declared pattern will cross the threshold', () => {
    const book = new ForecastBook()
    const pattern = { days: 0b1111111, startMinute: 12 * 60, lengthMinutes: 30, extra: 5000 }
    book.open('a', { ...fixed(600), patterns: [pattern] })
    const load = nightly(1)
    // The last step ends at 11:30 local time.
    for (let t = 0; t < 5 * DAY + 138; t++) book.sample('a', timeOf(t), load(t))
    const said = book.forecast('a')
    expect(said?.crossing.expectedAt).toBe(timeOf(5 * DAY + 145))
    expect(said?.crossing.highAt).toBe(said?.crossing.expectedAt)
    expect(said?.chance).toBeGreaterThanOrEqual(0.9)
    expect(said?.chanceFrom).toBe('band')
  })

  it('lets the band speak until there are trees, and in an overload', () => {
    const book = new ForecastBook()
    book.open('a', fixed(600))
    const load = nightly(99)
    const trees = learnedTrees()
    for (let t = 0; t < 14 * DAY; t++) book.sample('a', timeOf(t), load(t))
    expect(book.forecast('a')?.chanceFrom).toBe('band')
    book.adopt({ trees, weights: undefined, record: RECORD })
    for (let t = 14 * DAY; t < 14 * DAY + 18; t++) book.sample('a', timeOf(t), load(t))
    const before = book.forecast('a')
    expect([before?.chanceFrom, before?.isOver]).toEqual(['trees', false])
    expect(before?.chance).toBeGreaterThan(0.6)
    for (let t = 14 * DAY + 18; t < 14 * DAY + 30; t++) book.sample('a', timeOf(t), load(t))
    const during = book.forecast('a')
    expect([during?.chanceFrom, during?.isOver]).toEqual(['band', true])
  })
})

describe('a usual threshold', () => {
  it('is known after a day, and follows the load within a day or so of its change', () => {
    const book = new ForecastBook()
    book.open('a', settings)
    const [low, high] = [restless(3), restless(4)]
    for (let t = 0; t < DAY - 1; t++) book.sample('a', timeOf(t), low())
    expect(book.forecast('a')?.threshold).toBe(undefined)
    book.sample('a', timeOf(DAY - 1), low())
    const first = book.forecast('a')?.threshold?.load ?? 0
    expect(first).toBeGreaterThan(300)
    expect(first).toBeLessThan(550)
    for (let t = DAY; t < 4 * DAY; t++) book.sample('a', timeOf(t), low())
    for (let t = 4 * DAY; t < 6 * DAY; t++) book.sample('a', timeOf(t), 5 * high())
    expect(book.forecast('a')?.threshold?.load).toBeGreaterThan(1500)
    expect(book.forecast('a')?.threshold?.from).toBe('usual')
  })

  it('is never below a constant load, nor below one request per second', () => {
    for (const load of [0, 0.1, 77.7]) {
      const book = new ForecastBook()
      book.open('a', settings)
      for (let t = 0; t < 3 * DAY; t++) book.sample('a', timeOf(t), load)
      const said = book.forecast('a')
      expect(said?.isOver).toBe(false)
      expect(said?.threshold?.load).toBeGreaterThanOrEqual(Math.max(1, load))
      expect(said?.chance).toBeLessThan(0.01)
      expect(said?.crossing).toEqual({ expectedAt: undefined, highAt: undefined })
    }
  })

  it('is learned anew when the clock jumps', () => {
    const book = new ForecastBook()
    book.open('a', settings)
    for (let t = 0; t < 2 * DAY; t++) book.sample('a', timeOf(t), 100)
    book.sample('a', timeOf(90 * DAY), 900)
    expect(book.forecast('a')?.threshold).toBe(undefined)
  })

  it('that has moved stands as if it had always stood there', () => {
    const load = nightly(7)
    const moment = { stepOfDay: 5, dayOfWeek: 2, offset: 24, patternNow: 0, patternNext: 0 }
    const watchAt = (threshold: number): OverloadWatch =>
      new OverloadWatch({ day: DAY, threshold, phase: 0 })
    const [moved, always] = [watchAt(50), watchAt(600)]
    for (let t = 0; t < 20 * DAY; t++) {
      const value = Math.fround(load(t))
      if (t === 19 * DAY) moved.move(600)
      moved.push(value, moment, true)
      always.push(value, moment, true)
    }
    expect(moved.threshold).toBe(600)
    const [a, b] = [new Float64Array(FEATURES.length), new Float64Array(FEATURES.length)]
    moved.features({ smoothing: 1, regression: 1 }, a)
    always.features({ smoothing: 1, regression: 1 }, b)
    expect(Array.from(a, round6)).toEqual(Array.from(b, round6))
  })
})

describe('the chance without trees', () => {
  it('holds what it says where it is small, and is not too sure where it is great', () => {
    const book = new ForecastBook()
    book.open('a', fixed(430))
    const random = restless(5)
    const loads = Float64Array.from({ length: 60 * DAY }, () => random())
    const smooth = loads.map(
      (_, t) => ((loads[t - 2] ?? 300) + (loads[t - 1] ?? 300) + (loads[t] ?? 0)) / 3
    )
    const bins = [0, 1, 2].map(() => ({ steps: 0, said: 0, came: 0 }))
    loads.forEach((load, t) => {
      book.sample('a', timeOf(t), load)
      const chance = book.forecast('a')?.chance
      if (t < 7 * DAY || t + HOUR >= loads.length || chance === undefined) return
      const bin = bins[chance < 0.2 ? 0 : chance < 0.6 ? 1 : 2]
      if (bin === undefined) return
      bin.steps++
      bin.said += chance
      if (Math.max(...smooth.subarray(t + 1, t + 1 + HOUR)) > 430) bin.came++
    })
    const [low, middle, high] = bins.map(({ steps, said, came }) => (came - said) / steps)
    expect(Math.min(...bins.map(({ steps }) => steps))).toBeGreaterThan(100)
    expect(Math.abs(low ?? 1)).toBeLessThan(0.03)
    expect(Math.abs(middle ?? 1)).toBeLessThan(0.07)
    // Where the load is high already, more comes than is said: never less.
    expect(high).toBeGreaterThan(-0.05)
  })
})

describe('a book', () => {
  it('is the same bits for the same samples, before and after its training', () => {
    const book = new ForecastBook()
    const keys = ['a', 'b', 'c', 'd']
    for (const [i, key] of keys.entries()) book.open(key, i < 2 ? fixed(600) : settings)
    const loads = keys.map((_, i) => nightly(i + 1))
    let sum = 0
    const live = (from: number, to: number): void => {
      for (let t = from; t < to; t++) {
        keys.forEach((key, i) => {
          book.sample(key, timeOf(t), loads[i]?.(t))
          const said = book.forecast(key)
          sum += (said?.path.at(-1) ?? 0) + (said?.bands[1]?.q90 ?? 0) + (said?.skill ?? 0)
          sum += (said?.chance ?? 0) + (said?.warning ?? 0) + (said?.threshold?.load ?? 0)
        })
      }
    }
    for (let t = 0; t < 9 * DAY; t++)
      for (const [i, key] of keys.entries()) book.remember(key, timeOf(t), loads[i]?.(t))
    live(9 * DAY, 10 * DAY)
    expect(book.due(timeOf(10 * DAY))).toBe(true)
    const gathering = book.training(timeOf(10 * DAY), 3)
    expect(book.due(timeOf(10 * DAY))).toBe(false)
    while (!gathering.done) gathering.slice()
    const input = gathering.finished
    if (input === undefined) throw new Error('what is done has finished')
    const training = new Training({ ...input, batches: 20, trees: 20 })
    while (!training.done) training.slice()
    const models = training.finished
    if (models === undefined) throw new Error('what is done has finished')
    expect(models.record.trees).toBe('new')
    book.adopt(models)
    live(10 * DAY, 11 * DAY)
    expect(book.due(timeOf(11 * DAY) - 1)).toBe(false)
    expect(book.due(timeOf(11 * DAY))).toBe(true)
    expect(round6(sum + models.record.loss)).toBe(GOLDEN)
  })

  it('learns from no hour with a gap in it', () => {
    const book = new ForecastBook()
    book.open('a', fixed(600))
    const load = nightly(1)
    // Every hour lacks a sample from the fourth day on, before any row could be settled.
    for (let t = 0; t < 6 * DAY; t++) {
      book.sample('a', timeOf(t), t >= 3 * DAY - 1 && t % 11 === 0 ? undefined : load(t))
    }
    expect(book.rows.count).toBe(0)
    for (let t = 6 * DAY; t < 7 * DAY; t++) book.sample('a', timeOf(t), load(t))
    expect(book.rows.count).toBeGreaterThan(100)
    expect(book.rows.positives).toBeGreaterThan(5)
  })

  it('gives a subject that opens late the models that it has', () => {
    const book = new ForecastBook()
    book.adopt({ trees: learnedTrees(), weights: learnedNetwork(), record: RECORD })
    book.open('late', fixed(600))
    const load = nightly(2)
    for (let t = 0; t < 3 * DAY; t++) book.sample('late', timeOf(t), load(t))
    expect(book.forecast('late')?.chanceFrom).toBe('trees')
  })
})

const RECORD = {
  atMs: 0,
  rows: 1000,
  positives: 50,
  heldOut: 200,
  loss: 0.1,
  baseLoss: 0.2,
  presentLoss: 0,
  skill: 0.5,
  averagePrecision: 0.5,
  trees: 'new',
  series: 1
} as const
const GOLDEN = 1829282.236912
