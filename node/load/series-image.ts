/**
 * A whole series in memory, for the changes that touch much of it: history that is taken off it,
 * given to it or imported. Read, changed and written as a new file that takes the place of the old
 * one, so a crash leaves the one or the other.
 *
 * Invariants: a slot is never replaced by an older one of its ring; an hour of which a minute was
 * changed is the mean of its minutes again; rates are never below zero.
 */
import {
  emptyRun,
  type HistoryPiece,
  type Part,
  type PieceRun,
  PieceState,
  ratesInRun,
  setInRun,
  shareAt,
  trimmed
} from '../../protocols/load/history.ts'
import {
  HOUR_SLOTS,
  LATE_MINUTES,
  MINUTE_SLOTS,
  RECENT_SLOTS
} from '../../protocols/load/limits.ts'
import { MinuteSlots } from '../../protocols/load/minute-slots.ts'
import { IDLE, type LoadRecord, overTime } from '../../protocols/load/record.ts'
import { type Rates, RecordBlock } from '../../protocols/load/record-block.ts'
import {
  encodeHead,
  HEAD_BYTES,
  HOUR_RING,
  MINUTE_RING,
  RECENT_AT,
  type SeriesHead
} from '../../protocols/load/series-file.ts'
import type { SeriesFiles } from './series-files.ts'
import { recentPlaces } from './tail.ts'
import { hourFloor, minuteFloor } from './windows.ts'

/** Of a file that is being written; what a crash leaves of it is removed. */
export const NEW_SUFFIX = '.new'
/** The least that is written or left a hole. */
const PAGE_BYTES = 4096
const ZEROES = new Uint8Array(PAGE_BYTES)

export class SeriesImage {
  readonly #recent = new MinuteSlots(RECENT_SLOTS)
  readonly #minutes = new RecordBlock(MINUTE_SLOTS)
  readonly #hours = new RecordBlock(HOUR_SLOTS)
  readonly #touchedHours = new Set<number>()
  readonly #rates: Rates = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 }
  readonly #own: Rates = { reads: 0, writes: 0, readBytes: 0, writtenBytes: 0 }
  /** The newest minute that was put in from outside. */
  foreignTo = 0

  constructor(files: SeriesFiles, name: string) {
    files.read(name, this.#recent.block.bytes, RECENT_AT)
    files.read(name, this.#minutes.bytes, MINUTE_RING.at)
    files.read(name, this.#hours.bytes, HOUR_RING.at)
    this.#eachRecent((minute, record) => {
      const place = minute % MINUTE_SLOTS
      if (this.#minutes.slotAt(place) <= minute) {
        this.#minutes.copy(place, this.#recent.block, record)
      }
    })
  }

  /** The part of everything up to `newest`, a minute. */
  cut(part: Part, newest: number): HistoryPiece {
    const firstMinute = minuteFloor(newest)
    const minutes = emptyRun(firstMinute, Math.max(newest - firstMinute + 1, 0))
    const known = new Set<number>()
    minutes.states.forEach((_, i) => {
      const minute = firstMinute + i
      const place = minute % MINUTE_SLOTS
      if (!this.#minutes.holds(place, minute)) return
      const hour = Math.floor(minute / 60)
      known.add(hour)
      this.#minutes.ratesInto(place, this.#rates)
      setInRun(minutes, i, this.#rates, shareAt(part, minute))
    })
    return { id: part.id, minutes: trimmed(minutes), hours: this.#cutHours(part, newest, known) }
  }

  subtract(piece: HistoryPiece): void {
    this.#subtractRun(this.#minutes, piece.minutes)
    for (let i = 0; i < piece.minutes.states.length; i++) this.#touch(piece.minutes.first + i)
    this.#refreshHours()
    this.#subtractRun(this.#hours, piece.hours)
  }

  /** Slots in the future of `now`, a minute, or too old for the rings are left out. */
  add(piece: HistoryPiece, now: number): void {
    const { minutes, hours } = piece
    const floor = minuteFloor(now)
    const newest = now + LATE_MINUTES
    const older = new Map<number, { sum: Rates; count: number }>()
    for (let i = 0; i < minutes.states.length; i++) {
      const minute = minutes.first + i
      if (minutes.states[i] === PieceState.unknown || minute > newest) continue
      ratesInRun(minutes, i, this.#rates)
      if (minute >= floor) this.#addMinute(minute, this.#rates)
      else addTo(older, Math.floor(minute / 60), this.#rates)
    }
    this.#refreshHours()
    for (const [hour, { sum, count }] of older) this.#addHour(hour, scaled(sum, 1 / count), now)
    for (let i = 0; i < hours.states.length; i++) {
      if (hours.states[i] === PieceState.unknown) continue
      ratesInRun(hours, i, this.#rates)
      this.#addHour(hours.first + i, this.#rates, now)
    }
  }

  /** Fills a minute that is a gap; false: it is not, or there is no place for it any more. */
  fillMinute(minute: number, record: LoadRecord, newest: number): boolean {
    const place = minute % MINUTE_SLOTS
    if (minute < minuteFloor(newest) || minute > newest) return false
    if (this.#minutes.slotAt(place) >= minute) return false
    this.#minutes.set(place, minute, record, true)
    this.#touch(minute)
    this.#noteForeign(minute)
    return true
  }

  fillHour(hour: number, record: LoadRecord, newest: number): boolean {
    const place = hour % HOUR_SLOTS
    if (hour < hourFloor(newest) || hour * 60 > newest) return false
    if (this.#hours.slotAt(place) >= hour) return false
    this.#hours.set(place, hour, record, true)
    this.#noteForeign(Math.min(hour * 60 + 59, newest))
    return true
  }

  /** A minute whose place belongs to a later one. */
  isTooOld(minute: number, newest: number): boolean {
    return minute < minuteFloor(newest)
  }

  /** Takes the place of the file `name`, durably. */
  replace(files: SeriesFiles, name: string, head: SeriesHead): void {
    const fresh = name + NEW_SUFFIX
    try {
      files.remove(fresh)
      this.#write(files, fresh, head)
      files.sync(fresh)
    } catch (error) {
      files.remove(fresh)
      throw error
    }
    files.rename(fresh, name)
  }

  /** Everything but holes. */
  #write(files: SeriesFiles, name: string, head: SeriesHead): void {
    this.#refreshHours()
    this.#eachRecent((minute, record) => {
      const place = minute % MINUTE_SLOTS
      if (this.#minutes.holds(place, minute)) {
        this.#recent.block.copy(record, this.#minutes, place)
      }
    })
    files.write(name, encodeHead(head), 0)
    writePages(files, name, this.#recent.block.bytes, HEAD_BYTES)
    writePages(files, name, this.#minutes.bytes, MINUTE_RING.at)
    writePages(files, name, this.#hours.bytes, HOUR_RING.at)
  }

  #cutHours(part: Part, newest: number, known: ReadonlySet<number>): PieceRun {
    const first = hourFloor(newest)
    const run = emptyRun(first, Math.max(Math.floor(newest / 60) - first + 1, 0))
    run.states.forEach((_, i) => {
      const hour = first + i
      if (known.has(hour) || !this.#hours.holds(hour % HOUR_SLOTS, hour)) return
      this.#hours.ratesInto(hour % HOUR_SLOTS, this.#rates)
      setInRun(run, i, this.#rates, shareAt(part, hour * 60 + 30))
    })
    return trimmed(run)
  }

  #subtractRun(block: RecordBlock, run: PieceRun): void {
    const own = this.#own
    for (let i = 0; i < run.states.length; i++) {
      const slot = run.first + i
      const place = slot % block.count
      if (run.states[i] !== PieceState.active || !block.holds(place, slot)) continue
      ratesInRun(run, i, this.#rates)
      block.ratesInto(place, own)
      const before = own.reads + own.writes
      own.reads = Math.max(own.reads - this.#rates.reads, 0)
      own.writes = Math.max(own.writes - this.#rates.writes, 0)
      own.readBytes = Math.max(own.readBytes - this.#rates.readBytes, 0)
      own.writtenBytes = Math.max(own.writtenBytes - this.#rates.writtenBytes, 0)
      block.setRates(place, own, before > 0 ? (own.reads + own.writes) / before : 1)
    }
  }

  #addMinute(minute: number, rates: Rates): void {
    if (!addRates(this.#minutes, minute, rates, this.#own)) return
    this.#touch(minute)
    this.#noteForeign(minute)
  }

  #addHour(hour: number, rates: Rates, newest: number): void {
    if (hour < hourFloor(newest) || hour * 60 > newest) return
    if (!addRates(this.#hours, hour, rates, this.#own)) return
    this.#noteForeign(Math.min(hour * 60 + 59, newest))
  }

  #noteForeign(minute: number): void {
    this.foreignTo = Math.max(this.foreignTo, minute)
  }

  #touch(minute: number): void {
    this.#touchedHours.add(Math.floor(minute / 60))
  }

  #refreshHours(): void {
    for (const hour of this.#touchedHours) {
      const records: LoadRecord[] = []
      let isForeign = true
      for (let minute = hour * 60; minute < hour * 60 + 60; minute++) {
        const place = minute % MINUTE_SLOTS
        if (!this.#minutes.holds(place, minute)) continue
        records.push(this.#minutes.get(place))
        isForeign &&= this.#minutes.isForeign(place)
      }
      const place = hour % HOUR_SLOTS
      if (records.length === 0 || this.#hours.slotAt(place) > hour) continue
      this.#hours.set(place, hour, overTime(records, records.length), isForeign)
    }
    this.#touchedHours.clear()
  }

  #eachRecent(action: (minute: number, record: number) => void): void {
    for (const place of recentPlaces(this.#recent)) {
      action(this.#recent.minuteAt(place), this.#recent.recordOf(place))
    }
  }
}

/** False: a newer slot has the place. */
function addRates(block: RecordBlock, slot: number, rates: Rates, own: Rates): boolean {
  const place = slot % block.count
  const there = block.slotAt(place)
  if (there > slot) return false
  if (there < slot) {
    block.set(place, slot, { ...IDLE, ...rates }, true)
    return true
  }
  block.ratesInto(place, own)
  own.reads += rates.reads
  own.writes += rates.writes
  own.readBytes += rates.readBytes
  own.writtenBytes += rates.writtenBytes
  block.setRates(place, own)
  return true
}

function addTo(sums: Map<number, { sum: Rates; count: number }>, hour: number, rates: Rates): void {
  const known = sums.get(hour)
  if (known === undefined) {
    sums.set(hour, { sum: { ...rates }, count: 1 })
    return
  }
  known.count++
  known.sum.reads += rates.reads
  known.sum.writes += rates.writes
  known.sum.readBytes += rates.readBytes
  known.sum.writtenBytes += rates.writtenBytes
}

function scaled(rates: Rates, factor: number): Rates {
  return {
    reads: rates.reads * factor,
    writes: rates.writes * factor,
    readBytes: rates.readBytes * factor,
    writtenBytes: rates.writtenBytes * factor
  }
}

/** Runs of pages that are not all zero. */
function writePages(files: SeriesFiles, name: string, bytes: Uint8Array, at: number): void {
  const pages = Math.ceil(bytes.length / PAGE_BYTES)
  let start = -1
  for (let page = 0; page <= pages; page++) {
    const isUsed = page < pages && !isHole(bytes, page * PAGE_BYTES)
    if (isUsed && start === -1) start = page * PAGE_BYTES
    if (isUsed || start === -1) continue
    files.write(name, bytes.subarray(start, page * PAGE_BYTES), at + start)
    start = -1
  }
}

function isHole(bytes: Uint8Array, from: number): boolean {
  const page = bytes.subarray(from, from + PAGE_BYTES)
  return Buffer.compare(page, ZEROES.subarray(0, page.length)) === 0
}
