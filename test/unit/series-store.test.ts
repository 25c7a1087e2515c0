// Goal: a series gives back what was put in at each resolution, within its bound on disk, and a node
//   with a thousand of them starts at once.
// Method: simulated time on files in memory that count what is read; real files where descriptors
//   and blocks of the medium are what matters.
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { SeriesBook } from '../../node/load/series-book.ts'
import { openSeriesFiles } from '../../node/load/series-files.ts'
import { Random } from '../../protocols/forecast/random.ts'
import {
  HOURS_KEPT,
  LATE_MINUTES,
  MAX_SERIES_BYTES,
  MINUTES_KEPT,
  SECONDS_KEPT
} from '../../protocols/load/limits.ts'
import { IDLE, type LoadRecord, loadOf, overTime } from '../../protocols/load/record.ts'
import { HEAD_BYTES, SERIES_BYTES } from '../../protocols/load/series-file.ts'
import {
  FILE,
  HOUR,
  KEY,
  kept,
  MINUTE_MS,
  openBook,
  randomRecord,
  recordOf,
  reopened,
  rowsOf,
  START,
  sumOf
} from '../support/series-rig.ts'

const directories: string[] = []
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true })
})

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), 'shoal-series-'))
  directories.push(directory)
  return directory
}

function noProblem(problem: string): never {
  throw new Error(problem)
}

describe('a series', () => {
  it('gives back its minutes, and their hours as means, also after a restart', () => {
    const rig = openBook()
    const series = rig.book.open(KEY, 0)
    const random = new Random(3)
    const records = Array.from({ length: 200 }, () => randomRecord(random))
    for (const [i, record] of records.entries()) series.minute(START + i, record)
    const again = reopened(rig).book.get(KEY)
    for (const one of [series, again]) {
      const minutes = rowsOf(one?.read('minute', START - 10, START + 1000) ?? noProblem(''))
      expect([...minutes.keys()]).toEqual(records.map((_, i) => START + i))
      for (const [i, record] of records.entries())
        expect(minutes.get(START + i)).toEqual(kept(record))
      const hours = rowsOf(one?.read('hour', HOUR - 5, HOUR + 9) ?? noProblem(''))
      expect([...hours.keys()]).toEqual([HOUR, HOUR + 1, HOUR + 2, HOUR + 3])
      for (const [i, row] of [...hours.values()].entries()) {
        const part = records.slice(i * 60, i * 60 + 60).map(kept)
        expect(row).toEqual(kept(overTime(part, part.length)))
      }
    }
  })

  it('keeps 15 minutes of seconds: an absent second was idle, an absent minute is a gap', () => {
    const rig = openBook()
    const series = rig.book.open(KEY, 0)
    for (let minute = START; minute < START + 20; minute++) {
      if (minute === START + 12) continue
      for (const second of [3, 4, 59]) series.second(minute * 60 + second, recordOf(second))
      series.minute(minute, recordOf(1))
    }
    series.second((START + 20) * 60 + 2, recordOf(7))
    const from = (START + 20) * 60 - SECONDS_KEPT
    const seconds = rowsOf(series.read('second', from, from + 2 * SECONDS_KEPT))
    expect(seconds.size).toBe(SECONDS_KEPT - 60 + 3)
    expect(seconds.has((START + 12) * 60 + 3)).toBe(false)
    expect(seconds.get((START + 11) * 60 + 5)).toEqual(IDLE)
    expect(seconds.get((START + 11) * 60 + 59)?.reads).toBe(59)
    expect(seconds.get((START + 20) * 60)).toEqual(IDLE)
    expect(seconds.get((START + 20) * 60 + 2)?.reads).toBe(7)
    const after = rowsOf(
      reopened(rig)
        .book.get(KEY)
        ?.read('second', from, from + 2 * SECONDS_KEPT) ?? noProblem('')
    )
    expect(after.size).toBe(SECONDS_KEPT - 60)
  })

  it('takes seconds of the next minute before the last one is complete', () => {
    const series = openBook().book.open(KEY, 0)
    series.second(START * 60 + 59, recordOf(5))
    series.second((START + 1) * 60, recordOf(6))
    expect(series.second((START + 1) * 60, recordOf(9))).toBe(false)
    series.minute(START, recordOf(1))
    series.minute(START + 1, recordOf(1))
    const seconds = rowsOf(series.read('second', START * 60, (START + 2) * 60))
    expect(seconds.size).toBe(120)
    expect(seconds.get(START * 60 + 59)?.reads).toBe(5)
    expect(seconds.get((START + 1) * 60)?.reads).toBe(6)
  })

  it('writes once a minute, and folds seldom', () => {
    const { book, files } = openBook()
    const series = book.open(KEY, 0)
    series.minute(START - 1, recordOf(1))
    const before = files.writes
    for (let i = 0; i < 480; i++) {
      for (let second = 0; second < 60; second++) {
        series.second((START + i) * 60 + second, recordOf(second + 1))
      }
      series.minute(START + i, recordOf(1))
    }
    expect(files.writes - before).toBeLessThanOrEqual(480 + 480 / 16 + 480 / 60 + 2)
  })

  it('answers 5-min steps from minutes, from hours where there are none, and NaN in gaps', () => {
    const { book } = openBook()
    const series = book.open(KEY, 0)
    const old = recordOf(50)
    series.import([{ resolution: 'hour', slot: HOUR - 3, record: old }], START * MINUTE_MS)
    for (const i of [0, 1, 2, 3, 4, 5, 9, 20]) series.minute(START + i, recordOf(i))
    const load = (reads: number): number => loadOf(kept(recordOf(reads)))
    const fromMs = (START - 180) * MINUTE_MS
    const steps = series.steps(5, fromMs + 17, fromMs + 205 * MINUTE_MS)
    expect(steps.length).toBe(41)
    for (let i = 0; i < 12; i++) expect(steps[i]).toBeCloseTo(loadOf(kept(old)), 6)
    for (let i = 12; i < 36; i++) expect(steps[i]).toBeNaN()
    expect(steps[36]).toBeCloseTo(load(2), 6)
    expect(steps[37]).toBeCloseTo(load(7), 6)
    expect([steps[38], steps[39]]).toEqual([Number.NaN, Number.NaN])
    expect(steps[40]).toBeCloseTo(load(20), 6)
    expect(series.bounds('minute')).toEqual({ oldest: START, newest: START + 20 })
    expect(series.bounds('hour')).toEqual({ oldest: HOUR - 3, newest: HOUR })
    expect(book.open('node', 0).bounds('hour')).toBeUndefined()
  })

  it('drops what is late, and writes over once the clock was set back', () => {
    const rig = openBook()
    const series = rig.book.open(KEY, 0)
    for (let i = 0; i < 300; i++) series.minute(START + i, recordOf(i))
    expect(series.minute(START + 299, recordOf(1))).toBe(false)
    expect(series.minute(START + 299 - LATE_MINUTES, recordOf(1))).toBe(false)
    expect(series.second((START + 295) * 60, recordOf(1))).toBe(false)
    expect(series.minute(START + 100, recordOf(7000))).toBe(true)
    for (const one of [series, reopened(rig).book.get(KEY)]) {
      expect(one?.bounds('minute')?.newest).toBe(START + 100)
      expect(one?.load('minute', START + 99, START + 102)[1]).toBe(loadOf(kept(recordOf(7000))))
      expect(one?.load('minute', START + 99, START + 102)[2]).toBeNaN()
    }
    expect(series.minute(START + 300, recordOf(300))).toBe(true)
    const loads = series.load('minute', START, START + 301)
    for (const [i, load] of loads.entries()) {
      expect(load).toBe(loadOf(kept(recordOf(i === 100 ? 7000 : i))))
    }
  })

  it('loses nothing of the past to a clock that was ahead for a while', () => {
    const series = openBook().book.open(KEY, 0)
    for (let i = 0; i < 200; i++) series.minute(START + i, recordOf(i))
    for (let i = 0; i < 40; i++) series.minute(START + 500_000 + i, recordOf(9))
    for (let i = 240; i < 260; i++) series.minute(START + i, recordOf(i))
    const loads = series.load('minute', START, START + 260)
    expect(loads.filter(load => !Number.isNaN(load)).length).toBe(220)
    expect(series.read('hour', HOUR, HOUR + 10).slots.length).toBe(5)
  })

  it('keeps minutes that were written before the clock was set back again and again', () => {
    const rig = openBook()
    const series = rig.book.open(KEY, 0)
    const first = Math.ceil(START / 16) * 16
    for (let i = 0; i < 16; i++) series.minute(first + i, recordOf(i))
    for (let round = 0; round < 3; round++) {
      for (let i = 4; i < 16; i++) expect(series.minute(first + i, recordOf(i))).toBe(true)
    }
    const { reads } =
      reopened(rig)
        .book.get(KEY)
        ?.read('minute', first, first + 16) ?? noProblem('')
    expect([...reads]).toEqual(Array.from({ length: 16 }, (_, i) => i))
  })

  it('refuses records that no measurement gives', () => {
    const series = openBook().book.open(KEY, 0)
    expect(() => series.minute(START, recordOf(-1))).toThrow('not negative')
    expect(() => series.second(START * 60, recordOf(Number.NaN))).toThrow('not negative')
    expect(() => series.minute(0, recordOf(1))).toThrow('1970')
  })

  it('stays within 1.5 MB with all rings full, and still has all that is promised', () => {
    const directory = scratch()
    const files = openSeriesFiles(directory)
    const book = new SeriesBook({ files, onProblem: noProblem })
    const series = book.open(KEY, 0)
    const random = new Random(1)
    const records = Array.from({ length: 50 }, () => randomRecord(random))
    const at = (i: number): LoadRecord => records[i % records.length] ?? IDLE
    expect(series.bytes).toBeLessThan(16_384)
    // Two minutes of every hour of two years, then every minute of more than the ring has.
    const firstHour = HOUR - HOURS_KEPT - 400
    for (let hour = firstHour; hour < HOUR; hour++) {
      series.minute(hour * 60 + 7, at(hour))
      series.minute(hour * 60 + 48, at(hour + 1))
    }
    for (let i = 0; i < MINUTES_KEPT + 500; i++) {
      if (i > MINUTES_KEPT) {
        for (let second = 0; second < 60; second++) {
          series.second((START + i) * 60 + second, at(second))
        }
      }
      series.minute(START + i, at(i))
    }
    expect(SERIES_BYTES).toBeLessThanOrEqual(MAX_SERIES_BYTES)
    expect(files.size(FILE)).toBeLessThanOrEqual(SERIES_BYTES)
    expect(series.bytes).toBeGreaterThan(1_200_000)
    expect(series.bytes).toBeLessThanOrEqual(MAX_SERIES_BYTES)
    const newest = START + MINUTES_KEPT + 500
    const counted = (loads: Float64Array): number => loads.filter(load => load >= 0).length
    expect(counted(series.load('minute', newest - MINUTES_KEPT, newest))).toBe(MINUTES_KEPT)
    const hour = Math.floor(newest / 60)
    expect(counted(series.load('hour', hour - HOURS_KEPT, hour))).toBe(HOURS_KEPT)
    expect(series.read('second', newest * 60 - SECONDS_KEPT, newest * 60).slots.length).toBe(900)
    expect(
      sumOf(series.steps(5, (newest - 30 * 1440) * MINUTE_MS, newest * MINUTE_MS))
    ).toBeGreaterThan(0)
    book.close()
  }, 20_000)
})

describe('a book of series', () => {
  it('opens 1,000 of them by their heads alone', () => {
    const { files, book } = openBook()
    for (let i = 0; i < 1000; i++) book.open(`shard-${i}`, i).minute(START, recordOf(i))
    const image = files.image()
    const again = openBook(image)
    expect(again.book.keys().length).toBe(1000)
    expect(image.readBytes).toBe(1000 * HEAD_BYTES)
    expect(again.book.get('shard-77')?.created).toBe(77)
    expect(again.book.get('shard-77')?.read('minute', START, START + 1).reads[0]).toBe(77)
  })

  it('keeps no more descriptors than its bound, and always writes to the right file', () => {
    const directory = scratch()
    const files = openSeriesFiles(directory, 7)
    const book = new SeriesBook({ files, onProblem: noProblem })
    const open = (): number =>
      readdirSync('/proc/self/fd').filter(fd => linkOf(fd).startsWith(directory)).length
    for (let minute = START; minute < START + 3; minute++) {
      for (let i = 0; i < 40; i++) {
        book.open(`k${i}`, 0).minute(minute, recordOf(i))
        expect(open()).toBeLessThanOrEqual(7)
      }
    }
    book.get('k3')?.take({ id: 'a', share: 0.5 })
    book.get('k3')?.minute(START + 3, recordOf(3))
    for (let i = 0; i < 40; i++) {
      const { reads } = book.get(`k${i}`)?.read('minute', START, START + 9) ?? noProblem('')
      expect([...reads]).toEqual(i === 3 ? [1.5, 1.5, 1.5, 3] : [i, i, i])
    }
    book.close()
    expect(open()).toBe(0)
  })

  it('puts a file with a bad head aside, says so, and begins anew', () => {
    const rig = openBook()
    for (const key of [KEY, 'node']) rig.book.open(key, 5).minute(START, recordOf(1))
    let files = rig.files
    for (const at of [0, 4, 30, 200, 4095]) {
      files = files.image()
      files.flip(FILE, at, 255)
      const { book, problems } = openBook(files)
      expect(problems.length).toBe(1)
      expect(problems[0]).toContain(FILE)
      expect(book.keys()).toEqual(['node'])
      expect(book.open(KEY, 9).bounds('minute')).toBeUndefined()
      expect(book.get('node')?.bounds('minute')?.newest).toBe(START)
    }
    expect(files.list()).toEqual(
      [FILE, `${FILE}.bad-1`, `${FILE}.bad-2`, `${FILE}.bad-3`, 'node.series'].sort()
    )
  })

  it('forgets a shard that is gone, and touches no other file', () => {
    const rig = openBook()
    rig.files.write('other.txt', Uint8Array.of(1), 0)
    const gone = rig.book.open(KEY, 0)
    rig.book.open('node', 0)
    rig.book.remove(KEY)
    rig.book.remove('never-there')
    expect(rig.files.list()).toEqual(['node.series', 'other.txt'])
    expect(() => gone.minute(START, IDLE)).toThrow('closed')
    expect(rig.book.get(KEY)).toBeUndefined()
    expect(rig.book.open(KEY, 0).bounds('minute')).toBeUndefined()
    expect(() => rig.book.open('../node', 0)).toThrow('name of a file')
  })

  it('says what all of it takes on the medium', () => {
    const { book, files } = openBook()
    for (const key of ['a', 'b']) book.open(key, 0).minute(START, recordOf(1))
    expect(book.bytes).toBe(files.allocated('a.series') * 2)
  })
})

function linkOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}
