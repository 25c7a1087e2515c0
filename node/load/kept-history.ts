/**
 * The series of this node as the keeper uses them: what was measured, read as steps of forecasts or
 * as rows, and history that comes and goes with data.
 *
 * Invariants: what is taken off a shard, or given to it, is taken off or given to the node as well,
 * once, whenever the process dies; a piece is in the outbox before anything is taken off, until it
 * was delivered; nothing that is only asked for makes a series.
 */
import { ShoalError } from '../../protocols/fault.ts'
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import { emptyRun, type HistoryPiece, type Part } from '../../protocols/load/history.ts'
import { MAX_HISTORY_STEPS, MINUTES_KEPT } from '../../protocols/load/limits.ts'
import { LOAD_FIELDS, type LoadRecord } from '../../protocols/load/record.ts'
import { type LoadRow, MAX_ROWS } from '../../protocols/load/rows.ts'
import {
  type KeeperAnswers,
  type KeeperAskOf,
  NODE_KEY,
  type PieceOnItsWay
} from './keeper-messages.ts'
import { Outbox } from './outbox.ts'
import { packPiece, unpackPiece } from './piece-codec.ts'
import type { Series } from './series.ts'
import { SeriesBook } from './series-book.ts'
import type { SeriesFiles } from './series-files.ts'
import type { Columns } from './series-view.ts'

const MINUTE_MS = 60_000
const STEP_MINUTES = STEP_MS / MINUTE_MS

export class KeptHistory {
  readonly #series: SeriesBook
  readonly #outbox: Outbox
  readonly #now: () => number

  constructor(files: SeriesFiles, now: () => number, onProblem: (problem: string) => void) {
    this.#series = new SeriesBook({ files, onProblem })
    this.#outbox = new Outbox(files)
    this.#now = now
  }

  get bytes(): number {
    return this.#series.bytes
  }

  second(key: string, second: number, record: LoadRecord): void {
    this.#open(key).second(second, record)
  }

  minute(key: string, minute: number, record: LoadRecord): void {
    this.#open(key).minute(minute, record)
  }

  remove(key: string): void {
    this.#series.remove(key)
  }

  /** Removes what is of nobody in `kept` and was not written for as long as minutes are kept. */
  prune(kept: ReadonlySet<string>): void {
    const oldest = Math.floor(this.#now() / MINUTE_MS) - MINUTES_KEPT
    for (const key of this.#series.keys()) {
      if (kept.has(key) || key === NODE_KEY) continue
      const newest = this.#series.get(key)?.bounds('minute')?.newest ?? 0
      if (newest < oldest) this.#series.remove(key)
    }
  }

  /** The last steps that have ended, NaN where nothing is known. */
  steps(key: string, count = MAX_HISTORY_STEPS): KeeperAnswers['history'] {
    const endMs = Math.floor(this.#now() / STEP_MS) * STEP_MS
    const series = this.#series.get(key)
    if (series === undefined) return { loads: new Float64Array(0), endMs }
    return { loads: series.steps(STEP_MINUTES, endMs - count * STEP_MS, endMs), endMs }
  }

  rows({ key, step, from, to }: KeeperAskOf<'rows'>): KeeperAnswers['rows'] {
    const series = this.#series.get(key)
    if (series === undefined) return { rows: [], next: undefined }
    const rows = rowsOf(series.read(step, from, to))
    const next = rows.length > MAX_ROWS ? rows[MAX_ROWS]?.slot : undefined
    return { rows: rows.slice(0, MAX_ROWS), next }
  }

  /** Rows of minutes, into what is not known of the shard. */
  import(key: string, rows: readonly LoadRow[]): number {
    const nowMs = this.#now()
    const series = this.#open(key)
    const minutes = rows.map(row => ({ resolution: 'minute' as const, ...row }))
    const filled = series.wouldFill(minutes, nowMs)
    if (isEmpty(filled)) return 0
    // The node first: if the process dies between the two, the same rows come again, and the node
    // knows them by their id.
    this.#open(NODE_KEY).give(filled, nowMs)
    return series.import(minutes, nowMs)
  }

  take({ key, id, to, part }: KeeperAskOf<'take'>): PieceOnItsWay {
    const { share, byHour } = part
    const hours = byHour === undefined ? undefined : Float64Array.from(byHour)
    const cut: Part = { id, share, ...(hours === undefined ? {} : { byHour: hours }) }
    const none = { id, minutes: emptyRun(0, 0), hours: emptyRun(0, 0) }
    const piece = this.#series.get(key)?.cut(cut) ?? none
    const onItsWay = { id, key, to, piece: new Uint8Array(packPiece(piece)) }
    this.#outbox.put(onItsWay)
    this.#takeOff(key, piece)
    return onItsWay
  }

  /** False: it was given before. Throws BAD_INPUT if these bytes are no piece. */
  give(key: string, bytes: Uint8Array): boolean {
    const piece = unpackPiece(bytes)
    if (piece === undefined) {
      throw new ShoalError({ code: 'BAD_INPUT', field: 'piece' }, 'this is no piece of history')
    }
    const isNew = this.#open(key).give(piece, this.#now())
    this.#open(NODE_KEY).give(piece, this.#now())
    return isNew
  }

  delivered(id: string): void {
    this.#outbox.remove(id)
  }

  /** What an earlier start noted, and may not have taken off yet. */
  undelivered(): readonly PieceOnItsWay[] {
    const pieces = this.#outbox.all()
    for (const { key, piece } of pieces) {
      const noted = unpackPiece(piece)
      if (noted !== undefined) this.#takeOff(key, noted)
    }
    return pieces
  }

  close(): void {
    this.#series.close()
  }

  /** Each series remembers the id: it is taken off once. */
  #takeOff(key: string, piece: HistoryPiece): void {
    this.#series.get(key)?.subtract(piece)
    this.#series.get(NODE_KEY)?.subtract(piece)
  }

  #open(key: string): Series {
    return this.#series.open(key, this.#now())
  }
}

function isEmpty({ minutes, hours }: HistoryPiece): boolean {
  return minutes.states.length === 0 && hours.states.length === 0
}

function rowsOf(columns: Columns): LoadRow[] {
  return Array.from(columns.slots, (slot, i) => {
    const [reads, writes, readBytes, writtenBytes, sequential, queue, p50Us, p99Us] =
      LOAD_FIELDS.map(field => columns[field][i] ?? 0)
    return {
      slot,
      record: {
        reads: reads ?? 0,
        writes: writes ?? 0,
        readBytes: readBytes ?? 0,
        writtenBytes: writtenBytes ?? 0,
        sequential: sequential ?? 0,
        queue: queue ?? 0,
        p50Us: p50Us ?? 0,
        p99Us: p99Us ?? 0
      }
    }
  })
}
