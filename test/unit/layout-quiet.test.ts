// Goal: a new volume goes where it will be quiet when it is busy; what nobody foretells counts nothing,
// and no forecast outweighs failure domains or more distance than it says.
// Method: forecasts and wishes by hand; random candidates for what must always hold. SEED= repeats.
import { describe, expect, it } from 'vitest'
import { parsePattern } from '../../protocols/forecast/patterns.ts'
import type { NodeId } from '../../protocols/ids.ts'
import { type Candidate, choosePlacement, reasonsFor } from '../../protocols/layout/placement.ts'
import {
  AHEAD_STEP_MS,
  AHEAD_STEPS,
  type Ahead,
  demandFrom,
  quietMs,
  quietOf
} from '../../protocols/layout/quiet.ts'
import { GiB } from '../../protocols/limits.ts'
import { SeededRandom, seedOfRun } from '../support/process-random.ts'

const SEED = seedOfRun()
/** A midnight in UTC, a Monday. */
const MIDNIGHT = Date.UTC(2026, 0, 5)
const STEPS_PER_HOUR = 3_600_000 / AHEAD_STEP_MS

function pattern(when: string, minutes: number, extra: number) {
  const found = parsePattern(when, minutes, extra)
  if ('problem' in found) throw new Error(found.problem)
  return found
}

/** High from one hour of the day until another. */
function ahead(fromHour: number, toHour: number, high: number, capacity = 1000): Ahead {
  const steps = Array.from({ length: AHEAD_STEPS }, (_, step) => {
    const hour = step / STEPS_PER_HOUR
    return hour >= fromHour && hour < toHour ? high : 50
  })
  return { from: 'outlook', atMs: MIDNIGHT, high: steps, capacity }
}

function demand(...patterns: ReturnType<typeof pattern>[]) {
  return demandFrom({ expectedIops: undefined, patterns, zone: 'UTC' }, MIDNIGHT)
}

function candidate(name: string, more: Partial<Candidate> = {}): Candidate {
  return {
    node: name as NodeId,
    region: `region-${name}`,
    host: name,
    distanceMs: 1,
    iops: 0,
    capacityBytes: 100 * GiB,
    availableBytes: 100 * GiB,
    ...more
  }
}

describe('how quiet a node will be', () => {
  it('counts the hours in which the volume is busy, and no others', () => {
    const nights = demand(pattern('daily 02:00', 120, 400))
    const busyAtNight = quietOf(ahead(1, 3, 700), nights)
    expect(busyAtNight).toEqual({
      from: 'outlook',
      peakPart: 1100 / 800,
      overMinutes: 60,
      busyMinutes: 120
    })
    const busyByDay = quietOf(ahead(8, 18, 990), nights)
    expect(busyByDay).toMatchObject({ peakPart: 450 / 800, overMinutes: 0 })
    expect(quietMs(busyAtNight)).toBe(5 + 20)
    expect(quietMs(busyByDay)).toBeLessThan(2)
  })

  it('counts the whole day where so many requests are expected at any time', () => {
    const steady = demandFrom({ expectedIops: 400, patterns: [], zone: 'UTC' }, MIDNIGHT)
    const quiet = quietOf(ahead(8, 14, 700), steady)
    expect(quiet).toMatchObject({ overMinutes: 360, busyMinutes: 1440, peakPart: 1300 / 800 })
  })

  it('is judged by itself where nothing is expected, and by one hour for all where no more is known', () => {
    expect(demandFrom({ expectedIops: undefined, patterns: [], zone: 'UTC' }, 0)).toBeUndefined()
    const hour: Ahead = { from: 'gossip', atMs: MIDNIGHT, high: [400], capacity: 1000 }
    expect(quietOf(hour, undefined)).toMatchObject({ peakPart: 0.5, overMinutes: 0 })
    const nights = demand(pattern('daily 02:00', 60, 500))
    expect(quietOf(hour, nights)).toMatchObject({ overMinutes: 60, busyMinutes: 60 })
  })

  it('costs nothing where nothing is known, and 45 ms at most', () => {
    expect(quietMs(undefined)).toBe(0)
    const random = new SeededRandom(SEED)
    for (let n = 0; n < 300; n++) {
      const high = Array.from({ length: 1 + random.below(AHEAD_STEPS) }, () => random.below(5000))
      const one: Ahead = { from: 'outlook', atMs: MIDNIGHT, high, capacity: random.below(3000) }
      const loads = demandFrom(
        {
          expectedIops: random.below(2) * random.below(3000),
          patterns: [pattern('daily 2:00', 90, random.below(3000))],
          zone: 'Europe/Berlin'
        },
        MIDNIGHT
      )
      const quiet = quietOf(one, loads)
      expect(quiet.overMinutes).toBeLessThanOrEqual(quiet.busyMinutes)
      expect(quietMs(quiet)).toBeGreaterThanOrEqual(0)
      expect(quietMs(quiet)).toBeLessThanOrEqual(45)
    }
  })
})

describe('a placement with forecasts', () => {
  const nights = demand(pattern('daily 02:00', 120, 400))
  const busy = quietOf(ahead(1, 5, 900), nights)
  const quiet = quietOf(ahead(8, 18, 900), nights)

  it('takes the node that is quiet then, and says whom it passed over', () => {
    const list = [candidate('a', { quiet: busy }), candidate('b', { quiet, distanceMs: 20 })]
    expect(choosePlacement(list, { columns: 1 })).toEqual(['b'])
    const { chosen, passedOver } = reasonsFor(list, ['b' as NodeId], { columns: 1 })
    expect(chosen).toMatchObject([{ node: 'b', distanceMs: 20, quiet }])
    expect(passedOver).toMatchObject([{ node: 'a', quiet: busy }])
  })

  it('prefers nearness to a forecast where that costs more than an overload', () => {
    const list = [candidate('a', { quiet: busy }), candidate('b', { quiet, distanceMs: 80 })]
    expect(choosePlacement(list, { columns: 1 })).toEqual(['a'])
    expect(reasonsFor(list, ['a' as NodeId], { columns: 1 }).passedOver).toEqual([])
  })

  it('does not put two columns on one host for it', () => {
    const list = [
      candidate('a', { host: 'one', region: 'eu', quiet }),
      candidate('b', { host: 'one', region: 'eu', quiet }),
      candidate('c', { host: 'two', region: 'eu', quiet: busy })
    ]
    expect(choosePlacement(list, { columns: 2 })).toEqual(['a', 'c'])
  })

  it('is the same in any order, and never on fewer hosts than without forecasts', () => {
    const random = new SeededRandom(SEED + 1)
    for (let n = 0; n < 100; n++) {
      const list = Array.from({ length: 2 + random.below(8) }, (_, i) =>
        candidate(`n${i}`, {
          region: `r${random.below(3)}`,
          host: `h${random.below(4)}`,
          distanceMs: random.below(60),
          iops: random.below(50_000),
          quiet: random.below(3) === 0 ? undefined : random.pick([busy, quiet])
        })
      )
      const wish = { columns: 1 + random.below(list.length) }
      const chosen = choosePlacement(list, wish)
      expect(new Set(chosen).size).toBe(wish.columns)
      expect(choosePlacement([...list].reverse(), wish)).toEqual(chosen)
      const hosts = (nodes: readonly NodeId[]) =>
        new Set(nodes.map(node => list.find(one => one.node === node)?.host)).size
      const blind = list.map(one => ({ ...one, quiet: undefined }))
      expect(hosts(chosen)).toBeGreaterThanOrEqual(hosts(choosePlacement(blind, wish)))
    }
  })
})
