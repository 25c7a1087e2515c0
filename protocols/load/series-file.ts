/**
 * The file of one series: a head that is only replaced together with the whole file, and three rings.
 *
 *        0  head: magic, version, key, when it was made, marks of the pieces taken and given
 *     4096  recent minutes with their seconds   32 x 1536
 *    53248  minutes                         20,224 x 32
 *   700416  hours                           17,568 x 32
 *  1262592  end
 *
 * A slot of time has its place by its number modulo the length of its ring, so nothing has to be
 * known about a ring before it is read or written. What was never written is a hole of the file.
 *
 * Decoding is total: any bytes give a head or what is wrong with them.
 */
import { assert } from '../assert.ts'
import { checksum } from '../checksum.ts'
import {
  HOUR_SLOTS,
  MAX_MARKS,
  MAX_MINUTE,
  MAX_SERIES_BYTES,
  MAX_SERIES_KEY_CHARS,
  MINUTE_SLOTS,
  RECENT_SLOTS
} from './limits.ts'
import { SLOT_BYTES } from './minute-slots.ts'
import { RECORD_BYTES } from './record-block.ts'

export const HEAD_BYTES = 4096
export const SERIES_VERSION = 1
const MAGIC = 'SHLS'
const KEY_AT = 24
const MARKS_AT = 128
const CRC_AT = HEAD_BYTES - 4

/** A ring of records: where it is, and how many slots it has. */
export interface Ring {
  readonly at: number
  readonly slots: number
}

export const RECENT_AT = HEAD_BYTES
export const MINUTE_RING: Ring = { at: RECENT_AT + RECENT_SLOTS * SLOT_BYTES, slots: MINUTE_SLOTS }
export const HOUR_RING: Ring = {
  at: MINUTE_RING.at + MINUTE_SLOTS * RECORD_BYTES,
  slots: HOUR_SLOTS
}
export const SERIES_BYTES = HOUR_RING.at + HOUR_SLOTS * RECORD_BYTES

assert(SERIES_BYTES <= MAX_SERIES_BYTES, 'a series keeps within its bound')
assert(MINUTE_SLOTS % RECENT_SLOTS === 0, 'recent minutes are folded contiguously')

export interface SeriesHead {
  readonly key: string
  /** Wall milliseconds. */
  readonly created: number
  /** The newest minute that was given or imported; 0: none. */
  readonly foreignTo: number
  /** What was taken and given already, the newest last. */
  readonly marks: readonly bigint[]
}

/** 'node' or the id of a volume: what is safe as the name of a file. */
export function isSeriesKey(key: string): boolean {
  return key.length <= MAX_SERIES_KEY_CHARS && /^[a-z0-9][a-z0-9-]*$/.test(key)
}

export function encodeHead(head: SeriesHead): Uint8Array {
  assert(isSeriesKey(head.key), 'the key of a series is the name of a file')
  assert(head.marks.length <= MAX_MARKS, 'a series remembers so many pieces at most')
  const bytes = new Uint8Array(HEAD_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(ascii(MAGIC), 0)
  view.setUint16(4, SERIES_VERSION, true)
  view.setUint16(6, head.marks.length, true)
  view.setFloat64(8, head.created, true)
  view.setUint32(16, head.foreignTo, true)
  view.setUint32(20, head.key.length, true)
  bytes.set(ascii(head.key), KEY_AT)
  for (const [i, mark] of head.marks.entries()) view.setBigUint64(MARKS_AT + i * 8, mark, true)
  view.setUint32(CRC_AT, checksum(bytes.subarray(0, CRC_AT)), true)
  return bytes
}

/** The head, or what is wrong with it. */
export function decodeHead(bytes: Uint8Array): SeriesHead | string {
  if (bytes.length < HEAD_BYTES) return 'it is too short for a head'
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEAD_BYTES)
  if (text(bytes, 0, 4) !== MAGIC) return 'it does not begin as a series does'
  if (view.getUint16(4, true) !== SERIES_VERSION) {
    return `its format is version ${view.getUint16(4, true)}, and ${SERIES_VERSION} is known`
  }
  if (view.getUint32(CRC_AT, true) !== checksum(bytes.subarray(0, CRC_AT))) {
    return 'the checksum of its head is wrong'
  }
  const marks = view.getUint16(6, true)
  const keyLength = view.getUint32(20, true)
  const created = view.getFloat64(8, true)
  const foreignTo = view.getUint32(16, true)
  if (marks > MAX_MARKS || keyLength > MAX_SERIES_KEY_CHARS) return 'its head is out of bounds'
  if (!Number.isFinite(created) || foreignTo > MAX_MINUTE) return 'its head names absurd times'
  const key = text(bytes, KEY_AT, keyLength)
  if (!isSeriesKey(key)) return 'its head has no proper key'
  return {
    key,
    created,
    foreignTo,
    marks: Array.from({ length: marks }, (_, i) => view.getBigUint64(MARKS_AT + i * 8, true))
  }
}

function ascii(value: string): Uint8Array {
  return Uint8Array.from(value, char => char.charCodeAt(0))
}

function text(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}
