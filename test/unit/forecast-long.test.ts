// Goal: a forecast up to a day ahead sees what the days before had, at the right hour, with
// quantiles of every step that hold, and does not depend on how its work was cut.
// Method: weeks of made load with a nightly job; many forecasts against what came.
import { describe, expect, it } from 'vitest'
import { LongForecast, longForecast, type PastLoad } from '../../protocols/forecast/long.ts'
import { nightly, START_MS, STEP_MS } from '../support/forecast-made-load.ts'

const DAY = 288
const settings = {
  zone: 'Europe/Berlin',
  patterns: [],
  threshold: { load: 600, from: 'capacity' }
} as const

function past(loads: Float64Array, end: number): PastLoad[] {
  return Array.from(loads.subarray(Math.max(0, end - 28 * DAY), end), (load, i) => ({
    timeMs: START_MS + (Math.max(0, end - 28 * DAY) + i) * STEP_MS,
    load
  }))
}

function madeLoads(seed: number, days: number): Float64Array {
  const load = nightly(seed)
  return Float64Array.from({ length: days * DAY }, (_, t) => load(t))
}

describe('a forecast of a day', () => {
  it('sees a nightly job at its hour, and says when it crosses the threshold', () => {
    const loads = madeLoads(1, 28)
    const said = longForecast(past(loads, loads.length), settings, 24 * 60)
    expect(said?.path.length).toBe(DAY)
    // The job begins at 02:00; the mean of 15 minutes is above 600 with its second step.
    const crossing = (said?.crossing.expectedAt ?? 0) - START_MS - 28 * DAY * STEP_MS
    expect(Math.abs(crossing / STEP_MS - 26)).toBeLessThanOrEqual(1)
    expect(said?.chance?.horizon).toBeGreaterThan(0.9)
    expect(said?.chance?.hour).toBeLessThan(0.2)
    expect(said?.skill).toBeGreaterThan(0)
  })

  it('promises of a week nothing that the first day alone would make it promise', () => {
    const loads = madeLoads(3, 7)
    const said = longForecast(past(loads, loads.length - 150), settings, 6 * 60)
    // The job is of the night: in the afternoon nothing comes near it, but in errors of the first day.
    expect(Math.max(...(said?.bands.q95 ?? []))).toBeLessThan(450)
  })

  it('has quantiles of every step that hold and never cross', () => {
    const loads = madeLoads(2, 36)
    let [steps, near, far] = [0, 0, 0]
    for (let end = 28 * DAY + 100; end + 72 < loads.length; end += 97) {
      const said = longForecast(past(loads, end), settings, 6 * 60)
      said?.path.forEach((_, i) => {
        const [q50 = 0, q90 = 0, q95 = 0] = (['q50', 'q90', 'q95'] as const).map(
          level => said.bands[level][i]
        )
        expect(q50 >= 0 && q50 <= q90 && q90 <= q95).toBe(true)
        const came =
          ((loads[end + i - 2] ?? 0) + (loads[end + i - 1] ?? 0) + (loads[end + i] ?? 0)) / 3
        steps++
        if (came <= q90) near++
        if (came <= q95) far++
      })
    }
    expect(near / steps).toBeGreaterThan(0.86)
    expect(near / steps).toBeLessThan(0.96)
    expect(far / steps).toBeGreaterThan(0.91)
  })

  it('is the same in whatever slices it is made', () => {
    const history = past(madeLoads(3, 10), 10 * DAY)
    const whole = longForecast(history, settings, 180)
    const long = new LongForecast(history, settings, 180)
    let slices = 0
    for (; !long.done; slices++) long.slice(100)
    expect(slices).toBe(29)
    expect(long.finished).toEqual(whole)
  })

  it('takes what it is given: nothing, one load, gaps, a part of an hour', () => {
    expect(longForecast([], settings, 360)).toBe(undefined)
    const one = longForecast([{ timeMs: START_MS, load: 5 }], settings, 90)
    expect(one?.path.length).toBe(18)
    expect(one?.path.every(load => Math.abs(load - 5) < 1e-3)).toBe(true)
    expect(one?.chance).toBe(undefined)
    const holed = past(madeLoads(4, 9), 9 * DAY).filter((_, i) => i % 50 > 3)
    const said = longForecast(holed, { ...settings, threshold: 'usual' }, 1440)
    expect(said?.path.every(load => Number.isFinite(load) && load >= 0)).toBe(true)
    expect(said?.threshold?.from).toBe('usual')
  })
})
