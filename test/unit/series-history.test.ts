// Goal: history moves with the data: what is taken off one series is what another is given, once,
//   whatever is repeated; and history of an earlier life fills gaps and nothing else.
// Method: series on files in memory, made load, and sums before and after.
import { deflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packPiece, unpackPiece } from '../../node/load/piece-codec.ts'
import type { Series } from '../../node/load/series.ts'
import type { ImportRow } from '../../node/load/series-edit.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { CODE_ERROR, fromCode, toCode } from '../../protocols/load/float-code.ts'
import {
  decodePiece,
  emptyRun,
  encodePiece,
  type HistoryPiece,
  PieceState,
  setInRun
} from '../../protocols/load/history.ts'
import {
  HOUR_SLOTS,
  MAX_MARKS,
  MAX_PIECE_BYTES,
  MINUTE_SLOTS,
  MINUTES_KEPT
} from '../../protocols/load/limits.ts'
import { IDLE, loadOf } from '../../protocols/load/record.ts'
import {
  HOUR,
  KEY,
  kept,
  MINUTE_MS,
  openBook,
  type Rig,
  randomRecord,
  recordOf,
  reopened,
  START,
  sumOf
} from '../support/series-rig.ts'

const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)
const MINUTES = 300
const NOW = (START + MINUTES) * MINUTE_MS

function measured(rig: Rig, key = KEY, seed = 1): Series {
  const series = rig.book.open(key, 0)
  const random = new Random(seed)
  for (let i = 0; i < MINUTES; i++) series.minute(START + i, randomRecord(random))
  return series
}

function minutesOf(series: Series): Float64Array {
  return series.load('minute', START - 1000, START + MINUTES + 20)
}

function hoursOf(series: Series): Float64Array {
  return series.load('hour', HOUR - 20, HOUR + 10)
}

function totalsOf(...all: Series[]): number[] {
  return [minutesOf, hoursOf].map(loads => sumOf(all.map(one => sumOf(loads(one)))))
}

describe(`history that moves with the data (SEED=${SEED})`, () => {
  it('is taken off one series and given to another, and none of it is lost', () => {
    const rig = openBook()
    const [source, target] = [measured(rig), measured(rig, 'target', 2)]
    const empty = rig.book.open('empty', 0)
    const before = totalsOf(source, target)
    const piece = source.take({ id: 'aa', share: 0.3 }) as HistoryPiece
    const rest = source.take({ id: 'bb', share: 0.5 }) as HistoryPiece
    expect(target.give(piece, NOW)).toBe(true)
    expect(empty.give(rest, NOW)).toBe(true)
    totalsOf(source, target, empty).forEach((total, i) => {
      expect(Math.abs(total / (before[i] ?? 0) - 1)).toBeLessThan(1e-6)
    })
    const [minutes = Number.NaN] = totalsOf(source)
    expect(minutes / sumOf(minutesOf(measured(openBook())))).toBeCloseTo(0.7 * 0.5, 3)
  })

  it('does it once for every id, also after a restart', () => {
    const rig = openBook()
    const source = measured(rig)
    const target = rig.book.open('target', 0)
    const piece = source.take({ id: 'aa', share: 0.3 }) as HistoryPiece
    target.give(piece, NOW)
    const [after, given] = [minutesOf(source), minutesOf(target)]
    const again = reopened(rig).book
    for (const [one, other] of [
      [source, target],
      [again.get(KEY) as Series, again.get('target') as Series]
    ] as const) {
      expect(one.take({ id: 'aa', share: 0.3 })).toBeUndefined()
      expect(one.subtract(piece)).toBe(false)
      expect(other.give(piece, NOW)).toBe(false)
      expect(minutesOf(one)).toEqual(after)
      expect(minutesOf(other)).toEqual(given)
    }
    expect(source.give(piece, NOW)).toBe(true)
    expect(sumOf(minutesOf(source))).toBeCloseTo(sumOf(minutesOf(measured(openBook()))), 0)
  })

  it('remembers so many ids, the newest', () => {
    const series = openBook().book.open(KEY, 0)
    series.minute(START, recordOf(1))
    const empty = (i: number): HistoryPiece => ({
      id: `id-${i}`,
      minutes: emptyRun(0, 0),
      hours: emptyRun(0, 0)
    })
    for (let i = 0; i <= MAX_MARKS; i++) expect(series.subtract(empty(i))).toBe(true)
    expect(series.subtract(empty(1))).toBe(false)
    expect(series.subtract(empty(MAX_MARKS))).toBe(false)
    expect(series.subtract(empty(0))).toBe(true)
  })

  it('follows the share of every hour of the day, evenly from the middle of one to the next', () => {
    const rig = openBook()
    const source = measured(rig)
    const before = minutesOf(source)
    const byHour = new Float64Array(24).fill(Number.NaN)
    byHour[HOUR % 24] = 1
    byHour[(HOUR + 1) % 24] = 0
    source.take({ id: 'aa', share: 0.25, byHour })
    const after = minutesOf(source)
    for (let i = 1000; i < 1000 + MINUTES; i++) {
      // Middles of hours, from half an hour before the first: 0.25 is not known better.
      const shares = [0.25, 1, 0, 0.25, 0.25]
      const middles = (i - 1000 + 30) / 60
      const at = Math.min(3, Math.floor(middles))
      const part = middles - at
      const left = 1 - ((1 - part) * (shares[at] ?? 0.25) + part * (shares[at + 1] ?? 0.25))
      const bound = (before[i] ?? 0) * CODE_ERROR + 1e-6
      expect(Math.abs((after[i] ?? 0) - left * (before[i] ?? 0))).toBeLessThan(bound)
    }
  })

  it('leaves what the node made of the load: latencies stay, the queue shrinks with it', () => {
    const series = openBook().book.open(KEY, 0)
    series.minute(START, recordOf(98, { queue: 4, p50Us: 200, p99Us: 900, sequential: 0.5 }))
    series.take({ id: 'aa', share: 0.75 })
    const { queue, p50Us, p99Us, sequential, reads } = series.read('minute', START, START + 1)
    expect([p50Us[0], p99Us[0], reads[0]]).toEqual([200, 900, 24.5])
    expect(sequential[0]).toBeCloseTo(0.5, 4)
    expect(queue[0]).toBeCloseTo(1, 3)
  })

  it('begins the life of a new shard, which then adds what it measures itself', () => {
    const rig = openBook()
    const source = measured(rig)
    const target = rig.book.open('target', 0)
    target.give(source.take({ id: 'aa', share: 1 }) as HistoryPiece, NOW)
    expect(target.bounds('minute')).toEqual({ oldest: START, newest: START + MINUTES - 1 })
    const given = minutesOf(target)
    expect(target.minute(START + MINUTES - 1, recordOf(1000))).toBe(true)
    expect(target.minute(START + MINUTES - 1, recordOf(1000))).toBe(false)
    target.minute(START + MINUTES, recordOf(5))
    for (const one of [target, reopened(rig).book.get('target') as Series]) {
      const loads = minutesOf(one)
      expect(loads.subarray(0, 999 + MINUTES)).toEqual(given.subarray(0, 999 + MINUTES))
      const both = (given[999 + MINUTES] ?? 0) + loadOf(kept(recordOf(1000)))
      expect(loads[999 + MINUTES]).toBeCloseTo(both, 0)
      expect(loads[1000 + MINUTES]).toBe(loadOf(kept(recordOf(5))))
    }
    expect(sumOf(minutesOf(source))).toBeLessThan(1e-3 * sumOf(given))
  })

  it('becomes hours where it comes too late for minutes, and is no prophecy', () => {
    const rig = openBook()
    const piece = measured(rig).cut({ id: 'aa', share: 1 })
    const late = rig.book.open('late', 0)
    late.give(piece, NOW + 15 * 1440 * MINUTE_MS)
    expect(late.read('hour', HOUR - 1, HOUR + 9).slots.length).toBe(5)
    const early = rig.book.open('early', 0)
    early.give(piece, (START + 100) * MINUTE_MS)
    expect(early.bounds('minute')?.newest).toBe(START + 110)
  })

  it('moves hours that have no minutes any more', () => {
    const rig = openBook()
    const source = rig.book.open(KEY, 0)
    const row = (slot: number): ImportRow => ({ resolution: 'hour', slot, record: recordOf(64) })
    source.import(
      Array.from({ length: 1000 }, (_, i) => row(HOUR - 1 - i)),
      NOW
    )
    source.minute(START + MINUTES, recordOf(1))
    const target = rig.book.open('target', 0)
    target.give(source.take({ id: 'aa', share: 0.25 }) as HistoryPiece, NOW + MINUTE_MS)
    expect(source.read('hour', HOUR - 1000, HOUR).reads.every(reads => reads === 48)).toBe(true)
    const { reads } = target.read('hour', HOUR - 1000, HOUR)
    expect(reads.length).toBe(1000)
    expect(reads.every(value => value === 16)).toBe(true)
  })
})

describe('history of an earlier life', () => {
  it('fills gaps, and no slot that is known, in the future or absurd', () => {
    const rig = openBook()
    const series = measured(rig)
    const before = minutesOf(series)
    const rows: ImportRow[] = []
    for (let i = -100; i < MINUTES + 50; i++) {
      rows.push({ resolution: 'minute', slot: START + i, record: recordOf(9) })
    }
    const absurd = [
      { resolution: 'minute', slot: START - 200.5, record: IDLE },
      { resolution: 'minute', slot: START - 200, record: recordOf(-1) },
      { resolution: 'minute', slot: START - 201, record: recordOf(Number.NaN) },
      { resolution: 'hour', slot: HOUR - 5, record: recordOf(1e20) },
      { resolution: 'hour', slot: HOUR + 20, record: IDLE },
      { resolution: 'hour', slot: -3, record: IDLE }
    ] as const
    const nowMs = (START + MINUTES - 1) * MINUTE_MS
    expect(series.import([...rows, ...absurd], nowMs)).toBe(100)
    expect(series.import(rows, nowMs)).toBe(0)
    const after = minutesOf(series)
    expect(after.subarray(1000)).toEqual(before.subarray(1000))
    expect(after.subarray(900, 1000).every(load => load === loadOf(kept(recordOf(9))))).toBe(true)
    expect(series.read('hour', HOUR - 9, HOUR).slots.length).toBe(2)
  })

  it('older than 14 days is told in hours, and survives a restart', () => {
    const rig = openBook()
    const rows: ImportRow[] = []
    for (let i = 0; i < 40 * 1440; i++) {
      rows.push({
        resolution: 'minute',
        slot: START - 1 - i,
        record: recordOf(i % 2 === 0 ? 3 : 5)
      })
    }
    rig.book.open(KEY, 0).import(rows, START * MINUTE_MS)
    const series = reopened(rig).book.get(KEY) as Series
    const steps = series.steps(5, (START - 40 * 1440) * MINUTE_MS, START * MINUTE_MS)
    const four = loadOf(recordOf(4))
    expect(steps.length).toBe(40 * 288)
    expect(steps.every(load => Math.abs(load / four - 1) < 0.06)).toBe(true)
    expect(series.read('minute', START - MINUTES_KEPT, START).slots.length).toBe(
      MINUTES_KEPT - 1 + 1
    )
    expect(() => series.import(new Array(200_001).fill(rows[0]), NOW)).toThrow('at a time')
  })
})

describe(`a piece on the wire (SEED=${SEED})`, () => {
  const filled = (minutes: number, hours: number, seed: number): HistoryPiece => {
    const random = new Random(seed)
    const run = (first: number, length: number) => {
      const made = emptyRun(length === 0 ? 0 : first, length)
      for (let i = 0; i < length; i++) {
        if (i > 0 && random.unit() < 0.1) continue
        setInRun(made, i, randomRecord(random), 0.5)
      }
      return made
    }
    return { id: 'ab:12.x-y_z', minutes: run(START, minutes), hours: run(HOUR, hours) }
  }

  it('is read as it was written', () => {
    for (const [minutes, hours] of [
      [0, 0],
      [1, 0],
      [0, 3],
      [17, 5],
      [1000, 800]
    ] as const) {
      const piece = filled(minutes, hours, SEED + minutes)
      expect(decodePiece(encodePiece(piece))).toEqual(piece)
      expect(unpackPiece(packPiece(piece))).toEqual(piece)
    }
  })

  it('is within its bound with every slot active, and rates within 0.1 %', () => {
    const minutes = emptyRun(START, MINUTE_SLOTS)
    const hours = emptyRun(HOUR, HOUR_SLOTS)
    const random = new Random(SEED)
    for (const run of [minutes, hours]) {
      for (let i = 0; i < run.states.length; i++) setInRun(run, i, randomRecord(random), 1)
      run.states.fill(PieceState.active)
      run.codes.forEach((_, i) => {
        run.codes[i] = 1 + random.below(0xffff)
      })
    }
    const piece = { id: 'a'.repeat(63), minutes, hours }
    expect(encodePiece(piece).length).toBeLessThanOrEqual(MAX_PIECE_BYTES)
    expect(packPiece(piece).length).toBeLessThanOrEqual(MAX_PIECE_BYTES)
    fc.assert(
      fc.property(fc.double({ min: 1e-6, max: 4e12, noNaN: true }), value => {
        expect(Math.abs(fromCode(toCode(value)) / value - 1)).toBeLessThanOrEqual(0.001)
        expect(toCode(fromCode(toCode(value)))).toBe(toCode(value))
      }),
      { seed: SEED }
    )
    expect([toCode(0), fromCode(0), toCode(1e300), toCode(1e-300)]).toEqual([0, 0, 0xffff, 0])
  })

  it('is a piece or nothing, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        decodePiece(bytes)
        unpackPiece(bytes)
      }),
      { seed: SEED, numRuns: 1000 }
    )
    const valid = encodePiece(filled(9, 6, 1))
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 5 }), changes => {
        const copy = valid.slice()
        for (const [at, value] of changes) copy[at] = value
        const piece = decodePiece(copy)
        if (piece !== undefined) expect(encodePiece(piece).length).toBe(copy.length)
      }),
      { seed: SEED, numRuns: 2000 }
    )
    for (let end = 0; end < valid.length; end++) {
      expect(decodePiece(valid.subarray(0, end))).toBeUndefined()
    }
    expect(unpackPiece(deflateRawSync(Buffer.alloc(64 * 1024 * 1024)))).toBeUndefined()
  })
})
