// Goal: what clocks, counters and people do to a series never reaches a model: gaps, late samples,
// jumps, counters that begin again, daylight saving, declared patterns.
// Method: say each, look at what leaves.
import { describe, expect, it } from 'vitest'
import { Calendar } from '../../protocols/forecast/calendar.ts'
import { History } from '../../protocols/forecast/history.ts'
import { parsePattern, patternLoad, patternPeak } from '../../protocols/forecast/patterns.ts'
import { believable, CounterRate, StepClock } from '../../protocols/forecast/samples.ts'

const STEP_MS = 300_000
const HOUR_MS = 3_600_000
const NOON_MS = Date.UTC(2024, 2, 1, 12)

describe('a clock of even steps', () => {
  it('counts the steps that are missing', () => {
    const clock = new StepClock(STEP_MS)
    expect(clock.arrive(NOON_MS)).toEqual({ kind: 'anew' })
    expect(clock.arrive(NOON_MS + STEP_MS)).toEqual({ kind: 'next', missing: 0 })
    expect(clock.arrive(NOON_MS + 5 * STEP_MS)).toEqual({ kind: 'next', missing: 3 })
  })

  it('drops what is late or double', () => {
    const clock = new StepClock(STEP_MS)
    clock.arrive(NOON_MS)
    expect(clock.arrive(NOON_MS + 1)).toEqual({ kind: 'late' })
    expect(clock.arrive(NOON_MS - 3 * STEP_MS)).toEqual({ kind: 'late' })
    expect(clock.arrive(NOON_MS + STEP_MS)).toEqual({ kind: 'next', missing: 0 })
  })

  it('begins anew when the clock jumps, either way', () => {
    const clock = new StepClock(STEP_MS)
    clock.arrive(NOON_MS)
    expect(clock.arrive(NOON_MS - 30 * HOUR_MS)).toEqual({ kind: 'anew' })
    expect(clock.arrive(NOON_MS + 30 * 24 * HOUR_MS)).toEqual({ kind: 'anew' })
    expect(clock.arrive(NOON_MS + 30 * 24 * HOUR_MS + STEP_MS)).toEqual({
      kind: 'next',
      missing: 0
    })
  })

  it('believes only loads', () => {
    expect([0, 5, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e300].map(believable)).toEqual([
      0,
      5,
      undefined,
      undefined,
      undefined,
      undefined
    ])
  })
})

describe('a counter', () => {
  it('gives rates, and what came since it began again', () => {
    const counter = new CounterRate()
    expect(counter.read(0, 100)).toBe(undefined)
    expect(counter.read(2000, 300)).toBe(100)
    expect(counter.read(4000, 50)).toBe(25)
    expect(counter.read(5000, 80)).toBe(30)
  })

  it('says nothing where time stood still or the count is absurd', () => {
    const counter = new CounterRate()
    counter.read(1000, 10)
    expect(counter.read(1000, 20)).toBe(undefined)
    expect(counter.read(2000, Number.NaN)).toBe(undefined)
    expect(counter.read(2000, -5)).toBe(undefined)
    expect(counter.read(2000, 30)).toBe(10)
  })
})

describe('a calendar', () => {
  it('reads local time through both changes of the clock', () => {
    const calendar = new Calendar('Europe/Berlin')
    expect(calendar.localTime(Date.UTC(2024, 2, 31, 0, 59))).toEqual({
      minuteOfDay: 119,
      dayOfWeek: 6
    })
    expect(calendar.localTime(Date.UTC(2024, 2, 31, 1, 0))).toEqual({
      minuteOfDay: 180,
      dayOfWeek: 6
    })
    expect(calendar.offsetMinutes(Date.UTC(2024, 9, 27, 0, 59))).toBe(120)
    expect(calendar.offsetMinutes(Date.UTC(2024, 9, 27, 1, 0))).toBe(60)
  })

  it('knows zones of half an hour, and refuses zones that are none', () => {
    expect(new Calendar('Asia/Kolkata').offsetMinutes(NOON_MS)).toBe(330)
    expect(() => new Calendar('Atlantis/Capital')).toThrow(RangeError)
  })

  it('lets a history find the same local time across a change', () => {
    const day = 288
    const history = new History(day, 10)
    for (let t = 0; t < 3 * day; t++) history.push(t, 12)
    expect(history.dayLag(1)).toBe(day)
    for (let t = 0; t < day / 2; t++) history.push(3 * day + t, 24)
    expect(history.dayLag(1)).toBe(day - 12)
    expect(history.back(history.dayLag(1))).toBe(3 * day + day / 2 - 1 - day + 12)
    for (let t = 0; t < 2 * day; t++) history.push(0, 24)
    expect(history.dayLag(1)).toBe(day)
    expect(history.dayLag(4)).toBe(4 * day - 12)
  })
})

describe('a declared pattern', () => {
  const berlin = new Calendar('Europe/Berlin')
  const nightly = parsed('mon-fri 02:00', 40, 3000)

  it('adds its load at its local time, summer and winter', () => {
    expect(patternLoad([nightly], berlin, Date.UTC(2024, 6, 3, 0, 10))).toBe(3000)
    expect(patternLoad([nightly], berlin, Date.UTC(2024, 0, 3, 1, 10))).toBe(3000)
    expect(patternLoad([nightly], berlin, Date.UTC(2024, 0, 3, 0, 10))).toBe(0)
    expect(patternLoad([nightly], berlin, Date.UTC(2024, 6, 3, 0, 40))).toBe(0)
    expect(patternLoad([nightly], berlin, Date.UTC(2024, 6, 6, 0, 10))).toBe(0)
  })

  it('is seen coming, and runs past midnight', () => {
    expect(patternPeak([nightly], berlin, Date.UTC(2024, 6, 2, 23, 20), 60)).toBe(3000)
    expect(patternPeak([nightly], berlin, Date.UTC(2024, 6, 2, 22, 20), 60)).toBe(0)
    const late = parsed('fri 23:30', 90, 10)
    expect(patternLoad([late], berlin, Date.UTC(2024, 6, 5, 22, 15))).toBe(10)
    expect(patternLoad([late], berlin, Date.UTC(2024, 6, 6, 22, 15))).toBe(0)
  })

  it('says what is wrong with words that are no pattern', () => {
    for (const [when, minutes, extra] of [
      ['noon', 5, 1],
      ['mun 02:00', 5, 1],
      ['mon 24:00', 5, 1],
      ['mon 02:00', 0, 1],
      ['mon 02:00', 5, -1]
    ] as const) {
      expect(parsePattern(when, minutes, extra)).toHaveProperty('problem')
    }
    expect(parsePattern('sat-mon 1:00', 5, 1)).toMatchObject({ days: 0b1100001 })
  })
})

function parsed(when: string, minutes: number, extra: number) {
  const pattern = parsePattern(when, minutes, extra)
  if ('problem' in pattern) throw new Error(pattern.problem)
  return pattern
}
