/**
 * Rows of measured load as bytes, for messages between nodes.
 *
 *   slot u32 | reads f32 | writes f32 | read bytes f32 | written bytes f32 | sequential f32 |
 *   queue f32 | p50 us f32 | p99 us f32                                       little endian
 *
 * A slot is the number of the second, minute or hour since 1970. Invariants: decoding is total; what
 * it gives is finite, not negative and bounded, in ascending order of slots; encoding cuts what is
 * greater than anybody believes, so that one absurd row never costs all others.
 */
import { assert } from '../assert.ts'
import { LOAD_FIELDS, type LoadRecord } from './record.ts'

export interface LoadRow {
  readonly slot: number
  readonly record: LoadRecord
}

export const ROW_BYTES = 4 + 4 * LOAD_FIELDS.length
/** Rows of one message: 720 KiB. */
export const MAX_ROWS = 20_480
/** Nothing that a disk does reaches this, in any of the units. */
export const MAX_FIELD = 1e13

export function encodeRows(rows: readonly LoadRow[]): Uint8Array {
  assert(rows.length <= MAX_ROWS, 'a message has room for so many rows')
  const bytes = Buffer.alloc(rows.length * ROW_BYTES)
  rows.forEach(({ slot, record }, i) => {
    bytes.writeUInt32LE(slot, i * ROW_BYTES)
    LOAD_FIELDS.forEach((field, f) => {
      bytes.writeFloatLE(Math.min(record[field], MAX_FIELD), i * ROW_BYTES + 4 + 4 * f)
    })
  })
  return bytes
}

/** The rows, or why these bytes are none. */
export function decodeRows(bytes: Uint8Array): LoadRow[] | string {
  if (bytes.length % ROW_BYTES !== 0) return 'not a whole number of rows'
  const count = bytes.length / ROW_BYTES
  if (count > MAX_ROWS) return 'too many rows'
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const rows: LoadRow[] = []
  let before = -1
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const slot = view.readUInt32LE(at)
    if (slot <= before) return 'rows out of order'
    before = slot
    const values = LOAD_FIELDS.map((_, f) => view.readFloatLE(at + 4 + 4 * f))
    if (!values.every(isPlausible)) return 'a row is not plausible'
    const [reads = 0, writes = 0, readBytes = 0, writtenBytes = 0, ...rest] = values
    const [sequential = 0, queue = 0, p50Us = 0, p99Us = 0] = rest
    const rates = { reads, writes, readBytes, writtenBytes }
    rows.push({ slot, record: { ...rates, sequential, queue, p50Us, p99Us } })
  }
  return rows
}

export function isPlausible(value: number): boolean {
  return value >= 0 && value <= MAX_FIELD
}
