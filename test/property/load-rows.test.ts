// Goal: load that travels or is imported arrives as it was, or is refused; no number that nothing
// can measure gets in, whoever sends it.
// Method: random rows and random bytes through the codecs and schemas of protocols/load.
import { describe, expect, it } from 'vitest'
import { Random } from '../../protocols/forecast/random.ts'
import { loadAnswerSchema, loadRequestSchema } from '../../protocols/load/messages.ts'
import { Minutes } from '../../protocols/load/minutes.ts'
import { IDLE, LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import {
  decodeRows,
  encodeRows,
  isPlausible,
  type LoadRow,
  MAX_FIELD,
  MAX_ROWS,
  ROW_BYTES
} from '../../protocols/load/rows.ts'
import { volumeId } from '../support/shard-harness.ts'

const SEED = Number(process.env.SEED ?? 1)
const MINUTE_MS = 60_000

function recordOf(random: Random): LoadRecord {
  const amount = () =>
    random.below(4) === 0 ? 0 : 2 ** (random.below(44) - 6) * (1 + random.unit())
  const [reads, writes, readBytes, writtenBytes] = [amount(), amount(), amount(), amount()]
  const rest = { queue: amount(), p50Us: amount(), p99Us: amount() }
  return { reads, writes, readBytes, writtenBytes, sequential: random.unit(), ...rest }
}

describe(`rows as bytes (SEED=${SEED})`, () => {
  it('come back within the precision of a 32-bit float', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 50; round++) {
      let slot = random.below(1000)
      const rows = Array.from({ length: random.below(40) }, (): LoadRow => {
        slot += 1 + random.below(1e6)
        return { slot, record: recordOf(random) }
      })
      const found = decodeRows(encodeRows(rows))
      if (typeof found === 'string') throw new Error(found)
      expect(found.map(row => row.slot)).toEqual(rows.map(row => row.slot))
      for (const [i, { record }] of found.entries()) {
        for (const field of LOAD_FIELDS) {
          expect(record[field]).toBe(Math.fround(rows[i]?.record[field] ?? -1))
        }
      }
    }
  })

  it('are refused, without a throw, when they are anything else', () => {
    const random = new Random(SEED)
    let good = 0
    for (let round = 0; round < 3000; round++) {
      const rows = Array.from({ length: 3 }, (_, i) => ({ slot: i + 1, record: recordOf(random) }))
      const bytes = encodeRows(rows)
      for (let flips = random.below(3); flips >= 0; flips--) {
        bytes[random.below(bytes.length)] = random.below(256)
      }
      const found = decodeRows(bytes.subarray(0, bytes.length - (round % 5 === 0 ? 1 : 0)))
      if (typeof found === 'string') continue
      good++
      for (const [i, { slot, record }] of found.entries()) {
        expect(slot).toBeGreaterThan(found[i - 1]?.slot ?? -1)
        for (const field of LOAD_FIELDS) expect(isPlausible(record[field])).toBe(true)
      }
    }
    expect(good).toBeGreaterThan(500)
    expect(good).toBeLessThan(2400)
    expect(decodeRows(new Uint8Array((MAX_ROWS + 1) * ROW_BYTES))).toBe('too many rows')
    const twice = encodeRows([1, 1].map(slot => ({ slot, record: IDLE })))
    expect(decodeRows(twice)).toBe('rows out of order')
  })

  it('never make the others unreadable: what is absurd is cut', () => {
    const rows = [
      { slot: 1, record: { ...IDLE, reads: 1.7e13, writes: 1e300 } },
      { slot: 2, record: { ...IDLE, reads: 5 } }
    ]
    const found = decodeRows(encodeRows(rows))
    expect(found).toMatchObject([{ record: { reads: expect.closeTo(MAX_FIELD, -7) } }, { slot: 2 }])
  })
})

describe(`rows of any step as minutes (SEED=${SEED})`, () => {
  interface Row {
    readonly timeMs: number
    readonly record: LoadRecord
  }

  function minutesOf(rows: readonly Row[]): LoadRow[] {
    const minutes = new Minutes()
    const done = rows.flatMap(({ timeMs, record }) => {
      const some = minutes.push(timeMs, record)
      if (some === undefined) throw new Error('it is later than the row before')
      return some
    })
    return [...done, ...minutes.end()]
  }

  it.each([1000, 20_000, 60_000, 300_000, 3_600_000])('every %d ms add up to the same', stepMs => {
    const random = new Random(SEED)
    const rows = Array.from({ length: 240 }, (_, i): Row => {
      const reads = random.below(1000)
      return { timeMs: 60_000_000 * 1000 + i * stepMs, record: { ...IDLE, reads } }
    })
    const minutes = minutesOf(rows)
    const given = rows.reduce((sum, { record }) => sum + record.reads * stepMs, 0)
    const got = minutes.reduce((sum, { record }) => sum + record.reads * MINUTE_MS, 0)
    expect(got).toBeCloseTo(given, 3)
    expect(minutes).toHaveLength((240 * stepMs) / MINUTE_MS)
  })

  it('at uneven times leave in order, each minute once, and last an hour at most', () => {
    const random = new Random(SEED)
    for (let round = 0; round < 40; round++) {
      let timeMs = random.below(1e9)
      const rows = Array.from({ length: 1 + random.below(60) }, (): Row => {
        timeMs += 1 + random.below([2000, 90_000, 600_000, 9_000_000][random.below(4)] ?? 1)
        return { timeMs, record: { ...IDLE, reads: timeMs } }
      })
      const minutes = minutesOf(rows)
      const known = new Set(rows.map(row => Math.floor(row.timeMs / MINUTE_MS)))
      let before = -1
      let since = 0
      for (const { slot, record } of minutes) {
        expect(slot).toBeGreaterThan(before)
        before = slot
        since = known.has(slot) ? 0 : since + 1
        expect(since).toBeLessThan(60)
        // Of the row that holds: never of one to come.
        expect(record.reads).toBeLessThan((slot + 1) * MINUTE_MS)
        expect(record.reads).toBeGreaterThanOrEqual((slot - since) * MINUTE_MS)
        known.delete(slot)
      }
      expect(known.size).toBe(0)
    }
  })

  it('are refused when they are not later than the one before, which costs nothing', () => {
    const minutes = new Minutes()
    const at = (timeMs: number) => minutes.push(timeMs, { ...IDLE, reads: 6 })
    expect(at(120_000)).toEqual([])
    expect(at(120_000)).toBe(undefined)
    expect(at(5)).toBe(undefined)
    expect(at(240_000)?.map(({ slot }) => slot)).toEqual([2, 3])
    // Two hours of silence say nothing of what was in them.
    expect(at(240_000 + 7_200_000)?.map(({ slot }) => slot)).toEqual([4, 5])
    expect(minutes.end()).toHaveLength(2)
    expect(minutes.end()).toEqual([])
    expect(new Minutes().end()).toEqual([])
  })
})

describe('messages about load', () => {
  const volume = volumeId(1)
  const bad = [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e14, '7', undefined]
  const refused = (schema: typeof loadRequestSchema | typeof loadAnswerSchema, value: unknown) =>
    !schema.safeParse(value).success

  it('hold no number that nothing can measure', () => {
    const measured = { ...IDLE, load: 1 }
    const report = { at: 1, node: measured, shards: [] }
    expect(refused(loadAnswerSchema, { is: 'report', report })).toBe(false)
    for (const value of bad) {
      for (const field of [...LOAD_FIELDS, 'load']) {
        const node = { ...measured, [field]: value }
        expect(refused(loadAnswerSchema, { is: 'report', report: { ...report, node } })).toBe(true)
        const shards = [{ volume, measured: node }]
        const of = { ...report, shards }
        expect(refused(loadAnswerSchema, { is: 'report', report: of })).toBe(true)
      }
    }
    const more = { ...report, node: { ...measured, extra: 1 } }
    expect(refused(loadAnswerSchema, { is: 'report', report: more })).toBe(true)
  })

  it('ask for slots, steps and horizons that exist', () => {
    const rows = { call: 'rows', volume, step: 'minute', from: 0, to: 2 ** 40 }
    expect(refused(loadRequestSchema, rows)).toBe(false)
    for (const from of [...bad.filter(value => value !== 1e14), 0.5, 2 ** 60]) {
      expect(refused(loadRequestSchema, { ...rows, from })).toBe(true)
    }
    const outlook = { call: 'outlook', volume, horizonMinutes: 1440 }
    expect(refused(loadRequestSchema, outlook)).toBe(false)
    for (const horizonMinutes of [...bad, 4, 1441, 60.5]) {
      expect(refused(loadRequestSchema, { ...outlook, horizonMinutes })).toBe(true)
    }
    const history = { call: 'history', steps: 8064 }
    expect(refused(loadRequestSchema, history)).toBe(false)
    for (const steps of [...bad, 0, 8065]) {
      expect(refused(loadRequestSchema, { ...history, steps })).toBe(true)
    }
  })

  it('carry no more bytes than are worked on', () => {
    const rows = { call: 'import', volume, rows: new Uint8Array(MAX_ROWS * ROW_BYTES) }
    expect(refused(loadRequestSchema, rows)).toBe(false)
    const longer = new Uint8Array(MAX_ROWS * ROW_BYTES + 1)
    expect(refused(loadRequestSchema, { ...rows, rows: longer })).toBe(true)
    expect(refused(loadRequestSchema, { ...rows, rows: [1, 2] })).toBe(true)
    const give = { call: 'give', volume, id: '0'.repeat(16), piece: new Uint8Array(9), heat: [] }
    expect(refused(loadRequestSchema, give)).toBe(false)
    expect(refused(loadRequestSchema, { ...give, id: '../../etc' })).toBe(true)
    expect(refused(loadRequestSchema, { ...give, volume: 'node' })).toBe(true)
    expect(refused(loadRequestSchema, { ...give, piece: new Uint8Array(2 ** 20) })).toBe(true)
  })
})
