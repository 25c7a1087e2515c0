/**
 * The load of one shard, or of the node, as it was: seconds, minutes and hours, in one file of fixed
 * bound (docs/format-series.md).
 *
 *   second ─→ memory ─┐
 *   minute ───────────┴→ slot of the recent minutes ─every 16─→ minutes ─every 60─→ hours
 *
 * Invariants: what `minute` returned for is safe against the death of the process; a minute that is
 * not of the group of the last one is in the ring of minutes; every hour but that of the last minute
 * is in the ring of hours; a change by a piece of history happens once and as a whole.
 */
import { assert } from '../../protocols/assert.ts'
import type { HistoryPiece, Part } from '../../protocols/load/history.ts'
import { FOLD_MINUTES, HOUR_SLOTS, LATE_MINUTES, MAX_MINUTE } from '../../protocols/load/limits.ts'
import type { LoadRecord } from '../../protocols/load/record.ts'
import { RECORD_BYTES, RecordBlock } from '../../protocols/load/record-block.ts'
import { HOUR_RING, MINUTE_RING, type SeriesHead } from '../../protocols/load/series-file.ts'
import { Pending } from './pending.ts'
import { filledBy, type ImportRow, importRows, remember, seriesMark } from './series-edit.ts'
import type { SeriesFiles } from './series-files.ts'
import { SeriesImage } from './series-image.ts'
import { type Range, SeriesReader } from './series-reader.ts'
import {
  type Columns,
  columnsOf,
  emptyColumns,
  loadsOf,
  readRing,
  setColumns,
  stepsOf
} from './series-view.ts'
import { foldGroup, readTail, type Tail, writeMinute } from './tail.ts'
import { hourFloor, minuteFloor } from './windows.ts'

export type Resolution = 'second' | 'minute' | 'hour'

const SECONDS = 60
const MINUTES = 60
const MINUTE_MS = 60_000

export class Series {
  readonly #files: SeriesFiles
  readonly #name: string
  readonly #reader: SeriesReader
  readonly #pending = new Pending()
  #head: SeriesHead
  #tail: Tail | undefined
  /** The minute of the last second that was accepted, as long as no minute was written since. */
  #accepted = 0
  #isClosed = false

  /** Of a file whose head is `head`; nothing else of it is read until it is needed. */
  constructor(files: SeriesFiles, name: string, head: SeriesHead) {
    this.#files = files
    this.#name = name
    this.#reader = new SeriesReader(files, name)
    this.#head = head
  }

  get key(): string {
    return this.#head.key
  }

  /** Wall milliseconds. */
  get created(): number {
    return this.#head.created
  }

  /** Bytes that the file takes on the medium. */
  get bytes(): number {
    return this.#files.allocated(this.#name)
  }

  /** A second since 1970, in memory until its minute. False: it is late. */
  second(slot: number, record: LoadRecord): boolean {
    const minute = Math.floor(slot / SECONDS)
    if (minute !== this.#accepted) {
      if (!this.#accepts(minute)) return false
      this.#accepted = minute
    }
    return this.#pending.add(minute, slot % SECONDS, record)
  }

  /**
   * A minute since 1970, durable against the death of the process together with its seconds. False:
   * it is late or was there, and is dropped. More than LATE_MINUTES before the last one the clock was
   * set back: from there on it is written over.
   */
  minute(slot: number, record: LoadRecord): boolean {
    const tail = this.#loaded()
    this.#accepted = 0
    if (!this.#accepts(slot)) {
      this.#pending.drop(slot)
      return false
    }
    this.#leave(tail, slot)
    const slots = this.#pending.slotOf(slot)
    const bytes = slots.seal(0, slot, this.#withForeign(slot, record), tail.sequence + 1)
    writeMinute(this.#files, this.#name, tail, slot, { slots, bytes })
    this.#pending.drop(slot)
    return true
  }

  /**
   * What is there from slot `from` to `to` (not included), slots being seconds, minutes or hours
   * since 1970. A second that is absent of a minute that is there was idle, and is there as zeroes.
   */
  read(resolution: Resolution, from: number, to: number): Columns {
    if (resolution === 'second') return this.#seconds(from, to)
    const range = this.#range(resolution, from, to)
    return columnsOf(range.block, range.from)
  }

  /** The load of every slot from `from` to `to` (not included); NaN where none is known. */
  load(resolution: 'minute' | 'hour', from: number, to: number): Float64Array {
    const range = this.#range(resolution, from, to)
    const loads = new Float64Array(Math.max(to - from, 0)).fill(Number.NaN)
    if (range.block.count > 0) loads.set(loadsOf(range.block, range.from), range.from - from)
    return loads
  }

  /**
   * Mean loads of the steps of `stepMinutes` (a divisor of 60) that begin from `fromMs` (brought
   * down to a step) on and before `toMs`: of minutes, or of an hour that has none, of the hour.
   */
  steps(stepMinutes: number, fromMs: number, toMs: number): Float64Array {
    const step = stepMinutes * MINUTE_MS
    const from = Math.floor(fromMs / step) * stepMinutes
    const to = Math.max(Math.ceil(toMs / step) * stepMinutes, from)
    const minutes = this.load('minute', from, to)
    const hours = this.load('hour', Math.floor(from / MINUTES), Math.ceil(to / MINUTES))
    return stepsOf(minutes, hours, stepMinutes, from)
  }

  /** The oldest and newest slot that is known; undefined: none is. */
  bounds(resolution: 'minute' | 'hour'): { oldest: number; newest: number } | undefined {
    const newest = this.#newest()
    const from = resolution === 'minute' ? minuteFloor(newest) : hourFloor(newest)
    const { slots } = this.read(resolution, from, MAX_MINUTE)
    const oldest = slots[0]
    const last = slots[slots.length - 1]
    return oldest === undefined || last === undefined ? undefined : { oldest, newest: last }
  }

  /** A part of the history, of which nothing is taken off yet. */
  cut(part: Part): HistoryPiece {
    return new SeriesImage(this.#files, this.#name).cut(part, this.#newest())
  }

  /** Cuts a part and takes it off; undefined: it was taken before. */
  take(part: Part): HistoryPiece | undefined {
    const piece = this.cut(part)
    return this.subtract(piece) ? piece : undefined
  }

  /** Takes off what a piece holds, down to zero. False: it was taken before. */
  subtract(piece: HistoryPiece): boolean {
    return this.#edit(seriesMark('off', piece.id), image => image.subtract(piece))
  }

  /** Adds what a piece holds, in slots that are known and in gaps. False: it was given before. */
  give(piece: HistoryPiece, nowMs: number): boolean {
    const now = Math.floor(nowMs / MINUTE_MS)
    return this.#edit(seriesMark('on', piece.id), image => image.add(piece, now))
  }

  /** What an import of these rows would add, as a piece whose id follows from it. */
  wouldFill(rows: readonly ImportRow[], nowMs: number): HistoryPiece {
    const image = new SeriesImage(this.#files, this.#name)
    return filledBy(image, rows, { key: this.key, now: Math.floor(nowMs / MINUTE_MS) })
  }

  /** History of an earlier life, into gaps only; returns how many rows were taken. */
  import(rows: readonly ImportRow[], nowMs: number): number {
    let taken = 0
    this.#edit(undefined, image => {
      taken = importRows(image, rows, Math.floor(nowMs / MINUTE_MS))
    })
    return taken
  }

  /** Nothing is written any more: the file may be removed, or is closed by its owner. */
  close(): void {
    this.#isClosed = true
  }

  #accepts(minute: number): boolean {
    assert(!this.#isClosed, 'a series that is closed is not written')
    assert(minute > 0 && minute <= MAX_MINUTE, 'a minute is a time after 1970')
    const { last } = this.#loaded()
    return minute > last || last - minute > LATE_MINUTES
  }

  /** Before the first minute of another group or hour, or from before: what was there is put away. */
  #leave(tail: Tail, next: number): void {
    const { last } = tail
    if (last === 0) return
    const group = Math.floor(last / FOLD_MINUTES)
    if (group !== Math.floor(next / FOLD_MINUTES) || next < last) {
      foldGroup(this.#files, this.#name, tail, group * FOLD_MINUTES)
    }
    const hour = Math.floor(last / MINUTES)
    if (hour !== Math.floor(next / MINUTES)) this.#rollUp(tail, hour)
  }

  #rollUp(tail: Tail, hour: number): void {
    const record = this.#reader.hourOf(tail, hour, MAX_MINUTE)
    if (record === undefined) return
    const block = new RecordBlock(1)
    block.set(0, hour, record)
    this.#files.write(this.#name, block.bytes, HOUR_RING.at + (hour % HOUR_SLOTS) * RECORD_BYTES)
  }

  /** A minute in which history was given before this one was measured here: both count. */
  #withForeign(minute: number, record: LoadRecord): LoadRecord {
    if (minute > this.#head.foreignTo) return record
    const block = readRing(this.#files, this.#name, MINUTE_RING, minute, minute + 1)
    if (!block.holds(0, minute) || !block.isForeign(0)) return record
    const given = block.get(0)
    return {
      ...record,
      reads: record.reads + given.reads,
      writes: record.writes + given.writes,
      readBytes: record.readBytes + given.readBytes,
      writtenBytes: record.writtenBytes + given.writtenBytes
    }
  }

  /** The newest minute that is shown: the last that was measured, whatever the clock was before. */
  #newest(): number {
    const { last } = this.#loaded()
    return last === 0 ? this.#head.foreignTo : last
  }

  #range(resolution: 'minute' | 'hour', from: number, to: number): Range {
    return this.#reader.range(resolution, this.#loaded(), this.#newest(), { from, to })
  }

  #seconds(from: number, to: number): Columns {
    const pending = this.#pending.view()
    const found = [...this.#reader.seconds(this.#loaded()), ...pending].filter(
      ({ slot }) => slot >= from && slot < to
    )
    const columns = emptyColumns(found.length)
    for (const [i, { slot, record }] of found.entries()) setColumns(columns, i, slot, record)
    return columns
  }

  #loaded(): Tail {
    this.#tail ??= readTail(this.#files, this.#name)
    return this.#tail
  }

  /** A new file takes the place of this one. False: `mark` says that it was done before. */
  #edit(mark: bigint | undefined, change: (image: SeriesImage) => void): boolean {
    assert(!this.#isClosed, 'a series that is closed is not written')
    if (mark !== undefined && this.#head.marks.includes(mark)) return false
    const image = new SeriesImage(this.#files, this.#name)
    change(image)
    const head: SeriesHead = {
      ...this.#head,
      foreignTo: Math.max(this.#head.foreignTo, image.foreignTo),
      marks: mark === undefined ? this.#head.marks : remember(this.#head.marks, mark)
    }
    image.replace(this.#files, this.#name, head)
    this.#head = head
    this.#tail = undefined
    return true
  }
}
