// Goal: a shard's forecast is honest about overloads and quantiles, survives what clocks and gaps
// do, and is the same to the last bit wherever it is made.
// Method: weeks of made load with a nightly job; pinned sums of everything that is published.
import { describe, expect, it } from 'vitest'
import { QuantileBand } from '../../protocols/forecast/conformal.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { ShardForecast } from '../../protocols/forecast/shard-forecast.ts'
import {
  learnedNetwork,
  learnedTrees,
  nightly,
  START_MS,
  STEP_MS
} from '../support/forecast-made-load.ts'

const DAY = 288
const options = {
  stepMs: STEP_MS,
  horizonsMinutes: [15, 60],
  zone: 'Europe/Berlin',
  capacity: 600,
  patterns: []
}

function filled(days: number, extra: Partial<typeof options> = {}): ShardForecast {
  const shard = new ShardForecast({ ...options, ...extra })
  const load = nightly(1)
  for (let t = 0; t < days * DAY; t++) shard.sample(START_MS + t * STEP_MS, load(t))
  return shard
}

describe('the forecast of a shard', () => {
  it('sees a nightly job coming, and not where none comes', () => {
    const trees = learnedTrees()
    const shard = new ShardForecast(options)
    shard.adopt(trees, undefined)
    const load = nightly(99)
    const before: number[] = []
    const other: number[] = []
    for (let t = 0; t < 21 * DAY; t++) {
      shard.sample(START_MS + t * STEP_MS, load(t))
      const step = t % DAY
      const chance = shard.forecast?.outlook?.chance
      if (t < 14 * DAY || chance === undefined) continue
      if (step >= 14 && step <= 21) before.push(chance)
      if (step >= 100 && step <= 250) other.push(chance)
    }
    expect(Math.min(...before)).toBeGreaterThan(0.6)
    expect(Math.max(...other)).toBeLessThan(0.3)
  })

  it('is the same bits on every version of Node', () => {
    const shard = new ShardForecast(options)
    shard.adopt(learnedTrees(), learnedNetwork())
    const load = nightly(5)
    let sum = 0
    for (let t = 0; t < 16 * DAY; t++) {
      shard.sample(START_MS + t * STEP_MS, load(t))
      const forecast = shard.forecast
      const [near, far] = forecast?.bands ?? []
      sum += (near?.q90 ?? 0) + (far?.q95 ?? 0) + (forecast?.path.at(-1) ?? 0)
      sum += (forecast?.skill ?? 0) + (forecast?.outlook?.chance ?? 0)
    }
    expect(sum).toBe(GOLDEN)
  })

  it('goes on over a gap as if the day before had come again', () => {
    const shard = filled(15)
    const whole = filled(15)
    const load = nightly(1)
    for (let t = 15 * DAY; t < 15 * DAY + 40; t++) {
      whole.sample(START_MS + t * STEP_MS, load(t))
      if (t > 15 * DAY + 30) shard.sample(START_MS + t * STEP_MS, load(t))
    }
    const [a, b] = [shard, whole].map(({ forecast }) => forecast?.path.at(-1) ?? 0)
    expect(Math.abs((a ?? 0) - (b ?? 1))).toBeLessThan(0.3 * (b ?? 1))
  })

  it('remembers the past after a restart, and then says nearly the same', () => {
    const whole = filled(20)
    const restarted = new ShardForecast(options)
    const load = nightly(1)
    for (let t = 0; t < 20 * DAY; t++) {
      const now = START_MS + t * STEP_MS
      if (t < 19 * DAY) restarted.remember(now, load(t))
      else restarted.sample(now, load(t))
    }
    const [a = [], b = []] = [whole, restarted].map(({ forecast }) => forecast?.path)
    for (const [i, value] of a.entries()) {
      expect(Math.abs(value - (b[i] ?? 0))).toBeLessThan(0.05 * value)
    }
  })

  it('takes absurd samples for gaps, and drops late ones', () => {
    const shard = filled(3)
    const known = shard.forecast
    shard.sample(START_MS + (3 * DAY - 2) * STEP_MS, 1e6)
    expect(shard.forecast).toBe(known)
    for (const absurd of [Number.NaN, -4, 1e300, undefined]) {
      shard.sample(START_MS + 3 * DAY * STEP_MS, absurd)
    }
    for (const load of shard.forecast?.path ?? []) expect(load).toBeLessThan(2000)
  })

  it('begins anew when the clock jumps, and forecasts at once', () => {
    const shard = filled(10)
    shard.sample(START_MS - 100 * DAY * STEP_MS, 77)
    expect(shard.forecast?.path.every(load => Math.abs(load - 77) < 1e-3)).toBe(true)
    expect(shard.forecast?.skill).toBe(0)
  })

  it('adds a declared pattern at its time, and warns if it will not fit', () => {
    const pattern = { days: 0b1111111, startMinute: 12 * 60, lengthMinutes: 30, extra: 5000 }
    const shard = new ShardForecast({ ...options, patterns: [pattern] })
    const load = nightly(1)
    // Local noon is 10:00 UTC in summer; the last sample is of 11:25 local time.
    for (let t = 0; t < 5 * DAY + START_STEP; t++) shard.sample(START_MS + t * STEP_MS, load(t))
    const { path = [], outlook } = shard.forecast ?? {}
    expect(path.map(foretold => foretold > 4900)).toEqual(path.map((_, i) => START_STEP + i >= 144))
    expect(outlook?.warning).toBeGreaterThanOrEqual(0.9)
  })
})

it('a pattern that has not run yet takes nothing off the load before, and is added whole', () => {
  // At noon the load was some hundred: not the 5,000 that are declared now.
  const pattern = { days: 0b1111111, startMinute: 12 * 60, lengthMinutes: 30, extra: 5000 }
  const plain = new ShardForecast(options)
  const declared = new ShardForecast({ ...options, patterns: [pattern] })
  const load = nightly(1)
  for (let t = 0; t < 5 * DAY + START_STEP; t++) {
    const value = load(t)
    for (const shard of [plain, declared]) shard.sample(START_MS + t * STEP_MS, value)
  }
  const ordinary = plain.forecast?.path ?? []
  declared.forecast?.path.forEach((foretold, i) => {
    const extra = START_STEP + i >= 144 ? 5000 : 0
    expect(foretold).toBeCloseTo((ordinary[i] ?? 0) + extra, 3)
  })
})

describe('quantiles', () => {
  it('cover what they promise through a change of level and of noise', () => {
    const random = new Random(2)
    const band = new QuantileBand(3, [0.9, 0.95])
    const given: Float64Array[] = []
    let [near, far, steps] = [0, 0, 0]
    for (let t = 0; t < 20_000; t++) {
      const noise = t < 8000 ? 20 : 200
      const load = Math.max(0, (t < 8000 ? 500 : 1500) + noise * random.normal())
      band.observe(load)
      const then = given[t - 3]
      if (t > 2000 && then !== undefined) {
        steps++
        if (load < (then[0] ?? 0)) near++
        if (load < (then[1] ?? 0)) far++
      }
      const quantiles = new Float64Array(2)
      band.quantiles(t < 8000 ? 500 : 1500, quantiles)
      given.push(quantiles)
    }
    expect(near / steps).toBeGreaterThan(0.88)
    expect(near / steps).toBeLessThan(0.92)
    expect(far / steps).toBeGreaterThan(0.935)
    expect(far / steps).toBeLessThan(0.965)
  })

  it('never cross, are never negative, and are 0 for a shard that stands still', () => {
    const random = new Random(3)
    const band = new QuantileBand(2, [0.5, 0.9, 0.95])
    const out = new Float64Array(3)
    for (let t = 0; t < 3000; t++) {
      band.observe(t < 2000 ? 0 : 50 * random.unit())
      band.quantiles(t < 2000 ? 0 : 25, out)
      const [low = 0, middle = 0, high = 0] = out
      expect(low >= 0 && low <= middle && middle <= high).toBe(true)
      if (t < 2000) expect(high).toBe(0)
    }
  })
})

const START_STEP = 138
const GOLDEN = 2823455.851393001
