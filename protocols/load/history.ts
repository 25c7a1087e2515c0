/**
 * A piece of history: the part of a shard's load that moves to another shard with the data that
 * caused it. Only rates travel, of every minute of the last 14 days and of the hours before. Queue
 * and latency are what a node made of the load, and stay there.
 *
 *   SHLP | version u16 | length of the id u16
 *   minutes: first u32, count u32, active u32 | hours: the same
 *   id | states of the minutes, of the hours: 2 bits each, 0 unknown, 1 idle, 2 active
 *   minutes, then hours: reads, writes, readBytes, writtenBytes; of each field the codes
 *     (float-code.ts) of the active slots: all high bytes, then all low bytes
 *
 * Laid out so that a general compressor finds the runs and the repetition: node/ packs it.
 *
 * Invariants: a piece holds codes from its first moment on, so what is taken off one series is to
 * the last bit what another is given; idle and unknown slots have codes of zero. Decoding is total.
 */
import { assert } from '../assert.ts'
import { fromCode, toCode } from './float-code.ts'
import {
  HOUR_SLOTS,
  MAX_MINUTE,
  MAX_PIECE_BYTES,
  MAX_PIECE_ID_CHARS,
  MINUTE_SLOTS
} from './limits.ts'
import type { Rates } from './record-block.ts'

/** Of slot `first + i`: `states[i]`, and four codes from `codes[4 * i]` on. */
export interface PieceRun {
  readonly first: number
  readonly states: Uint8Array
  readonly codes: Uint16Array
}

export interface HistoryPiece {
  /** Of the handoff: a series is changed by it once. */
  readonly id: string
  readonly minutes: PieceRun
  /** Hours of which no minute is known any more. */
  readonly hours: PieceRun
}

/** How much of a shard's load a part of its data causes. */
export interface Part {
  readonly id: string
  /** 0 to 1. */
  readonly share: number
  /** By the hour of the day in UTC, 24 of them; NaN where it is not known. */
  readonly byHour?: Float64Array
}

export const PieceState = { unknown: 0, idle: 1, active: 2 } as const

const MAGIC = 0x504c4853
const VERSION = 1
const HEAD_BYTES = 32
const FIELDS = 4

export function emptyRun(first: number, length: number): PieceRun {
  return { first, states: new Uint8Array(length), codes: new Uint16Array(length * FIELDS) }
}

/**
 * At a minute since 1970, 0 to 1. What is known of an hour holds in its middle, and changes evenly
 * from there to the next: a share that jumped with the hour would put steps into the history.
 */
export function shareAt(part: Part, minute: number): number {
  const from = Math.floor((minute - 30) / 60)
  const after = (minute - 30) / 60 - from
  const share = (1 - after) * shareOfHour(part, from) + after * shareOfHour(part, from + 1)
  return Math.min(Math.max(share, 0), 1)
}

function shareOfHour(part: Part, hour: number): number {
  const share = part.byHour?.[((hour % 24) + 24) % 24] ?? Number.NaN
  return Number.isNaN(share) ? part.share : share
}

/** Fills slot `first + i`: rates times `share`. */
export function setInRun(run: PieceRun, i: number, rates: Rates, share: number): void {
  const at = i * FIELDS
  const reads = toCode(rates.reads * share)
  const writes = toCode(rates.writes * share)
  const readBytes = toCode(rates.readBytes * share)
  const writtenBytes = toCode(rates.writtenBytes * share)
  run.codes[at] = reads
  run.codes[at + 1] = writes
  run.codes[at + 2] = readBytes
  run.codes[at + 3] = writtenBytes
  run.states[i] =
    (reads | writes | readBytes | writtenBytes) === 0 ? PieceState.idle : PieceState.active
}

export function ratesInRun(run: PieceRun, i: number, rates: Rates): void {
  const at = i * FIELDS
  rates.reads = fromCode(run.codes[at] ?? 0)
  rates.writes = fromCode(run.codes[at + 1] ?? 0)
  rates.readBytes = fromCode(run.codes[at + 2] ?? 0)
  rates.writtenBytes = fromCode(run.codes[at + 3] ?? 0)
}

/** The run without unknown slots at its ends. */
export function trimmed(run: PieceRun): PieceRun {
  const from = run.states.findIndex(state => state !== PieceState.unknown)
  if (from === -1) return emptyRun(0, 0)
  const to = run.states.findLastIndex(state => state !== PieceState.unknown) + 1
  return {
    first: run.first + from,
    states: run.states.subarray(from, to),
    codes: run.codes.subarray(from * FIELDS, to * FIELDS)
  }
}

export function encodePiece(piece: HistoryPiece): Uint8Array {
  assert(isPieceId(piece.id), 'the id of a piece is short and plain')
  const runs = [piece.minutes, piece.hours]
  const active = runs.map(countActive)
  const length =
    HEAD_BYTES +
    piece.id.length +
    runs.reduce((sum, { states }) => sum + stateBytes(states.length), 0) +
    active.reduce((sum, count) => sum + count * FIELDS * 2, 0)
  assert(length <= MAX_PIECE_BYTES, 'a piece of history is bounded')
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint16(4, VERSION, true)
  view.setUint16(6, piece.id.length, true)
  runs.forEach((run, i) => {
    view.setUint32(8 + i * 12, run.first, true)
    view.setUint32(12 + i * 12, run.states.length, true)
    view.setUint32(16 + i * 12, active[i] ?? 0, true)
  })
  bytes.set(
    Uint8Array.from(piece.id, char => char.charCodeAt(0)),
    HEAD_BYTES
  )
  let at = HEAD_BYTES + piece.id.length
  for (const { states } of runs) at = writeStates(bytes, at, states)
  runs.forEach((run, i) => {
    at = writeCodes(bytes, at, run, active[i] ?? 0)
  })
  return bytes
}

/** Undefined: these bytes are no piece. */
export function decodePiece(bytes: Uint8Array): HistoryPiece | undefined {
  if (bytes.length < HEAD_BYTES || bytes.length > MAX_PIECE_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.getUint32(0, true) !== MAGIC || view.getUint16(4, true) !== VERSION) return undefined
  const idEnd = HEAD_BYTES + view.getUint16(6, true)
  if (idEnd > bytes.length) return undefined
  const id = String.fromCharCode(...bytes.subarray(HEAD_BYTES, idEnd))
  const minutes = readHead(view, 8, MINUTE_SLOTS, MAX_MINUTE)
  const hours = readHead(view, 20, HOUR_SLOTS, MAX_MINUTE / 60)
  if (!isPieceId(id) || minutes === undefined || hours === undefined) return undefined
  const stateEnd = idEnd + stateBytes(minutes.count) + stateBytes(hours.count)
  const length = stateEnd + (minutes.active + hours.active) * FIELDS * 2
  if (length !== bytes.length) return undefined
  const one = readRun(bytes, minutes, idEnd, stateEnd)
  const other = readRun(
    bytes,
    hours,
    idEnd + stateBytes(minutes.count),
    stateEnd + minutes.active * FIELDS * 2
  )
  return one && other && { id, minutes: one, hours: other }
}

export function isPieceId(id: string): boolean {
  return id.length <= MAX_PIECE_ID_CHARS && /^[\w.:-]+$/.test(id)
}

interface RunHead {
  readonly first: number
  readonly count: number
  readonly active: number
}

function readHead(view: DataView, at: number, most: number, last: number): RunHead | undefined {
  const first = view.getUint32(at, true)
  const count = view.getUint32(at + 4, true)
  const active = view.getUint32(at + 8, true)
  const isSane = count <= most && active <= count && first + count <= last
  return isSane && first > 0 === count > 0 ? { first, count, active } : undefined
}

function readRun(
  bytes: Uint8Array,
  head: RunHead,
  statesAt: number,
  codesAt: number
): PieceRun | undefined {
  const run = emptyRun(head.first, head.count)
  let seen = 0
  for (let i = 0; i < head.count; i++) {
    const state = ((bytes[statesAt + (i >>> 2)] ?? 0) >>> ((i & 3) * 2)) & 3
    if (state > PieceState.active) return undefined
    run.states[i] = state
    if (state !== PieceState.active) continue
    let every = 0
    for (let field = 0; field < FIELDS && seen < head.active; field++) {
      const at = codesAt + field * head.active * 2 + seen
      const code = ((bytes[at] ?? 0) << 8) | (bytes[at + head.active] ?? 0)
      run.codes[i * FIELDS + field] = code
      every |= code
    }
    if (every === 0) return undefined
    seen++
  }
  return seen === head.active ? run : undefined
}

function writeStates(bytes: Uint8Array, at: number, states: Uint8Array): number {
  for (let i = 0; i < states.length; i++) {
    const to = at + (i >>> 2)
    bytes[to] = (bytes[to] ?? 0) | ((states[i] ?? 0) << ((i & 3) * 2))
  }
  return at + stateBytes(states.length)
}

function writeCodes(bytes: Uint8Array, at: number, run: PieceRun, active: number): number {
  let seen = 0
  for (let i = 0; i < run.states.length; i++) {
    if (run.states[i] !== PieceState.active) continue
    for (let field = 0; field < FIELDS; field++) {
      const code = run.codes[i * FIELDS + field] ?? 0
      const to = at + field * active * 2 + seen
      bytes[to] = code >>> 8
      bytes[to + active] = code & 0xff
    }
    seen++
  }
  return at + active * FIELDS * 2
}

function stateBytes(slots: number): number {
  return (slots + 3) >>> 2
}

function countActive({ states }: PieceRun): number {
  let count = 0
  for (const state of states) if (state === PieceState.active) count++
  return count
}
