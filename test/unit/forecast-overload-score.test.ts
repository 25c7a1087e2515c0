// Goal: the bench judges warnings as the project words it, to the step.
// Method: a tiny load whose overloads, quiet steps and alarms were counted by hand.
import { describe, expect, it } from 'vitest'
import { fillGaps, trailingMean } from '../bench/forecast-data.ts'
import { inProportion } from '../bench/forecast-loads.ts'
import { isFresh, overWithin, subjectOf, Warnings } from '../bench/forecast-overload.ts'

const WEEKS4 = 4 * 2016

/** Quiet at 1 over four weeks with 6 % at 2, then `tail`. */
function subject(tail: readonly number[]) {
  const load = new Float64Array(WEEKS4 + tail.length).fill(1)
  for (let t = 0; t < WEEKS4 * 0.04; t++) load[t] = 2
  load.set(tail, WEEKS4)
  return subjectOf('shard', load)
}

function tailWith(overs: readonly number[], length: number): number[] {
  return Array.from({ length }, (_, t) => (overs.includes(t) ? 3 : 1))
}

describe('the judge of warnings', () => {
  it('takes capacity of the first four weeks, quiet and fresh by the hour', () => {
    const judged = subject(tailWith([30, 31, 44, 45], 60))
    expect(judged.capacity).toBe(1)
    expect(isFresh(judged, WEEKS4 + 30)).toBe(true)
    expect(isFresh(judged, WEEKS4 + 31)).toBe(false)
    // Steps 32 to 43 are an hour below; 44 comes after exactly an hour, not more.
    expect(isFresh(judged, WEEKS4 + 44)).toBe(false)
    expect(judged.quiet[WEEKS4 + 29]).toBe(1)
    expect(judged.quiet[WEEKS4 + 57]).toBe(0)
    expect(judged.quiet[WEEKS4 + 58]).toBe(1)
    expect([17, 18, 29, 45].map(t => overWithin(judged, WEEKS4 + t))).toEqual([
      false,
      true,
      true,
      false
    ])
  })

  it('counts precision by alarm step, recall by fresh overload with 15 to 60 minutes of notice', () => {
    const judged = subject(tailWith([40, 90], 120))
    const scores = new Float64Array(judged.load.length)
    // Two steps that come true with notice, one whose notice is too short, one that is wrong.
    for (const t of [30, 37, 89, 65]) scores[WEEKS4 + t] = 1
    const warnings = new Warnings({ subjects: [judged], scores: [scores], from: WEEKS4, to: 1e9 })
    expect(warnings.fresh).toBe(2)
    expect(warnings.at(1)).toEqual({ threshold: 1, precision: 3 / 4, recall: 1 / 2 })
  })

  it('counts a run of wrong alarms once, per day', () => {
    const judged = subject(tailWith([], 288))
    const scores = new Float64Array(judged.load.length)
    for (const t of [20, 21, 22, 50, 60, 61]) scores[WEEKS4 + t] = 1
    const warnings = new Warnings({ subjects: [judged], scores: [scores], from: WEEKS4, to: 1e9 })
    expect(warnings.operating(1).falsePerDay).toBe(3)
  })

  it('gives a perfect score the precision 1 and a blind one that of chance', () => {
    const overs = Array.from({ length: 20 }, (_, i) => 60 + i * 100)
    const judged = subject(tailWith(overs, 2100))
    const perfect = judged.load.map((_, t) => (overWithin(judged, t) ? 1 : t / 1e9))
    const good = new Warnings({ subjects: [judged], scores: [perfect], from: WEEKS4, to: 1e9 })
    expect(good.averagePrecision()).toBeCloseTo(1, 9)
    expect(good.at(good.operatingThreshold(0.8))).toMatchObject({ precision: 1, recall: 1 })
    const blind = judged.load.map((_, t) => (t * 7919) % 1009)
    const bad = new Warnings({ subjects: [judged], scores: [blind], from: WEEKS4, to: 1e9 })
    expect(bad.averagePrecision()).toBeLessThan(0.25)
  })
})

describe('the data as the bench reads it', () => {
  it('fills a gap with the day before, else the sample before, else nothing', () => {
    const values = new Float64Array(290).fill(5)
    values[0] = Number.NaN
    values[10] = Number.NaN
    values[1] = 9
    values[289] = Number.NaN
    const filled = fillGaps(values)
    expect([filled[0], filled[10], filled[289]]).toEqual([0, 5, 9])
  })

  it('smooths over the past only', () => {
    expect([...trailingMean(Float64Array.of(3, 6, 9, 0), 3)]).toEqual([3, 4.5, 6, 5])
  })

  it('counts ties as far as the promise needs them', () => {
    expect(inProportion(0.9, 0, 0.97)).toBe(0.9)
    expect(inProportion(0.9, 0.2, 0.3)).toBe(0.5)
    expect(inProportion(0.9, 0.95, 0.01)).toBe(0.95)
  })
})
