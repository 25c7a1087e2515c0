/**
 * `npm run bench -- series [--quick] [--json FILE]`: what it costs to remember the load of 1,000
 * shards that are active every second: CPU per shard and minute, bytes on disk, the time to open
 * them and to read what a forecast reads. Time is simulated, files are real.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Series } from '../../node/load/series.ts'
import { SeriesBook } from '../../node/load/series-book.ts'
import { openSeriesFiles, type SeriesFiles } from '../../node/load/series-files.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { MAX_SERIES_BYTES, MINUTES_KEPT } from '../../protocols/load/limits.ts'
import { IDLE, type LoadRecord } from '../../protocols/load/record.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const SHARDS = 1000
const FIRST_MINUTE = 29_000_040
const YEARS_OF_HOURS = 2 * 365 * 24
/** Bars: of issue 4, and a part of its 50 us per step for this. */
const BARS = { cpuUs: 15, bytes: MAX_SERIES_BYTES, openMs: 1000 } as const

interface Measured {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly bar?: number
}

export async function benchSeries({ quick, seed }: BenchOptions): Promise<BenchResult> {
  const directory = mkdtempSync(join(tmpdir(), 'shoal-series-'))
  try {
    const random = new Random(seed)
    const records = Array.from({ length: 997 }, () => recordOf(random))
    const kept = keep(join(directory, 'many'), records, quick ? 20 : 120)
    const opened = open(join(directory, 'many'))
    const full = fill(join(directory, 'full'), records, quick)
    const rows = [...kept, ...opened, ...full]
    print(rows)
    return {
      rows: rows.map(row => ({ ...row })),
      ratios: Object.fromEntries(
        rows.flatMap(({ what, value, bar }) => (bar === undefined ? [] : [[what, value / bar]]))
      ),
      summary: { shards: SHARDS, holds: rows.every(({ value, bar = value }) => value <= bar) },
      seed,
      versions: await versionsOf([])
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

/** Shards that are active every second, minute by minute. */
function keep(directory: string, records: readonly LoadRecord[], minutes: number): Measured[] {
  const { book, files } = bookIn(directory)
  const series = Array.from({ length: SHARDS }, (_, i) => book.open(keyOf(i), 0))
  const pass = (minute: number, isActive: boolean): void => {
    for (const [i, one] of series.entries()) {
      for (let second = 0; second < 60 && isActive; second++) {
        one.second(minute * 60 + second, records[(i + minute + second) % records.length] ?? IDLE)
      }
      one.minute(minute, isActive ? (records[(i * 7 + minute) % records.length] ?? IDLE) : IDLE)
    }
  }
  pass(FIRST_MINUTE, true)
  const cpuOf = (from: number, isActive: boolean): number => {
    const start = process.cpuUsage()
    for (let minute = from; minute < from + minutes; minute++) pass(minute, isActive)
    const { user, system } = process.cpuUsage(start)
    return (user + system) / (minutes * SHARDS)
  }
  const active = cpuOf(FIRST_MINUTE + 1, true)
  const idle = cpuOf(FIRST_MINUTE + 1 + minutes, false)
  const bytes = book.bytes / SHARDS
  files.close()
  return [
    {
      what: 'CPU per shard and minute, active every second',
      value: active,
      unit: 'us',
      bar: BARS.cpuUs
    },
    { what: 'CPU per shard and minute, idle', value: idle, unit: 'us', bar: BARS.cpuUs },
    { what: `bytes per shard after ${2 * minutes} minutes`, value: bytes / 1000, unit: 'kB' }
  ]
}

function open(directory: string): Measured[] {
  const start = performance.now()
  const { book, files } = bookIn(directory)
  const openMs = performance.now() - start
  const shards = book.keys().length
  files.close()
  return [{ what: `to open ${shards} series`, value: openMs, unit: 'ms', bar: BARS.openMs }]
}

/** One series with everything it can hold, and what reading it costs. */
function fill(directory: string, records: readonly LoadRecord[], quick: boolean): Measured[] {
  const { book, files } = bookIn(directory)
  const series = book.open('full', 0)
  const recordAt = (i: number): LoadRecord => records[i % records.length] ?? IDLE
  const lastHour = FIRST_MINUTE / 60
  const nowMs = FIRST_MINUTE * 60_000
  const hours = Array.from({ length: YEARS_OF_HOURS }, (_, i) => ({
    resolution: 'hour' as const,
    slot: lastHour - 1 - i,
    record: recordAt(i)
  }))
  series.import(hours, nowMs)
  for (let i = 0; i < MINUTES_KEPT + 100; i++) {
    const minute = FIRST_MINUTE + i
    for (let second = 0; second < 60 && i > MINUTES_KEPT; second++) {
      series.second(minute * 60 + second, recordAt(i + second))
    }
    series.minute(minute, recordAt(i * 7))
  }
  const bytes = book.bytes
  const toMs = (FIRST_MINUTE + MINUTES_KEPT + 100) * 60_000
  const times = Array.from({ length: quick ? 5 : 31 }, () =>
    timeOf(() => fresh(files, series).steps(5, toMs - MINUTES_KEPT * 60_000, toMs))
  )
  const piece = timeOf(() => series.take({ id: 'a', share: 0.1 }))
  files.close()
  return [
    { what: 'bytes of a full series', value: bytes / 1000, unit: 'kB', bar: BARS.bytes / 1000 },
    { what: '14 days of minutes as 5-min steps', value: median(times), unit: 'ms' },
    { what: 'a part of the history taken off', value: piece, unit: 'ms' }
  ]
}

function recordOf(random: Random): LoadRecord {
  const reads = Math.exp(4 + random.normal())
  const writes = Math.exp(3 + random.normal())
  return {
    reads,
    writes,
    readBytes: reads * 16_384,
    writtenBytes: writes * 8192,
    sequential: 0.25,
    queue: 1.5,
    p50Us: 180,
    p99Us: 900
  }
}

function bookIn(directory: string): { book: SeriesBook; files: SeriesFiles } {
  const files = openSeriesFiles(directory)
  const onProblem = (problem: string): never => {
    throw new Error(problem)
  }
  return { book: new SeriesBook({ files, onProblem }), files }
}

/** The same file with nothing of it in memory. */
function fresh(files: SeriesFiles, series: Series): Series {
  const head = { key: series.key, created: series.created, foreignTo: 0, marks: [] }
  return new Series(files, `${series.key}.series`, head)
}

function keyOf(i: number): string {
  return i.toString(16).padStart(32, '0')
}

function timeOf(action: () => void): number {
  const start = performance.now()
  action()
  return performance.now() - start
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

function print(rows: readonly Measured[]): void {
  printTable(
    ['', 'value', '', 'bar'],
    rows.map(({ what, value, unit, bar }) => [
      what,
      String(round(value, 2)),
      unit,
      bar === undefined ? '' : `<= ${bar}${value <= bar ? '' : '  MISSED'}`
    ])
  )
}
