// Goal: the mean and variance of the next steps are learned from the loads of a series alone, hold what
// they say on what repeats and on what is by chance, and never look ahead or become absurd.
// Method: made series; a regression against its closed form.
import { describe, expect, it } from 'vitest'
import { momentsOf } from '../../protocols/balance/excess.ts'
import { outlookOf } from '../../protocols/balance/outlook.ts'
import { ForecastBook } from '../../protocols/forecast/book.ts'
import { DIRECT_STEPS, DirectForecast } from '../../protocols/forecast/direct.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { Ridge } from '../../protocols/forecast/ridge.ts'

const DAY = 288
const LEARNED = 11 * DAY

function fed(loads: readonly number[]): DirectForecast {
  const direct = new DirectForecast(DAY)
  for (const load of loads) direct.take(load, load)
  return direct
}

describe('a ridge regression', () => {
  it('finds the weights of what is linear, and forgets those of before', () => {
    const random = new Random(7)
    const ridge = new Ridge(2, 0.99)
    const learn = (a: number, b: number): void => {
      for (let i = 0; i < 2_000; i++) {
        const row = Float64Array.of(random.unit(), random.unit())
        ridge.learn(row, a * (row[0] ?? 0) + b * (row[1] ?? 0))
      }
      ridge.solve()
    }
    learn(3, -1)
    expect(ridge.predict(Float64Array.of(1, 0))).toBeCloseTo(3, 1)
    learn(0, 2)
    expect(ridge.predict(Float64Array.of(1, 1))).toBeCloseTo(2, 1)
  })

  it('stays finite without a row, and with columns that are the same', () => {
    const ridge = new Ridge(2, 1)
    ridge.solve()
    expect(ridge.predict(Float64Array.of(1, 1))).toBe(0)
    for (let i = 0; i < 10; i++) ridge.learn(Float64Array.of(1e9, 1e9), 1e9)
    ridge.solve()
    expect(ridge.predict(Float64Array.of(1e9, 1e9)) / 1e9).toBeCloseTo(1, 2)
  })
})

describe('a direct forecast', () => {
  it('says nothing before it has learned, then foretells a burst of every hour', () => {
    const burst = (t: number): number => (t % 12 < 3 ? 1_000 : 100)
    const loads = Array.from({ length: LEARNED + 5 }, (_, t) => burst(t))
    expect(fed(loads.slice(0, LEARNED - 1)).foretell()).toBeUndefined()
    const said = fed(loads).foretell()
    expect(said?.mean.length).toBe(DIRECT_STEPS)
    said?.mean.forEach((mean, h) => {
      const came = burst(loads.length + h)
      expect(Math.abs(mean - came)).toBeLessThan(100)
      expect(Math.sqrt(said.variance[h] ?? 0)).toBeLessThan(100)
    })
  })

  it('says of bursts by chance how often they come, and how far they vary', () => {
    const random = new Random(3)
    const loads: number[] = []
    while (loads.length < LEARNED + DAY) loads.push(random.unit() < 0.2 ? 1_000 : 0)
    const said = fed(loads).foretell()
    for (const mean of said?.mean ?? []) {
      expect(mean).toBeGreaterThan(50)
      expect(mean).toBeLessThan(400)
    }
    for (const variance of said?.variance ?? []) {
      expect(Math.sqrt(variance)).toBeGreaterThan(300)
      expect(Math.sqrt(variance)).toBeLessThan(500)
    }
  })

  it('is exact about what stands still, and finite for what is silent or immense', () => {
    for (const load of [0, 1, 1e12]) {
      const said = fed(new Array<number>(LEARNED + DAY).fill(load)).foretell()
      for (const mean of said?.mean ?? [Number.NaN]) {
        expect(Math.abs(mean - load)).toBeLessThanOrEqual(0.01 * load)
      }
      for (const variance of said?.variance ?? []) {
        expect(variance).toBeGreaterThanOrEqual(0)
        expect(Math.sqrt(variance)).toBeLessThanOrEqual(0.05 * load)
      }
    }
  })
})

describe('what balancing reads', () => {
  it('is the learned mean and variance of each step, as far as a limit lets them be', () => {
    const direct = { mean: [100, 900], variance: [400, 1e9] }
    const path = outlookOf({ atMs: 0, stepMs: 300_000, path: [0], bands: [], direct }, 1_000)
    const at = (i: number) =>
      momentsOf({ expected: path.expected[i] ?? 0, high: path.high[i] ?? 0 })
    expect(at(0).mean).toBeCloseTo(100, 6)
    expect(at(0).variance).toBeCloseTo(400, 4)
    expect(at(1).mean).toBeCloseTo(900, 5)
    expect(at(1).variance).toBeCloseTo(250_000, 2)
  })

  it('is published by a book once it is learned, also out of a past that was remembered', () => {
    const book = new ForecastBook(1)
    book.open('a', { zone: 'UTC', patterns: [], threshold: 'usual' })
    for (let t = 0; t < LEARNED; t++) book.remember('a', t * 300_000, 50)
    book.sample('a', LEARNED * 300_000, 50)
    const published = book.forecast('a')
    expect(published?.direct?.mean.length).toBe(DIRECT_STEPS)
    expect(published?.direct?.mean[0]).toBeCloseTo(50, 0)
  })
})
