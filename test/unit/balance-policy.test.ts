// Goal: a node moves away what an overload needs, when it is due, and nothing else.
// Method: looks at made-up loads to come; the plan is read.
import { expect, test } from 'vitest'
import { MoveHistory } from '../../protocols/balance/history-of-moves.ts'
import { plan } from '../../protocols/balance/policy.ts'
import { DEFAULT_SETTINGS } from '../../protocols/balance/settings.ts'
import type { Used, VolumeBalance } from '../../protocols/balance/types.ts'
import {
  chunkOf,
  chunksOf,
  flat,
  HOUR,
  lookOf,
  MINUTE,
  NOW,
  outlookOf,
  pathOf,
  rising,
  shardOf,
  volumeOf
} from '../support/balance-looks.ts'

const busy = [shardOf(1, rising(300, 700, 1)), shardOf(2, flat(400)), shardOf(3, flat(200))]
const rise = outlookOf(0, rising(900, 1_300, 1))

test('nothing moves while all stays below the threshold', () => {
  const { wants, incurable, looked } = plan(
    lookOf(outlookOf(0, flat(500)), [shardOf(1, flat(500))])
  )
  expect(wants).toEqual([])
  expect(incurable).toEqual([])
  expect(looked).toContain('no load is foretold')
})

test('of a foretold overload the smallest volume that removes it moves, before it begins', () => {
  const { wants } = plan(lookOf(rise, busy))
  expect(wants).toHaveLength(1)
  expect(wants[0]?.volume).toBe(volumeOf(2))
  expect(wants[0]?.reason).toBe('predicted')
  expect(wants[0]?.benefit).toBeGreaterThan(wants[0]?.cost ?? Number.NaN)
  expect(wants[0]?.excess?.highAtMs).toBe(NOW + 5 * MINUTE)
})

test('a crossing that is far off can wait', () => {
  const node = outlookOf(0, rising(800, 1_300, 10))
  const { wants, looked } = plan(lookOf(node, busy))
  expect(wants).toEqual([])
  expect(looked).toContain('time')
})

test('a move that copies for long begins earlier', () => {
  const node = outlookOf(0, rising(800, 1_300, 4))
  const shards = [shardOf(1, rising(300, 800, 4)), shardOf(2, flat(400))]
  const isBegun = (copyBytesPerSecond: number): boolean =>
    plan(lookOf(node, shards, { copyBytesPerSecond })).wants.length > 0
  expect(isBegun(1024 ** 3)).toBe(false)
  expect(isBegun(1024 ** 3 / 900)).toBe(true)
})

test('a move that takes long beside copying begins earlier, and costs no more for it', () => {
  const node = outlookOf(0, rising(800, 1_300, 4))
  const shards = [shardOf(1, rising(300, 800, 4)), shardOf(2, flat(400))]
  const wantsOf = (besideMs?: number) => {
    return plan(lookOf(node, shards, besideMs === undefined ? {} : { besideMs })).wants
  }
  expect(wantsOf()).toEqual([])
  expect(wantsOf(1_000)).toEqual([])
  const [want] = wantsOf(15 * MINUTE)
  expect(want?.copyMs).toBeGreaterThan(15 * MINUTE)
  const [soon] = plan(lookOf(outlookOf(0, rising(800, 1_300, 1)), shards)).wants
  expect(want?.cost).toBe(soon?.cost)
})

test('a move that could wait begins where copying adds least to what is there', () => {
  const shards = [shardOf(1, flat(650)), shardOf(2, flat(50))]
  const isBegun = (...before: number[]): boolean => {
    const path = pathOf([...before, ...new Array<number>(15 - before.length).fill(1_300)])
    const copyBytesPerSecond = 1024 ** 3 / (10 * 60)
    return plan(lookOf(outlookOf(0, path), shards, { copyBytesPerSecond })).wants.length > 0
  }
  expect(isBegun(700, 950, 950, 950)).toBe(true)
  expect(isBegun(950, 700, 700, 950)).toBe(false)
  expect(isBegun(950, 950, 950, 950)).toBe(false)
  expect(isBegun(700, 700, 700, 700)).toBe(false)
})

test('of a hot shard only the few hottest chunks move that are needed', () => {
  const shares = [0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05]
  const shard = shardOf(1, flat(1_200), { chunks: chunksOf(1, shares) })
  const { wants } = plan(lookOf(outlookOf(0, flat(1_200)), [shard]))
  expect(wants[0]?.chunks.map(({ share }) => share)).toEqual([0.4])
  expect(wants[0]?.reason).toBe('reactive')
  expect(wants[0]?.path.expected[0]).toBeCloseTo(480)
})

test('of what was too much for everybody fewer chunks are tried', () => {
  const shard = shardOf(1, flat(1_600), { chunks: chunksOf(1, [0.25, 0.25, 0.25, 0.25]) })
  const count = (most?: number) => {
    const more = most === undefined ? {} : { mostChunks: new Map([[volumeOf(1), most]]) }
    return plan(lookOf(outlookOf(0, flat(1_600)), [shard], more)).wants[0]?.chunks.length
  }
  expect(count()).toBe(2)
  expect(count(1)).toBe(1)
  expect(count(3)).toBe(2)
})

test('one chunk that is hotter than any node is left, and named with what helps', () => {
  const node = outlookOf(0, flat(2_000))
  const hot = shardOf(1, flat(1_990))
  const { incurable } = plan(lookOf(node, [hot], { refused: new Set([volumeOf(1)]) }))
  expect(incurable[0]?.volume).toBe(volumeOf(1))
  expect(incurable[0]?.why).toContain('--max-iops')
})

test('a burst that no forecast saw moves something as well', () => {
  const path = flat(700, 1.05, NOW - 4 * MINUTE)
  const shard = flat(350, 1.05, NOW - 4 * MINUTE)
  const node = outlookOf(0, path, { load: 1_500 })
  const shards = [shardOf(1, shard, { load: 1_150 }), shardOf(2, shard)]
  const { wants } = plan(lookOf(node, shards))
  expect(wants[0]?.reason).toBe('reactive')
  expect(plan(lookOf(outlookOf(0, path), shards)).wants).toEqual([])
})

test('what is paused, used up, refused, switched off, under way or just come does not move', () => {
  const isMoved = (more: Parameters<typeof lookOf>[2], shards = busy): boolean =>
    plan(lookOf(rise, shards, more)).wants.length > 0
  const volumes = [1, 2, 3]
  const past = new MoveHistory()
  past.note({
    is: 'arrived',
    atMs: NOW - 10 * MINUTE,
    chunks: volumes.map(v => chunkOf(v)),
    bytes: 0
  })
  const used = new MoveHistory()
  for (let i = 0; i < 12; i++) used.begin(NOW - HOUR / 2, 1)
  const off = busy.map(shard => ({ ...shard, settings: { isOn: false } }))
  expect(isMoved({})).toBe(true)
  expect(isMoved({ settings: { ...DEFAULT_SETTINGS, isPaused: true } })).toBe(false)
  expect(isMoved({ settings: { ...DEFAULT_SETTINGS, bytesPerHour: 1_000 } })).toBe(false)
  expect(isMoved({ past: used })).toBe(false)
  expect(isMoved({ refused: new Set(volumes.map(volumeOf)) })).toBe(false)
  expect(isMoved({}, off)).toBe(false)
  expect(isMoved({ underWay: volumes.map(v => chunkOf(v)) })).toBe(false)
  expect(isMoved({ past })).toBe(false)
  expect(isMoved({ past, nowMs: NOW + 21 * MINUTE })).toBe(true)
})

test('a shard that a volume bounds moves though its node has room', () => {
  const settings = { isOn: true, thresholdPart: 0.2 }
  const shard = shardOf(1, flat(400), { settings, chunks: chunksOf(1, [0.5, 0.3, 0.2]) })
  const { wants } = plan(lookOf(outlookOf(0, flat(500)), [shard]))
  expect(wants[0]?.excess?.subject).toBe('shard')
  expect(wants[0]?.chunks.length).toBeLessThan(3)
})

test('a volume past its own budget is left, and another is taken', () => {
  const GiB = 1024 ** 3
  const past = new MoveHistory()
  past.begin(NOW - HOUR / 2, GiB, volumeOf(2))
  const taken = (budget: Partial<VolumeBalance>, offered?: Used, nowMs = NOW) => {
    const shards = busy.map(shard => {
      if (shard.volume !== volumeOf(2)) return shard
      return { ...shard, settings: { isOn: true, ...budget }, ...(offered && { offered }) }
    })
    return plan(lookOf(rise, shards, { past, nowMs })).wants[0]?.volume
  }
  expect(taken({})).toBe(volumeOf(2))
  expect(taken({ movesPerHour: 2, bytesPerHour: 2 * GiB })).toBe(volumeOf(2))
  expect(taken({ movesPerHour: 1 })).toBe(volumeOf(1))
  expect(taken({ movesPerHour: 0 })).toBe(volumeOf(1))
  expect(taken({ bytesPerHour: 2 * GiB - 1 })).toBe(volumeOf(1))
  expect(taken({ movesPerHour: 2 }, { moves: 1, bytes: GiB })).toBe(volumeOf(1))
  expect(taken({ movesPerHour: 1 }, undefined, NOW + HOUR / 2)).toBe(volumeOf(2))
})

test('a volume with nothing left of its budget hides no other that is above its threshold', () => {
  const part = { isOn: true, thresholdPart: 0.2 }
  const used = { ...part, movesPerHour: 0 }
  const chunks = (volume: number) => chunksOf(volume, [0.5, 0.3, 0.2])
  const one = shardOf(1, flat(400), { settings: used, chunks: chunks(1) })
  const two = shardOf(2, flat(400), { settings: part, chunks: chunks(2) })
  const node = outlookOf(0, flat(900))
  expect(plan(lookOf(node, [one, two])).wants.map(({ volume }) => volume)).toEqual([volumeOf(2)])
  const { wants, incurable } = plan(lookOf(node, [one]))
  expect(wants).toEqual([])
  expect(incurable[0]?.why).toContain('in this hour is used up')
})

test('chunks come home from afar while nothing threatens, if it is worth it', () => {
  const homesick = shardOf(1, flat(300), { rttMs: 40, homeRttMs: 1 })
  const { wants } = plan(lookOf(outlookOf(0, flat(400)), [homesick]))
  expect(wants[0]?.reason).toBe('home')
  const refusedAtHome = new Set([volumeOf(1)])
  expect(plan(lookOf(outlookOf(0, flat(400)), [homesick], { refusedAtHome })).wants).toEqual([])
  const { wants: away } = plan(
    lookOf(outlookOf(0, flat(1_600)), [shardOf(1, flat(1_600))], { refusedAtHome })
  )
  expect(away[0]?.reason).toBe('reactive')
  const near = shardOf(1, flat(300), { rttMs: 1.2, homeRttMs: 1 })
  expect(plan(lookOf(outlookOf(0, flat(400)), [near])).wants).toEqual([])
  const idle = shardOf(1, flat(0.1), { rttMs: 40, homeRttMs: 1 })
  expect(plan(lookOf(outlookOf(0, flat(400)), [idle])).wants).toEqual([])
})
