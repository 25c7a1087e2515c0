/** A book of series on files in memory, records to put in, and what is compared. */
import { SeriesBook } from '../../node/load/series-book.ts'
import type { Columns } from '../../node/load/series-view.ts'
import type { Random } from '../../protocols/forecast/random.ts'
import { fromCode, toCode } from '../../protocols/load/float-code.ts'
import { LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import { MemorySeriesFiles } from './series-memory-files.ts'

/** A full hour, 2025-02-19. */
export const START = 29_000_040
export const HOUR = START / 60
export const MINUTE_MS = 60_000
export const KEY = 'ab'.repeat(16)
export const FILE = `${KEY}.series`

export interface Rig {
  readonly files: MemorySeriesFiles
  readonly book: SeriesBook
  readonly problems: string[]
}

export function openBook(files = new MemorySeriesFiles()): Rig {
  const problems: string[] = []
  const book = new SeriesBook({ files, onProblem: problem => problems.push(problem) })
  return { files, book, problems }
}

/** The same files, as the next start of the process finds them. */
export function reopened({ files }: { files: MemorySeriesFiles }): Rig {
  return openBook(files.image())
}

export function recordOf(reads: number, more: Partial<LoadRecord> = {}): LoadRecord {
  const rest = { writes: 2, readBytes: 4096 * reads, writtenBytes: 8192, sequential: 1, queue: 0.5 }
  return { reads, ...rest, p50Us: 128, p99Us: 1024, ...more }
}

export function randomRecord(random: Random): LoadRecord {
  if (random.unit() < 0.2) return recordOf(0, { writes: 0, writtenBytes: 0, queue: 0 })
  const reads = Math.exp(3 + 2 * random.normal())
  const writes = Math.exp(2 + 2 * random.normal())
  return {
    reads,
    writes,
    readBytes: reads * 16_384,
    writtenBytes: writes * 8192,
    sequential: random.unit(),
    queue: random.unit() * 8,
    p50Us: Math.exp(5 + random.normal()),
    p99Us: Math.exp(7 + random.normal())
  }
}

/** As it is read after it was kept. */
export function kept(record: LoadRecord): LoadRecord {
  return {
    reads: Math.fround(record.reads),
    writes: Math.fround(record.writes),
    readBytes: Math.fround(record.readBytes),
    writtenBytes: Math.fround(record.writtenBytes),
    sequential: Math.round(record.sequential * 0xffff) / 0xffff,
    queue: fromCode(toCode(record.queue)),
    p50Us: fromCode(toCode(record.p50Us)),
    p99Us: fromCode(toCode(record.p99Us))
  }
}

export function rowsOf(columns: Columns): Map<number, LoadRecord> {
  const rows = new Map<number, LoadRecord>()
  for (const [i, slot] of columns.slots.entries()) rows.set(slot, rowAt(columns, i))
  return rows
}

export function rowAt(columns: Columns, i: number): LoadRecord {
  const entries = LOAD_FIELDS.map(field => [field, columns[field][i] ?? Number.NaN])
  return Object.fromEntries(entries) as LoadRecord
}

export function sumOf(loads: Iterable<number>): number {
  let sum = 0
  for (const load of loads) if (!Number.isNaN(load)) sum += load
  return sum
}
