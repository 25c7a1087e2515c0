// Goal: by a load clock that runs faster than time a day of load is measured, kept and known as hot
// in minutes, at rates per second of time; by one that does not, nothing changes.
// Method: the scaled clock over a simulated one; the sampler and the monitor on both; a keeper told
// of ticks that stand for several seconds and minutes.
import { describe, expect, it } from 'vitest'
import { HEAT_HALF_LIFE_MS, LOAD_TICK_MS } from '../../node/limits.ts'
import { NODE_KEY } from '../../node/load/keeper-messages.ts'
import { Sampler } from '../../node/load/sampler.ts'
import { packed, unpacked } from '../../node/load/tick-codec.ts'
import { leastDelayMs, rateOf, scaledClock } from '../../node/scaled-clock.ts'
import { HeatMeter } from '../../node/shard/heat.ts'
import { Monitor } from '../../node/shard/monitor.ts'
import { IDLE, loadOf } from '../../protocols/load/record.ts'
import { Op } from '../../protocols/shard-io/messages.ts'
import { DrivenKeeper } from '../support/load-keeper.ts'
import { MicroClock } from '../support/moves-clock.ts'
import { MemorySeriesFiles } from '../support/series-memory-files.ts'
import { spec, volumeId } from '../support/shard-harness.ts'

const V = volumeId(1)
const START_MS = Date.UTC(2026, 2, 2)
const DAY_MS = 86_400_000
/** Full seconds of its own pass between any two ticks of it. */
const RATES = [7, 60, 720, 2880, 20_000]

function fast(rate: number) {
  const time = new MicroClock()
  const scale = { rate, fromMs: time.now(), startMs: START_MS }
  return { time, clock: scaledClock(scale, time) }
}

describe('a load clock', () => {
  it('is time itself unless it is made faster', () => {
    const clock = new MicroClock()
    expect(rateOf(clock)).toBe(1)
    expect(leastDelayMs(clock)).toBe(0)
  })

  it('shows a day in two minutes, and the same to whoever makes it later', async () => {
    const { time, clock } = fast(720)
    expect(clock.now()).toBe(START_MS)
    await time.run(60_000)
    const later = scaledClock({ rate: 720, fromMs: time.now() - 60_000, startMs: START_MS }, time)
    expect(later.now()).toBe(clock.now())
    await time.run(60_000)
    expect(clock.now()).toBe(START_MS + DAY_MS)
    expect(later.now()).toBe(clock.now())
  })

  it('has timers by its own time, but none sooner than a tick', async () => {
    const { time, clock } = fast(720)
    const at: number[] = []
    for (const delayMs of [0, 1000, 3_600_000]) {
      clock.after(delayMs, () => at.push(time.monotonicMs()))
    }
    clock.after(3_600_000, () => at.push(-1)).cancel()
    await time.run(10_000)
    expect(at).toEqual([LOAD_TICK_MS, LOAD_TICK_MS, 5000])
  })
})

describe('the sampler by a load clock', () => {
  it.each(RATES)('at %i tells each second once, and seldom', async rate => {
    const { time, clock } = fast(rate)
    const told: Array<readonly [number, number]> = []
    const sampler = new Sampler(clock, (second, count) => told.push([second, count]))
    sampler.start()
    await time.run(10_000)
    time.stall(700)
    await time.run(3000)
    sampler.stop()
    expect(told.length).toBeLessThan(13_700 / LOAD_TICK_MS + 2)
    expect(told.length).toBeGreaterThan(10)
    const first = told[0]
    let next = first === undefined ? 0 : first[0] - first[1] + 1
    for (const [second, count] of told) {
      expect(second - count + 1).toBe(next)
      next = second + 1
    }
    const leftMs = clock.now() - next * 1000
    expect(leftMs).toBeGreaterThanOrEqual(0)
    expect(leftMs).toBeLessThan(Math.max(2000, 4 * LOAD_TICK_MS * rate))
  })
})

describe('the monitor by a load clock', () => {
  /** A request each 10 ms, and a turn of so many seconds each 100 ms. */
  function turned(counts: readonly number[]) {
    let nowMs = 0
    const monitor = new Monitor(new HeatMeter(0, 720), () => nowMs)
    const heat = new HeatMeter(0, 720)
    const meter = monitor.add(V, 1 << 20, heat.add())
    const chunk = { volume: V, extent: 0, generation: 1, column: 0, replica: 0 }
    const request = { op: Op.read, chunk, offsetBytes: 0, lengthBytes: 32_768 }
    let second = START_MS / 1000 - 1
    return counts.map(count => {
      for (let i = 0; i < 10; i++) {
        nowMs += 10
        meter.began(request, nowMs)
        meter.answered(nowMs, nowMs)
      }
      second += count
      return monitor.turn(second, count)
    })
  }

  it('measures per second of time, and names the minutes that it stands for', () => {
    const ticks = turned([60, 60, 120, 60, 30, 30, 60])
    for (const { second } of ticks) expect(second && loadOf(second.node)).toBeCloseTo(200, 5)
    const first = START_MS / 60_000
    const minutes = ticks.flatMap(({ minute }) => minute ?? [])
    expect(minutes.map(({ minute, minutes: count }) => [minute - first, count])).toEqual([
      [0, 1],
      [1, 1],
      [3, 2],
      [4, 1],
      [5, 1]
    ])
    for (const { node } of minutes) expect(loadOf(node)).toBeCloseTo(200, 5)
  })

  it('turn by turn of a second is as before', () => {
    const ticks = turned(new Array(121).fill(1))
    const minutes = ticks.flatMap(({ minute }) => minute ?? [])
    expect(minutes.map(({ minutes: count }) => count)).toEqual([1, 1])
  })
})

describe('heat by a load clock', () => {
  it('is halved in five of its minutes, and is per second of time', () => {
    const rate = 720
    const meter = new HeatMeter(0, rate)
    const map = meter.add()
    const halfMs = HEAT_HALF_LIFE_MS / rate
    const units = () => meter.hottest(map, spec(V), () => true, 1, now)
    let now = 0
    for (; now < 10 * halfMs; now += 1) meter.touch(map, 0, false, 32_768, now)
    expect(units()[0]?.load).toBeCloseTo(2000, -2)
    const before = units()[0]?.load ?? 0
    now += halfMs
    expect((units()[0]?.load ?? 0) / before).toBeCloseTo(0.5, 2)
  })
})

describe('the keeper by a load clock', () => {
  it('keeps each second and minute that a tick stands for, and foretells as from single ones', () => {
    const settings = { zone: 'UTC', patterns: [], threshold: 'usual' } as const
    const first = START_MS / 60_000
    const loadAt = (minute: number) => 100 + 50 * Math.sin((minute / 1440) * 2 * Math.PI)
    const keepers = [1, 5].map(count => {
      const keeper = new DrivenKeeper(new MemorySeriesFiles(), START_MS)
      keeper.tell({ tell: 'subject', key: NODE_KEY, settings })
      keeper.catchUp()
      for (let minute = first; minute < first + 2 * 1440; minute += count) {
        const load = loadAt(Math.floor(minute / 5) * 5)
        const slot = minute + count - 1
        const records = [{ key: NODE_KEY, record: { ...IDLE, reads: load } }]
        const told = { slot, records, count }
        keeper.tell({ tell: 'tick', second: slot * 60 + 59, seconds: [], minute: told })
      }
      return keeper
    })
    const [single, many] = keepers.map(keeper => keeper.forecasts.get(NODE_KEY))
    expect(single).toBeDefined()
    expect(many).toEqual(single)
    const to = (first + 2 * 1440) * 60
    const seconds = keepers[1]?.ask({
      ask: 'rows',
      key: NODE_KEY,
      step: 'second',
      from: to - 120,
      to
    })
    expect(seconds?.rows.length).toBe(120)
    expect(seconds?.rows.every(({ record }) => record.reads > 90)).toBe(true)
  })

  it('is told over its wire for how long', () => {
    const records = [{ key: NODE_KEY, record: IDLE }]
    const minute = { slot: 5, records, count: 2 }
    const tick = { tell: 'tick', second: 7, seconds: records, count: 120, minute } as const
    expect(unpacked(packed(tick))).toEqual(tick)
  })
})
