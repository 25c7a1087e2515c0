// Goal: the heat of a chunk says what it is asked, takes a bounded place, knows the hours of its
// day, and goes along when the chunk goes.
// Method: the meter alone, with times passed in; a shard server where chunks are really asked.
import { describe, expect, it } from 'vitest'
import {
  HEAT_CHUNKS,
  HEAT_EVICTED_FRACTION,
  HEAT_HALF_LIFE_MS,
  HEAT_PROFILE_CHUNKS,
  HEAT_PROFILES_PER_MINUTE
} from '../../node/limits.ts'
import { chunkNumber } from '../../node/shard/chunk-number.ts'
import { HeatMeter } from '../../node/shard/heat.ts'
import type { ChunkKey } from '../../protocols/ids.ts'
import { BLOCK_BYTES, KiB, PROFILE_DAYS } from '../../protocols/limits.ts'
import { heatStateSchema } from '../../protocols/load/heat.ts'
import { Op, Status } from '../../protocols/shard-io/messages.ts'
import { HandClock, harness, spec, volumeId } from '../support/shard-harness.ts'

const V = volumeId(1)
const SPEC = spec(V)
const MINUTE_MS = 60_000
const DAY_MINUTES = 1440

const at = (extent: number): ChunkKey => ({
  volume: V,
  extent,
  generation: 1,
  column: 0,
  replica: 0
})

/** A meter of one shard, and a minute after the other in which chunks are asked. */
class Day {
  readonly meter = new HeatMeter(0)
  readonly map = this.meter.add()
  minute: number
  nowMs = 0

  constructor(minute = 0) {
    this.minute = minute
  }

  /** `loads`: requests of every chunk in each second of these minutes. */
  pass(minutes: number, loads: ReadonlyArray<readonly [extent: number, perSecond: number]>): void {
    for (let i = 0; i < minutes; i++) {
      for (let ms = 0; ms < MINUTE_MS; ms += 5_000) {
        for (const [extent, perSecond] of loads) this.ask(extent, 5 * perSecond, ms)
      }
      this.nowMs += MINUTE_MS
      this.meter.minute(this.minute, this.nowMs)
      this.minute += 1
    }
  }

  ask(extent: number, times = 1, afterMs = 0): void {
    for (let i = 0; i < times; i++) {
      this.meter.touch(this.map, chunkNumber(at(extent)), false, 0, this.nowMs + afterMs)
    }
  }

  hottest(limit = 100) {
    return this.meter.hottest(this.map, SPEC, () => true, limit, this.nowMs)
  }

  share(extent: number) {
    return this.meter.shareOf(this.map, at(extent), this.nowMs)
  }
}

describe('the heat of a chunk', () => {
  it('tells reads from writes, requests from bytes, and what they weigh', () => {
    const day = new Day()
    const end = 10 * HEAT_HALF_LIFE_MS
    for (day.nowMs = 0; day.nowMs < end; day.nowMs += 1000) {
      const number = chunkNumber(at(3))
      for (let i = 0; i < 8; i++) day.meter.touch(day.map, number, false, 64 * KiB, day.nowMs)
      for (let i = 0; i < 4; i++) day.meter.touch(day.map, number, true, 32 * KiB, day.nowMs)
    }
    const [heat] = day.hottest()
    expect(heat?.chunk).toEqual(at(3))
    expect(heat?.reads).toBeCloseTo(8, 1)
    expect(heat?.writes).toBeCloseTo(4, 1)
    expect((heat?.readBytes ?? 0) / (512 * KiB)).toBeCloseTo(1, 2)
    expect((heat?.writtenBytes ?? 0) / (128 * KiB)).toBeCloseTo(1, 2)
    expect(heat?.perSecond).toBeCloseTo(12, 1)
    expect(heat?.load).toBeCloseTo(12 + 16 + 4, 0)
  })

  it('halves in five minutes without a request', () => {
    const day = new Day()
    day.pass(60, [[0, 4]])
    const before = day.hottest()[0]?.load ?? 0
    day.nowMs += HEAT_HALF_LIFE_MS
    expect((day.hottest()[0]?.load ?? 0) / before).toBeCloseTo(0.5, 2)
  })

  it('stays within its bound over all shards, and the cold ones go', () => {
    const meter = new HeatMeter(0)
    const maps = [meter.add(), meter.add(), meter.add()]
    const [hot] = maps
    if (hot === undefined) throw new Error('three maps')
    for (let extent = 0; extent < 1000; extent++) {
      for (let i = 0; i < 20; i++) meter.touch(hot, chunkNumber(at(extent)), true, 4096, 0)
    }
    let most = 0
    for (let extent = 1000; extent < 3 * HEAT_CHUNKS; extent++) {
      const map = maps[extent % 3] ?? hot
      meter.touch(map, chunkNumber(at(extent)), false, 4096, 0)
      most = Math.max(most, meter.count)
    }
    expect(most).toBe(HEAT_CHUNKS)
    const held = maps.reduce((sum, map) => sum + map.slots.size, 0)
    expect(meter.count).toBe(held)
    expect(held).toBeGreaterThan(HEAT_CHUNKS * (1 - HEAT_EVICTED_FRACTION) - 1)
    expect(new Set(maps.flatMap(map => [...map.slots.values()])).size).toBe(held)
    const hottest = meter.hottest(hot, SPEC, () => true, 1000, 0)
    expect(hottest.every(({ chunk }) => chunk.extent < 1000)).toBe(true)
    for (const map of maps) meter.remove(map)
    expect(meter.count).toBe(0)
  })
})

describe('the profile of a day', () => {
  it('is the mean load of each hour, over days', () => {
    const day = new Day()
    for (let turn = 0; turn < 3; turn++) {
      day.pass(120, [[1, 1]])
      day.pass(60, [[1, 10 + turn]])
      day.pass(DAY_MINUTES - 180, [[1, 1]])
    }
    const profile = day.meter.profileOf(day.map, at(1))
    expect([profile?.days[2], profile?.days[12]]).toEqual([3, 3])
    expect((profile?.loads[2] ?? 0) / 11).toBeCloseTo(1, 1)
    expect(profile?.loads[12]).toBeCloseTo(1, 1)
  })

  it('says of each hour which part of the shard a chunk is, of all of them at once too', () => {
    const day = new Day()
    for (let turn = 0; turn < 2; turn++) {
      day.pass(120, [
        [1, 6],
        [2, 2]
      ])
      day.pass(DAY_MINUTES - 120, [
        [1, 1],
        [2, 3]
      ])
    }
    const shares = (hour: number) => day.meter.shares(day.map, SPEC, hour, day.nowMs)
    expect(shares(1).map(({ chunk }) => chunk.extent)).toEqual([1, 2])
    expect(shares(5).map(({ chunk }) => chunk.extent)).toEqual([2, 1])
    expect(shares(1)[0]?.share).toBeCloseTo(0.75, 1)
    for (const hour of [0, 1, 5, 23]) {
      for (const { chunk, share } of shares(hour)) {
        expect(share).toBe(day.share(chunk.extent).byHour?.[hour])
      }
    }
  })

  it('follows a change within about a week, and forgets what was before', () => {
    const day = new Day()
    day.pass(3 * DAY_MINUTES, [[1, 8]])
    day.pass(14 * DAY_MINUTES, [[1, 2]])
    const profile = day.meter.profileOf(day.map, at(1))
    expect(Math.max(...(profile?.days ?? []))).toBe(PROFILE_DAYS)
    expect(profile?.loads[5]).toBeGreaterThan(2)
    expect(profile?.loads[5]).toBeLessThan(3)
  })

  it('is right also for a wall clock before 1970, that jumps, and for hours seen in part', () => {
    const day = new Day(-25 * 60)
    day.pass(61, [[1, 5]])
    expect(day.meter.profileOf(day.map, at(1))?.days[23]).toBe(1)
    day.minute += 600
    day.pass(10, [[1, 5]])
    day.minute -= 10_000
    day.pass(1, [[1, 5]])
    const days = day.meter.profileOf(day.map, at(1))?.days ?? []
    expect(days.filter(count => count > 0).length).toBe(1)
  })

  it('does not count a gap in which nobody looked', () => {
    const day = new Day()
    day.pass(30, [[1, 6]])
    day.nowMs += 3 * 3_600_000
    day.pass(31, [[1, 6]])
    day.pass(1, [])
    const load = day.meter.profileOf(day.map, at(1))?.loads[0] ?? 0
    expect(load).toBeGreaterThan(5.5)
    expect(load).toBeLessThan(6.5)
  })

  it('is kept of a bounded number of chunks, of the hottest by now or by their day', () => {
    const day = new Day()
    const many = 2 * HEAT_PROFILE_CHUNKS
    for (let turn = 0; turn < 2 + (2 * many) / HEAT_PROFILES_PER_MINUTE; turn++) {
      for (let extent = 0; extent < many; extent++) day.ask(extent, extent < 10 ? 5 : 1)
      day.pass(1, [])
      expect(day.meter.profiles).toBeLessThanOrEqual(HEAT_PROFILE_CHUNKS)
    }
    expect(day.meter.profiles).toBe(HEAT_PROFILE_CHUNKS)
    // A hot chunk takes the place of a cold one.
    day.pass(10, [[many + 5, 50]])
    expect(day.meter.profileOf(day.map, at(many + 5))).toBeDefined()
    expect(day.meter.profileOf(day.map, at(0))).toBeDefined()
    expect(day.meter.profiles).toBe(HEAT_PROFILE_CHUNKS)
    day.meter.remove(day.map)
    expect(day.meter.profiles).toBe(0)
  })
})

describe('the part of a chunk', () => {
  it('is what it is asked now, and what it was asked at each hour', () => {
    const day = new Day()
    expect(day.share(0)).toEqual({ now: 0, byHour: undefined })
    for (let turn = 0; turn < 2; turn++) {
      day.pass(DAY_MINUTES / 2, [
        [0, 9],
        [1, 1]
      ])
      day.pass(DAY_MINUTES / 2, [
        [0, 2],
        [1, 6]
      ])
    }
    expect(day.share(0).now).toBeCloseTo(0.25, 2)
    expect(day.share(0).byHour?.[3]).toBeCloseTo(0.9, 2)
    expect(day.share(0).byHour?.[20]).toBeCloseTo(0.25, 2)
    expect(day.share(1).byHour?.[3]).toBeCloseTo(0.1, 2)
    expect(day.share(7)).toMatchObject({ now: 0 })
  })

  it('travels with it, off one shard and onto another', () => {
    const source = new Day()
    const target = new Day()
    const loads = [
      [0, 6],
      [1, 3]
    ] as const
    source.pass(DAY_MINUTES, loads)
    target.pass(DAY_MINUTES, [[5, 2]])
    const before = source.hottest()
    const state = source.meter.take(source.map, at(0), source.nowMs)
    expect(heatStateSchema.safeParse(JSON.parse(JSON.stringify(state))).success).toBe(true)
    expect(source.meter.take(source.map, at(0), source.nowMs)).toBeUndefined()
    expect(source.hottest().map(({ chunk }) => chunk)).toEqual([at(1)])
    expect(source.share(1).byHour?.[4]).toBeCloseTo(1, 2)
    if (state === undefined) throw new Error('a hot chunk has a state')
    target.meter.give(target.map, at(0), state, target.nowMs)
    const [given] = target.hottest()
    expect(given?.chunk).toEqual(at(0))
    expect((given?.load ?? 0) / (before[0]?.load ?? 1)).toBeCloseTo(1, 6)
    expect(target.meter.profileOf(target.map, at(0))).toEqual(state.profile)
    expect(target.share(0).byHour?.[4]).toBeCloseTo(0.75, 2)
    // What it brought is no load that came in this hour.
    target.pass(DAY_MINUTES, [...loads.slice(0, 1), [5, 2]])
    expect(target.share(0).byHour?.[0]).toBeCloseTo(0.75, 1)
    expect(target.map.day?.loads[0]).toBeLessThan(8.1)
  })

  it('arrives at a young node as the rate it was', () => {
    const source = new Day()
    source.pass(120, [[0, 7]])
    const state = source.meter.take(source.map, at(0), source.nowMs)
    const target = new Day()
    target.nowMs = 3_000
    if (state !== undefined) target.meter.give(target.map, at(0), state, target.nowMs)
    expect(target.hottest()[0]?.reads).toBeCloseTo(7, 0)
    target.nowMs = 0
    target.pass(10, [[0, 7]])
    expect(target.hottest()[0]?.reads).toBeCloseTo(7, 0)
  })

  it('is refused if it is no heat, and adopted by a shard that is there', async () => {
    const mesh = harness({ clock: new HandClock() })
    await mesh.attach(V)
    const client = mesh.connectLocal(V)
    expect((await client.hello(1)).status).toBe(Status.ok)
    for (let i = 0; i < 5; i++) {
      await client.ask({ op: Op.read, chunk: at(1), lengthBytes: 2 * BLOCK_BYTES })
    }
    const { replicas } = mesh.server
    expect(replicas.shareOf(at(1)).now).toBe(1)
    const state = replicas.takeHeat(at(1))
    expect(state?.readBytes).toBe(2 * BLOCK_BYTES * (state?.reads ?? 0))
    expect(replicas.hottest(V, 5)).toEqual([])
    const loads = Array.from({ length: 24 }, () => 1)
    const days = Array.from({ length: 24 }, () => 1)
    for (const bad of [
      undefined,
      'hot',
      { ...state, reads: -1 },
      { ...state, writes: Number.NaN },
      { ...state, readBytes: Number.POSITIVE_INFINITY },
      { ...state, writtenBytes: 1e300 },
      { ...state, more: 1 },
      { ...state, profile: { loads: loads.slice(1), days } },
      { ...state, profile: { loads, days: days.map(() => PROFILE_DAYS + 1) } },
      { ...state, profile: { loads: loads.map(() => -1), days } }
    ]) {
      expect(replicas.giveHeat(at(2), bad)).toBe(false)
    }
    expect(replicas.giveHeat({ ...at(2), volume: volumeId(9) }, state)).toBe(false)
    expect(replicas.hottest(V, 5)).toEqual([])
    expect(replicas.giveHeat(at(2), { ...state, profile: { loads, days } })).toBe(true)
    expect(replicas.hottest(V, 5)[0]?.chunk).toEqual(at(2))
    expect(replicas.profileOf(at(2))?.loads).toEqual(loads)
  })
})
