/** What changes a series as a whole: marks of what was done, and rows of an earlier life. */
import { xxh64 } from '@node-rs/xxhash'
import { ShoalError } from '../../protocols/fault.ts'
import {
  type HistoryPiece,
  type Part,
  type PieceRun,
  PieceState,
  trimmed
} from '../../protocols/load/history.ts'
import { MAX_MARKS, MAX_RATE } from '../../protocols/load/limits.ts'
import { type LoadRecord, overTime } from '../../protocols/load/record.ts'
import { isSound } from '../../protocols/load/record-block.ts'
import { MAX_IMPORT_ROWS } from '../limits.ts'
import type { SeriesImage } from './series-image.ts'

export interface ImportRow {
  readonly resolution: 'minute' | 'hour'
  /** Minutes or hours since 1970. */
  readonly slot: number
  readonly record: LoadRecord
}

/** What is remembered of a piece: that it was taken off, or given. */
export function seriesMark(direction: 'off' | 'on', id: string): bigint {
  return xxh64(`${direction}:${id}`)
}

/** The marks with one more; the oldest goes when there are too many. */
export function remember(marks: readonly bigint[], mark: bigint): bigint[] {
  return [...marks, mark].slice(-MAX_MARKS)
}

/**
 * Fills gaps up to `now`, a minute; returns how many rows found one. Minutes too old for the ring of
 * minutes are told as their hours.
 */
export function importRows(image: SeriesImage, rows: readonly ImportRow[], now: number): number {
  if (rows.length > MAX_IMPORT_ROWS) {
    throw new ShoalError(
      { code: 'LIMIT', limit: 'MAX_IMPORT_ROWS' },
      `history of at most ${MAX_IMPORT_ROWS} rows is imported at a time, and these are ${rows.length}`
    )
  }
  const older = new Map<number, LoadRecord[]>()
  let taken = 0
  for (const { resolution, slot, record } of rows) {
    if (!Number.isSafeInteger(slot) || slot <= 0 || !isBelievable(record)) continue
    if (resolution === 'hour') {
      if (image.fillHour(slot, record, now)) taken++
    } else if (image.isTooOld(slot, now)) {
      const hour = Math.floor(slot / 60)
      older.set(hour, [...(older.get(hour) ?? []), record])
    } else if (image.fillMinute(slot, record, now)) taken++
  }
  for (const [hour, records] of older) {
    if (image.fillHour(hour, overTime(records, records.length), now)) taken += records.length
  }
  return taken
}

/** What the rows fill of the image, which they change. The same rows fill it under the same id. */
export function filledBy(
  image: SeriesImage,
  rows: readonly ImportRow[],
  { key, now }: { readonly key: string; readonly now: number }
): HistoryPiece {
  const whole: Part = { id: '', share: 1 }
  const before = image.cut(whole, now)
  importRows(image, rows, now)
  const after = image.cut(whole, now)
  const minutes = trimmed(without(after.minutes, before.minutes))
  const hours = trimmed(without(after.hours, before.hours))
  const content = [minutes, hours].map(({ first, codes }) => `${first}:${digestOf(codes)}`)
  return { id: `import-${xxh64([key, ...content].join(' ')).toString(16)}`, minutes, hours }
}

function digestOf({ buffer, byteOffset, byteLength }: Uint16Array): string {
  return xxh64(new Uint8Array(buffer, byteOffset, byteLength)).toString(16)
}

/** The run without the slots that the other knows. */
function without(run: PieceRun, other: PieceRun): PieceRun {
  const states = run.states.map((state, i) => {
    const there = other.states[run.first + i - other.first] ?? PieceState.unknown
    return there === PieceState.unknown ? state : PieceState.unknown
  })
  const codes = run.codes.map((code, i) => (states[i >>> 2] === PieceState.active ? code : 0))
  return { first: run.first, states, codes }
}

function isBelievable(record: LoadRecord): boolean {
  return (
    isSound(record) &&
    Math.max(record.reads, record.writes, record.readBytes, record.writtenBytes) <= MAX_RATE
  )
}
