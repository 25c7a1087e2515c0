/**
 * Rows of any even or uneven step as minutes: what an imported history is cut into.
 *
 *   rows   00:00:00  00:00:20  00:00:40      several in a minute: their mean
 *   rows   00:00     00:05     00:10         a row holds until the next, an hour at most
 *
 * Invariants: minutes leave in ascending order, each once; a row that is not later than the one
 * before is refused; nothing is kept but the rows of the present minute.
 */
import { type LoadRecord, overTime } from './record.ts'
import type { LoadRow } from './rows.ts'

const MINUTE_MS = 60_000
const LONGEST_MINUTES = 60

export class Minutes {
  #lastMs = Number.NEGATIVE_INFINITY
  #minute = 0
  #stepMinutes = 1
  #rows: LoadRecord[] = []

  /** The minutes that this row completes; undefined if it is refused. */
  push(timeMs: number, record: LoadRecord): LoadRow[] | undefined {
    if (timeMs <= this.#lastMs) return undefined
    this.#lastMs = timeMs
    const minute = Math.floor(timeMs / MINUTE_MS)
    const done = this.#rows.length > 0 && minute > this.#minute ? this.#emit(minute) : []
    this.#minute = minute
    this.#rows.push(record)
    return done
  }

  /** What is left: the last row lasts as long as the one before. */
  end(): LoadRow[] {
    return this.#rows.length === 0 ? [] : this.#emit(this.#minute + this.#stepMinutes)
  }

  #emit(until: number): LoadRow[] {
    const record = overTime(this.#rows, this.#rows.length)
    this.#rows = []
    const gap = until - this.#minute
    // A longer silence says nothing of what was in it.
    this.#stepMinutes = gap > LONGEST_MINUTES ? Math.min(this.#stepMinutes, gap) : gap
    const from = this.#minute
    return Array.from({ length: this.#stepMinutes }, (_, i) => ({ slot: from + i, record }))
  }
}
