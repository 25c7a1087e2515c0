/**
 * The bytes of `DIR/receipts.log` (docs/format-receipts.md). All integers little-endian.
 *
 *   file    header record*
 *   header  "SHOALRCT" u32 version=1 u32 crc32c of the 12 bytes before
 *   record  "RREC" u32 length u32 crc32c of the length and the payload, payload (CBOR of an entry)
 *
 * An entry says anew all that is kept of one move, of one day of the score, or of both: the last
 * word counts. Both in one record is how a verdict and its score come about together.
 *
 * Reading is total: any bytes give the entries that can be proven, and what was wrong.
 */
import { z } from 'zod'
import { assert } from '../assert.ts'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { checksum } from '../checksum.ts'
import { type FileKind, HEADER_BYTES, readHeader } from '../file-header.ts'
import { MAX_COLUMNS } from '../limits.ts'
import type { Receipt } from './receipt.ts'
import { MAX_RECEIPT_RANGES, MAX_RECORD_BYTES } from './receipt-limits.ts'
import { asReceipt, receiptSchema, timeSchema } from './receipt-schema.ts'
import { type ScoreDay, scoreDaySchema } from './score.ts'

const whole = (max: number) => z.number().int().min(0).max(max)
/** Extents [from, to) of one column and replica. */
export const rangeSchema = z.strictObject({
  generation: whole(0xffff),
  column: whole(MAX_COLUMNS - 1),
  replica: whole(0xff),
  from: whole(0xffff_ffff),
  to: whole(0xffff_ffff)
})
export const rangesSchema = z.array(rangeSchema).max(MAX_RECEIPT_RANGES)
export type MovedRange = z.infer<typeof rangeSchema>

const entrySchema = z.strictObject({
  receipt: receiptSchema.optional(),
  /** What of the volume moved; absent: it was in too many pieces, or is not known. */
  ranges: rangesSchema.optional(),
  /** That its target was told what it keeps of it, as the receipt is here. */
  isTold: z.boolean().optional(),
  day: scoreDaySchema.optional(),
  /** Wall ms: steps of the node's load before it are counted. */
  scoredTo: timeSchema.optional()
})

export interface ReceiptEntry {
  readonly receipt?: Receipt | undefined
  readonly ranges?: readonly MovedRange[] | undefined
  readonly isTold?: boolean | undefined
  readonly day?: ScoreDay | undefined
  readonly scoredTo?: number | undefined
}

export interface ReadReceipts {
  readonly entries: ReceiptEntry[]
  /** Where the last record ends. */
  readonly endBytes: number
  /** Bytes that are no record but are followed by one: not a torn tail, but rot. */
  readonly lostBytes: number
  /** Bytes after the last record: what a crash left of an unfinished write. */
  readonly tornBytes: number
}

/** Of the file as a whole, by its header. */
export const RECEIPT_LOG: FileKind = { name: 'SHOALRCT', version: 1 }
const MAGIC = Uint8Array.from('RREC', char => char.charCodeAt(0))
export const RECORD_HEADER_BYTES = 12
const LENGTH_AT = 4
const CRC_AT = 8

export function encodeRecord(entry: ReceiptEntry): Uint8Array {
  const payload = encodeCbor(plain(entry))
  assert(payload.length <= MAX_RECORD_BYTES, 'a record of receipts is within bounds')
  const record = new Uint8Array(RECORD_HEADER_BYTES + payload.length)
  const view = new DataView(record.buffer)
  record.set(MAGIC)
  view.setUint32(LENGTH_AT, payload.length, true)
  record.set(payload, RECORD_HEADER_BYTES)
  view.setUint32(CRC_AT, proofOf(record), true)
  return record
}

/** The entries of a whole file, header included. */
export function readReceipts(bytes: Uint8Array): ReadReceipts {
  const entries: ReceiptEntry[] = []
  let at = readHeader(bytes, RECEIPT_LOG) === 'damaged' ? 0 : HEADER_BYTES
  let endBytes = Math.min(HEADER_BYTES, bytes.length)
  let lostBytes = 0
  while (at < bytes.length) {
    const record = readRecord(bytes, at)
    if (record === undefined) {
      at = findMagic(bytes, at + 1)
      continue
    }
    lostBytes += Math.max(0, at - endBytes)
    entries.push(record.entry)
    at = record.end
    endBytes = at
  }
  return { entries, endBytes, lostBytes, tornBytes: bytes.length - endBytes }
}

function readRecord(
  bytes: Uint8Array,
  at: number
): { entry: ReceiptEntry; end: number } | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.length || !isMagic(bytes, at)) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_HEADER_BYTES)
  const length = view.getUint32(LENGTH_AT, true)
  const end = at + RECORD_HEADER_BYTES + length
  if (length > MAX_RECORD_BYTES || end > bytes.length) return undefined
  if (view.getUint32(CRC_AT, true) !== proofOf(bytes.subarray(at, end))) return undefined
  const payload = bytes.subarray(at + RECORD_HEADER_BYTES, end)
  const parsed = entrySchema.safeParse(decodeCbor(payload)?.value)
  if (!parsed.success) return undefined
  const { receipt, ...rest } = parsed.data
  return { entry: { ...rest, ...(receipt && { receipt: asReceipt(receipt) }) }, end }
}

/** Of length and payload: a length that rotted is noticed before what it says is believed. */
function proofOf(record: Uint8Array): number {
  const proven = new Uint8Array(record.length - RECORD_HEADER_BYTES + 4)
  proven.set(record.subarray(LENGTH_AT, CRC_AT))
  proven.set(record.subarray(RECORD_HEADER_BYTES), 4)
  return checksum(proven)
}

function isMagic(bytes: Uint8Array, at: number): boolean {
  return MAGIC.every((byte, i) => bytes[at + i] === byte)
}

/** The next place where a record may begin, or the end. */
function findMagic(bytes: Uint8Array, from: number): number {
  const [first = 0] = MAGIC
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (isMagic(bytes, at)) return at
  }
  return bytes.length
}

/** What is absent is not written. */
function plain(entry: ReceiptEntry): object {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined))
}
