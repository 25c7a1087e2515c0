// Goal: a quantile of the histogram is never off by more than it says, whatever was counted.
// Method: random latencies of many scales against the same ones sorted; parts added and cleared.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LATENCY_ERROR, LatencyHistogram } from '../../protocols/load/histogram.ts'
import { seedOfRun } from '../support/process-random.ts'

const seed = seedOfRun()
/** All scales are equally likely: from 1 us to two minutes. */
const latencies = fc.array(
  fc
    .tuple(fc.integer({ min: 0, max: 26 }), fc.double({ min: 1, max: 2, noNaN: true }))
    .map(([power, part]) => Math.floor(2 ** power * part)),
  { minLength: 1, maxLength: 400 }
)
const parts = fc.oneof(fc.constantFrom(0, 0.5, 0.99, 1), fc.double({ min: 0, max: 1, noNaN: true }))

function expectClose(histogram: LatencyHistogram, values: readonly number[], part: number): void {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(part * sorted.length))
  const truth = Math.min(sorted[rank - 1] ?? 0, 2 ** 27 - 1)
  expect(histogram.count).toBe(values.length)
  expect(Math.abs(histogram.quantile(part) - truth)).toBeLessThanOrEqual(truth * LATENCY_ERROR)
}

describe('the histogram of latencies', () => {
  it('is within its error of the quantiles of sorted data', () => {
    fc.assert(
      fc.property(latencies, parts, (values, part) => {
        const histogram = new LatencyHistogram()
        for (const value of values) histogram.record(value)
        expectClose(histogram, values, part)
      }),
      { seed }
    )
  })

  it('says the same of several added together, also after it was used for others', () => {
    fc.assert(
      fc.property(latencies, latencies, latencies, parts, (before, left, right, part) => {
        const sum = new LatencyHistogram()
        for (const value of before) sum.record(value)
        sum.clear()
        const other = new LatencyHistogram()
        for (const value of left) sum.record(value)
        for (const value of right) other.record(value)
        sum.add(other)
        expectClose(sum, [...left, ...right], part)
      }),
      { seed }
    )
  })
})
