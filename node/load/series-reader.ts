/**
 * What a series holds between two slots, from its rings and from the tail, which goes before them.
 * `newest` is the last minute that is shown; what lies after it was measured under another clock.
 */
import { RECENT_SLOTS } from '../../protocols/load/limits.ts'
import { type LoadRecord, overTime } from '../../protocols/load/record.ts'
import { RecordBlock } from '../../protocols/load/record-block.ts'
import { HOUR_RING, MINUTE_RING } from '../../protocols/load/series-file.ts'
import type { SeriesFiles } from './series-files.ts'
import { readRing } from './series-view.ts'
import { readRecent, recentPlaces, type Tail } from './tail.ts'
import { hourFloor, minuteFloor } from './windows.ts'

/** The record of slot s at index s - from. */
export interface Range {
  readonly block: RecordBlock
  readonly from: number
}

export interface SecondOf {
  readonly slot: number
  readonly record: LoadRecord
}

export class SeriesReader {
  readonly #files: SeriesFiles
  readonly #name: string

  constructor(files: SeriesFiles, name: string) {
    this.#files = files
    this.#name = name
  }

  /** The part of `from` to `to` (not included) that the rings have. */
  range(
    resolution: 'minute' | 'hour',
    tail: Tail,
    newest: number,
    wanted: { from: number; to: number }
  ): Range {
    if (newest === 0) return { block: new RecordBlock(0), from: wanted.from }
    if (resolution === 'hour') return this.#hours(tail, newest, wanted)
    const from = Math.max(wanted.from, minuteFloor(newest))
    return { block: this.minutes(tail, from, Math.min(wanted.to, newest + 1)), from }
  }

  minutes(tail: Tail, from: number, to: number): RecordBlock {
    const block = readRing(this.#files, this.#name, MINUTE_RING, from, to)
    for (let place = 0; place < RECENT_SLOTS; place++) {
      const minute = tail.block.slotAt(place)
      if (minute >= from && minute < to) block.copy(minute - from, tail.block, place)
    }
    return block
  }

  /** An hour as the mean of its minutes that are known, those before `to`. */
  hourOf(tail: Tail, hour: number, to: number): LoadRecord | undefined {
    const from = hour * 60
    const block = this.minutes(tail, from, Math.min(from + 60, to))
    const records: LoadRecord[] = []
    for (let i = 0; i < block.count; i++) if (block.holds(i, from + i)) records.push(block.get(i))
    return records.length === 0 ? undefined : overTime(records, records.length)
  }

  /** All seconds of the recent minutes that are there, those that were idle too. */
  seconds({ last }: Tail): SecondOf[] {
    const slots = readRecent(this.#files, this.#name)
    const places = new Map(recentPlaces(slots).map(place => [slots.minuteAt(place), place]))
    const found: SecondOf[] = []
    for (const [minute, place] of [...places].sort(([a], [b]) => a - b)) {
      if (minute > last) continue
      for (const [second, record] of slots.seconds(place).entries()) {
        found.push({ slot: minute * 60 + second, record })
      }
    }
    return found
  }

  /** The hour of `newest` is not in the ring yet, or not all of it. */
  #hours(tail: Tail, newest: number, wanted: { from: number; to: number }): Range {
    const from = Math.max(wanted.from, hourFloor(newest))
    const hour = Math.floor(newest / 60)
    const to = Math.min(wanted.to, hour + 1)
    const block = readRing(this.#files, this.#name, HOUR_RING, from, to)
    const current = from <= hour && hour < to ? this.hourOf(tail, hour, newest + 1) : undefined
    if (current !== undefined) block.set(hour - from, hour, current)
    return { block, from }
  }
}
