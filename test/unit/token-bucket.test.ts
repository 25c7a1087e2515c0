// Goal: whatever is taken whenever, a bucket gives no more than burst and rate allow, and gives that.
// Method: random costs at random times; SEED= repeats a run.
import { describe, expect, it } from 'vitest'
import { TokenBucket } from '../../protocols/token-bucket.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()

describe('a bucket', () => {
  it('gives burst and rate, no more and no less, whatever the costs are', () => {
    for (let run = 0; run < 20; run++) {
      const random = new SeededRandom(SEED + run)
      const perSecond = 1 + random.below(5_000)
      const burst = Math.max(1, perSecond / 10)
      const bucket = new TokenBucket(perSecond, 100, 0)
      let nowMs = 0
      let taken = 0
      let greatest = 0
      for (let n = 0; n < 200; n++) {
        const cost = 1 + random.below(random.below(2) === 0 ? 3 : 300)
        greatest = Math.max(greatest, cost)
        const waitMs = bucket.waitMs(cost, nowMs)
        if (waitMs > 0) expect(bucket.take(cost, nowMs)).toBe(false)
        nowMs += waitMs
        expect(bucket.take(cost, nowMs)).toBe(true)
        taken += cost
        expect(taken).toBeLessThanOrEqual(burst + (perSecond * nowMs) / 1000 + greatest + 0.01)
      }
      expect(taken).toBeGreaterThan((perSecond * (nowMs - 500)) / 1000 - burst - greatest)
    }
  })

  it('does not fill while time stands still, or above its burst', () => {
    const bucket = new TokenBucket(100, 100, 0)
    for (let n = 0; n < 10; n++) expect(bucket.take(1, 0)).toBe(true)
    expect(bucket.take(1, 0)).toBe(false)
    for (let n = 0; n < 10; n++) expect(bucket.take(1, 60_000)).toBe(true)
    expect(bucket.take(1, 60_000)).toBe(false)
    expect(bucket.waitMs(1, 60_000)).toBe(10)
  })
})
