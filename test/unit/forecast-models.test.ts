// Goal: every model is real: it finds the structure that it is made for, and no input breaks it.
// Method: series whose future is known, and series that break naive code: short, constant, nothing,
// a level that shifts, values at the bounds.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import { LeastSquares } from '../../protocols/forecast/linear.ts'
import { weightCount } from '../../protocols/forecast/lstm.ts'
import { LstmTrainer } from '../../protocols/forecast/lstm-trainer.ts'
import type { ModelName } from '../../protocols/forecast/model.ts'
import { ln1p } from '../../protocols/forecast/numeric.ts'
import { Random } from '../../protocols/forecast/random.ts'

const DAY = 24
const HORIZON = 12
const MODELS: readonly ModelName[] = [
  'last value',
  'seasonal naive',
  'weekly naive',
  'level of 2 h',
  'smoothing',
  'regression',
  'arima',
  'lstm'
]

/** Busy from 9 to 17, half as busy at weekends, with a little noise. */
function office(random: Random, t: number): number {
  const hour = t % DAY
  const weekend = Math.floor(t / DAY) % 7 >= 5
  const busy = hour >= 9 && hour < 17 ? 1000 : 100
  return busy * (weekend ? 0.5 : 1) * (1 + 0.05 * random.normal())
}

function errorsAfter(forecaster: Forecaster, next: (t: number) => number, from: number) {
  const path = new Float64Array(HORIZON)
  const future = Array.from({ length: HORIZON }, (_, h) => next(from + h))
  const of = (fill: () => void): number => {
    fill()
    return future.reduce((sum, load, h) => sum + Math.abs(load - (path[h] ?? 0)), 0) / HORIZON
  }
  const named = MODELS.map(name => [name, of(() => forecaster.pathOf(name, path))] as const)
  return new Map<string, number>([...named, ['final', of(() => forecaster.path(path))]])
}

describe('the models of one series', () => {
  it('find a week of office hours, and the combination knows it', () => {
    const random = new Random(3)
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    const length = 5 * 7 * DAY + 8
    for (let t = 0; t < length; t++) forecaster.push(office(random, t))
    const errors = errorsAfter(forecaster, t => office(random, t), length)
    const naive = errors.get('last value') ?? 0
    for (const name of ['smoothing', 'regression', 'arima', 'final']) {
      expect(errors.get(name), name).toBeLessThan(0.3 * naive)
    }
    expect(forecaster.verdict().skill).toBeGreaterThan(0.2)
  })

  it('say the constant of a constant series exactly, and claim no skill', () => {
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    const path = new Float64Array(HORIZON)
    for (let t = 0; t < 30 * DAY; t++) forecaster.push(250)
    forecaster.path(path)
    for (const load of path) expect(load).toBeCloseTo(250, 3)
    expect(forecaster.verdict().skill).toBeLessThanOrEqual(0)
  })

  it('say nothing but zero of a series of zeros', () => {
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    const path = new Float64Array(HORIZON)
    for (let t = 0; t < 20 * DAY; t++) forecaster.push(0)
    for (const name of MODELS) {
      forecaster.pathOf(name, path)
      expect([...path], name).toEqual(new Array(HORIZON).fill(0))
    }
  })

  it('forecast from the first sample on', () => {
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    const path = new Float64Array(HORIZON)
    for (let t = 0; t < 3 * DAY; t++) {
      forecaster.push(40 + (t % 3))
      forecaster.path(path)
      for (const load of path) expect(Math.abs(load - 41)).toBeLessThan(20)
    }
  })

  it('follow a level that shifts within a day', () => {
    const random = new Random(5)
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    const level = (t: number): number => (t < 20 * DAY ? 100 : 2000) * (1 + 0.02 * random.normal())
    const length = 22 * DAY
    for (let t = 0; t < length; t++) forecaster.push(level(t))
    expect(errorsAfter(forecaster, level, length).get('final')).toBeLessThan(200)
  })

  it('leave out a model without skill over naive', () => {
    const random = new Random(11)
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    let walk = 1000
    const next = (): number => {
      walk = Math.max(1, walk * (1 + 0.2 * random.normal()))
      return walk
    }
    for (let t = 0; t < 30 * DAY; t++) forecaster.push(next())
    const last = forecaster.errorOf('last value')
    expect(forecaster.errorOf('weekly naive')).toBeGreaterThan(last)
    expect(forecaster.verdict().model).not.toBe('weekly naive')
  })

  it('stay finite and not negative whatever comes', () => {
    const load = fc.oneof(
      fc.constant(0),
      fc.double({ min: 0, max: 1e15, noNaN: true }),
      fc.integer({ min: 0, max: 10 })
    )
    const series = fc.array(load, { minLength: 1, maxLength: 9 * DAY })
    fc.assert(
      fc.property(series, loads => {
        const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
        const path = new Float64Array(HORIZON)
        for (const value of loads) forecaster.push(value)
        for (const name of MODELS) {
          forecaster.pathOf(name, path)
          for (const value of path) expect(value >= 0 && Number.isFinite(value), name).toBe(true)
        }
        forecaster.path(path)
        for (const value of path) expect(value >= 0 && Number.isFinite(value)).toBe(true)
      }),
      { numRuns: 40 }
    )
  })
})

describe('least squares by sufficient statistics', () => {
  it('finds the plane that made the rows, and lets old rows fade', () => {
    const random = new Random(1)
    const fit = new LeastSquares(3, 0.99)
    const row = new Float64Array([0, 0, 1])
    for (let i = 0; i < 4000; i++) {
      row[0] = random.normal()
      row[1] = random.normal()
      const slope = i < 2000 ? -5 : 2
      fit.add(row, slope * (row[0] ?? 0) - 3 * (row[1] ?? 0) + 7)
    }
    const [a = 0, b = 0, c = 0] = fit.solve(1e-6)
    expect(a).toBeCloseTo(2, 3)
    expect(b).toBeCloseTo(-3, 3)
    expect(c).toBeCloseTo(7, 3)
  })

  it('gives 0 to terms that say nothing, and survives two that say the same', () => {
    const fit = new LeastSquares(4, 1)
    for (let i = 0; i < 50; i++) fit.add(Float64Array.of(i, i, 0, 1), 2 * i)
    const beta = fit.solve(1e-9)
    expect((beta[0] ?? 0) + (beta[1] ?? 0)).toBeCloseTo(2, 4)
    expect(beta[2]).toBeCloseTo(0, 6)
    expect([...beta].every(Number.isFinite)).toBe(true)
  })
})

describe('the network', () => {
  const series = [1, 2, 3].map(seed => {
    const random = new Random(seed)
    return Float32Array.from({ length: 21 * DAY }, (_, t) => ln1p(office(random, t)))
  })
  const train = (seed: number, slices: number) => {
    const trainer = new LstmTrainer({ series, day: DAY, cells: 8, seed, slices })
    const losses: number[] = []
    while (!trainer.done) losses.push(trainer.slice())
    return { weights: trainer.weights, losses }
  }
  const meanOf = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length

  it('learns: its loss falls', () => {
    const { losses } = train(4, 400)
    expect(meanOf(losses.slice(-40))).toBeLessThan(0.7 * meanOf(losses.slice(0, 40)))
  })

  it('is the same bits for the same seed, others for another', () => {
    const [a, b, c] = [train(1, 20), train(1, 20), train(2, 20)].map(
      ({ weights }) => weights.values
    )
    expect(a).toEqual(b)
    expect(a).not.toEqual(c)
    expect(a?.length).toBe(weightCount(8))
  })

  it('foretells better than the day before once it is trained', () => {
    const random = new Random(9)
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    forecaster.adopt(train(1, 600).weights)
    const length = 4 * 7 * DAY + 8
    for (let t = 0; t < length; t++) forecaster.push(office(random, t))
    const errors = errorsAfter(forecaster, t => office(random, t), length)
    expect(errors.get('lstm')).toBeLessThan(0.7 * (errors.get('seasonal naive') ?? 0))
  })
})
