// Goal: a path of load reaches as far as the horizon of its node, out of the newest there is, and the
// keeper is asked for what lies beyond the hour rarely, and by nobody who waits.
// Method: paths by hand; a keeper that the test answers for.
import { describe, expect, it } from 'vitest'
import { Leaving } from '../../node/balance/leaving.ts'
import { LongOutlooks } from '../../node/balance/long-outlooks.ts'
import { aheadOf, hourly, peakMs } from '../../node/balance/outlooks.ts'
import { MAX_LONG_OUTLOOKS_ASKED, MOVED_SETTLES_MS } from '../../node/limits.ts'
import type { LoadPath } from '../../protocols/balance/types.ts'
import { MAX_OFFER_HOURS } from '../../protocols/negotiate/limits.ts'
import { TurnedClock } from '../support/load-clock.ts'
import { quietLog } from '../support/shard-harness.ts'

const STEP_MS = 300_000
const HOUR_MS = 12 * STEP_MS

/** Loads that tell where they come from: `from`, and one more with each step. */
function path(atMs: number, steps: number, from: number): LoadPath {
  const expected = Array.from({ length: steps }, (_, i) => from + i)
  return { atMs, stepMs: STEP_MS, expected, high: expected.map(load => load + 0.5) }
}

describe('a path', () => {
  it('is the standing hour, then what was asked for, up to the horizon; then the day', () => {
    const { path: whole, day } = aheadOf(path(HOUR_MS, 12, 1_000), path(0, 288, 0), 180)
    expect(whole.expected.slice(0, 12)).toEqual(path(0, 12, 1_000).expected)
    expect([whole.expected[12], whole.expected.length]).toEqual([24, 36])
    expect(day?.atMs).toBe(4 * HOUR_MS)
    expect([day?.expected[0], day?.expected.length]).toEqual([48, 240])
    expect(whole.high.length).toBe(36)
  })

  it('is the hour alone if nothing more is known, or what is known ends before', () => {
    expect(aheadOf(path(0, 12, 1), undefined, 180)).toEqual({ path: path(0, 12, 1) })
    expect(aheadOf(path(288 * STEP_MS, 12, 1), path(0, 288, 0), 180).day).toBeUndefined()
  })

  it('is told hour by hour from now on, with what is high at its greatest', () => {
    const told = hourly(path(0, 288, 0), HOUR_MS)
    expect(told).toMatchObject({ atMs: HOUR_MS, stepMs: HOUR_MS })
    expect(told?.expected.slice(0, 2)).toEqual([17.5, 29.5])
    expect(told?.high[0]).toBe(23.5)
    expect(hourly(path(0, 600, 0), 0)?.expected.length).toBe(MAX_OFFER_HOURS)
    expect(hourly(path(0, 12, 0), 2 * HOUR_MS)).toBeUndefined()
    expect(peakMs(path(HOUR_MS, 3, 7))).toBe(HOUR_MS + 2 * STEP_MS)
  })
})

describe('forecasts beyond the hour', () => {
  it('are asked for once an hour and subject, a few at a time, and used when they are there', async () => {
    const clock = new TurnedClock(0)
    const asked: string[] = []
    const load = {
      ask: async (question: { ask: string; subject?: unknown }) => {
        asked.push(JSON.stringify(question.subject))
        const { expected, high } = path(0, 288, 5)
        return { at: 0, stepMs: STEP_MS, path: expected, q90: high }
      }
    }
    const longer = new LongOutlooks(load as never, clock, quietLog)
    expect(longer.path('a', 60)).toBeUndefined()
    expect(asked).toEqual([])
    for (const key of ['a', 'b', 'c']) expect(longer.path(key, 1_440)).toBeUndefined()
    expect(asked.length).toBe(MAX_LONG_OUTLOOKS_ASKED)
    await clock.turn(1)
    expect(longer.path('a', 1_440)).toEqual(path(0, 288, 5))
    await clock.turn(HOUR_MS - 10)
    longer.path('a', 1_440)
    expect(asked.length).toBe(2)
    longer.foretold('a', STEP_MS)
    longer.foretold('a', STEP_MS)
    longer.path('a', 1_440)
    expect(asked.length).toBe(3)
  })
})

describe('a load that has left', () => {
  it('counts as gone until a forecast comes that knows it', async () => {
    const clock = new TurnedClock(0)
    const leaving = new Leaving(clock)
    const ahead = { path: path(0, 12, 1) }
    leaving.add(ahead)
    leaving.foretold()
    expect(leaving.gone()).toEqual([ahead])
    await clock.turn(MOVED_SETTLES_MS)
    expect(leaving.gone()).toEqual([ahead])
    leaving.foretold()
    expect(leaving.gone()).toEqual([])
  })
})
