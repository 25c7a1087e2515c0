// Goal: latencies and sizes of any number of requests fit a few counters that say what they should.
// Method: values whose quantiles are known, the ends of the range, and histograms used again.
import { describe, expect, it } from 'vitest'
import { KiB, MiB } from '../../protocols/limits.ts'
import {
  LATENCY_ERROR,
  LatencyHistogram,
  SIZE_BUCKETS,
  SizeHistogram
} from '../../protocols/load/histogram.ts'

function filled(values: Iterable<number>): LatencyHistogram {
  const histogram = new LatencyHistogram()
  for (const value of values) histogram.record(value)
  return histogram
}

describe('the histogram of latencies', () => {
  it('is empty at first and says 0', () => {
    const histogram = new LatencyHistogram()
    expect([histogram.count, histogram.quantile(0.5), histogram.quantile(1)]).toEqual([0, 0, 0])
    histogram.clear()
    histogram.add(new LatencyHistogram())
    expect(histogram.count).toBe(0)
  })

  it('is exact below 32 microseconds, and cuts fractions off', () => {
    for (let us = 0; us < 32; us++) {
      expect(filled([us]).quantile(0.5)).toBe(us)
      expect(filled([us + 0.9]).quantile(0.5)).toBe(us)
    }
  })

  it('finds the median and the 99th percentile among a hundred', () => {
    const histogram = filled(Array.from({ length: 100 }, (_, i) => (i + 1) * 100))
    expect(histogram.count).toBe(100)
    expect(Math.abs(histogram.quantile(0.5) / 5_000 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(Math.abs(histogram.quantile(0.99) / 9_900 - 1)).toBeLessThan(LATENCY_ERROR)
    expect(histogram.quantile(0)).toBe(histogram.quantile(0.01))
  })

  it('counts what is beyond its range as the longest it knows, above two minutes', () => {
    const longest = filled([2 ** 27 - 1]).quantile(1)
    expect(longest).toBeGreaterThan(120e6)
    for (const us of [2 ** 27, 2 ** 32, 2 ** 40, Number.POSITIVE_INFINITY]) {
      expect(filled([1, us]).quantile(1)).toBe(longest)
    }
  })

  it('adds another one, and is as new after it was cleared', () => {
    const low = filled([5, 5, 5])
    const high = filled([1_000_000])
    low.add(high)
    expect([low.count, low.quantile(0.75), high.count]).toEqual([4, 5, 1])
    expect(low.quantile(1)).toBe(high.quantile(1))
    low.clear()
    expect([low.count, low.quantile(0.5)]).toEqual([0, 0])
    low.record(7)
    expect([low.quantile(0), low.quantile(1)]).toEqual([7, 7])
  })
})

describe('the histogram of sizes', () => {
  it('counts every size up to the end of its bucket, reads and writes apart', () => {
    const histogram = new SizeHistogram()
    for (const end of SIZE_BUCKETS) histogram.record(false, end)
    for (const size of [4, 8, 12, 16, 20].map(kib => kib * KiB)) histogram.record(true, size)
    const { reads, writes } = histogram.counts()
    expect(reads).toEqual(SIZE_BUCKETS.map(() => 1))
    expect(writes).toEqual([1, 1, 2, 1, 0, 0, 0, 0, 0])
    expect(SIZE_BUCKETS.at(-1)).toBe(MiB)
  })

  it('counts all that is longer than a mebibyte with the longest', () => {
    const histogram = new SizeHistogram()
    for (const size of [MiB, MiB + 4 * KiB, 4 * MiB, 1024 * MiB]) histogram.record(true, size)
    expect(histogram.counts().writes.at(-1)).toBe(4)
  })
})
