/**
 * The bytes of the journal (docs/format.md, "Journal"). All integers little endian.
 *
 *   segment head, 64 bytes
 *     0 "SHOALJNL" | 8 version u32 | 12 CRC32C u32 of 0..12 and 16..64 | 16 number u64
 *    24 start lsn u64 | 32 proven lsn u64 | 40 incarnation u64 | 48 nonce 8 | 56 zero 8
 *   record, beginning at a multiple of 64
 *     0 magic u32 | 4 CRC32C u32 of 8..72 | 8 kind u8 | 9 replica u8 | 10 column u16
 *    12 generation u16 | 14 zero u16 | 16 extent u32 | 20 first block u32 | 24 blocks u32
 *    28 CRC32C u32 of the checksums | 32 lsn u64 | 40 proven lsn u64 | 48 segment nonce 8
 *    56 volume 16 | 72 write, bypass: a CRC32C u32 per block; zeroes to a multiple of 64
 *    then write: the data
 *
 * The data has no checksum of its own: its blocks have theirs. A head that belongs to another
 * segment (nonce) is no head, so neither old bytes nor a guest's copy of a journal are taken for
 * records. Decode is total.
 */
import { checksum } from '../../protocols/checksum.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MAX_COUNTER } from '../../protocols/limits.ts'
import { Kind } from './change.ts'
import { MAX_CHUNK_BLOCKS } from './table.ts'

export const SEGMENT_HEAD_BYTES = 64
export const RECORD_HEAD_BYTES = 72
export const RECORD_ALIGN_BYTES = 64
export const JOURNAL_VERSION = 1
const SEGMENT_MAGIC = Buffer.from('SHOALJNL')
export const RECORD_MAGIC = 0x524c_4853
const WORD = 0x1_0000_0000

export interface SegmentHead {
  readonly number: number
  /** The first record's; records of older segments from here on are void. */
  readonly startLsn: number
  readonly provenLsn: number
  readonly incarnation: number
  readonly nonce: Uint8Array
}

export interface RecordHead {
  readonly kind: Kind
  readonly volume: VolumeId
  readonly extent: number
  readonly generation: number
  readonly column: number
  readonly replica: number
  readonly first: number
  readonly count: number
  readonly lsn: number
  readonly provenLsn: number
  readonly crcsCrc: number
}

export function encodeSegmentHead(head: SegmentHead): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEAD_BYTES)
  bytes.set(SEGMENT_MAGIC, 0)
  bytes.writeUInt32LE(JOURNAL_VERSION, 8)
  writeCounter(bytes, 16, head.number)
  writeCounter(bytes, 24, head.startLsn)
  writeCounter(bytes, 32, head.provenLsn)
  writeCounter(bytes, 40, head.incarnation)
  bytes.set(head.nonce, 48)
  bytes.writeUInt32LE(segmentSeal(bytes), 12)
  return bytes
}

/** A head, `format` for a version that is not ours, or undefined for damage. */
export function decodeSegmentHead(bytes: Buffer): SegmentHead | 'format' | undefined {
  if (bytes.length < SEGMENT_HEAD_BYTES || !bytes.subarray(0, 8).equals(SEGMENT_MAGIC)) return
  if (bytes.readUInt32LE(12) !== segmentSeal(bytes)) return undefined
  if (bytes.readUInt32LE(8) !== JOURNAL_VERSION) return 'format'
  const number = readCounter(bytes, 16)
  const startLsn = readCounter(bytes, 24)
  const provenLsn = readCounter(bytes, 32)
  const incarnation = readCounter(bytes, 40)
  if (number === undefined || startLsn === undefined) return undefined
  if (provenLsn === undefined || incarnation === undefined) return undefined
  return { number, startLsn, provenLsn, incarnation, nonce: bytes.subarray(48, 56) }
}

/** Head and checksums, up to where the data begins. */
export function recordHeadBytes(kind: Kind, blocks: number): number {
  const crcs = kind === Kind.write || kind === Kind.bypass ? blocks : 0
  return Math.ceil((RECORD_HEAD_BYTES + crcs * 4) / RECORD_ALIGN_BYTES) * RECORD_ALIGN_BYTES
}

export function recordBytes(kind: Kind, blocks: number): number {
  return recordHeadBytes(kind, blocks) + (kind === Kind.write ? blocks * BLOCK_BYTES : 0)
}

/** The part that all records of a chunk share; `writeRecord` copies it and fills in the rest. */
export function recordTemplate(
  chunk: Pick<RecordHead, 'volume' | 'extent' | 'generation' | 'column' | 'replica'>
): Buffer {
  const head = Buffer.alloc(RECORD_HEAD_BYTES)
  head.writeUInt32LE(RECORD_MAGIC, 0)
  head[9] = chunk.replica
  head.writeUInt16LE(chunk.column, 10)
  head.writeUInt16LE(chunk.generation, 12)
  head.writeUInt32LE(chunk.extent, 16)
  head.write(chunk.volume, 56, 'hex')
  return head
}

export interface RecordFields {
  readonly kind: Kind
  readonly first: number
  readonly count: number
  readonly crcs: Uint32Array
  readonly lsn: number
  readonly provenLsn: number
  readonly nonce: Uint8Array
}

/** Writes head and checksums at `at`; answers where the data begins. */
export function writeRecord(
  target: Buffer,
  at: number,
  template: Uint8Array,
  fields: RecordFields
): number {
  const { kind, crcs } = fields
  const end = at + recordHeadBytes(kind, fields.count)
  target.set(template, at)
  let next = at + RECORD_HEAD_BYTES
  for (let i = 0; i < crcs.length; i++, next += 4) target.writeUInt32LE(crcs[i] ?? 0, next)
  target.fill(0, next, end)
  target[at + 8] = kind
  target.writeUInt32LE(fields.first, at + 20)
  target.writeUInt32LE(fields.count, at + 24)
  target.writeUInt32LE(crcsCrc(target, at, crcs.length), at + 28)
  writeCounter(target, at + 32, fields.lsn)
  writeCounter(target, at + 40, fields.provenLsn)
  target.set(fields.nonce, at + 48)
  target.writeUInt32LE(checksum(target.subarray(at + 8, at + RECORD_HEAD_BYTES)), at + 4)
  return end
}

/** The head at `at`, or undefined if there is none of this segment. */
export function readRecordHead(
  bytes: Buffer,
  at: number,
  nonce: Uint8Array
): RecordHead | undefined {
  if (at + RECORD_HEAD_BYTES > bytes.length) return undefined
  if (bytes.readUInt32LE(at) !== RECORD_MAGIC) return undefined
  if (Buffer.compare(bytes.subarray(at + 48, at + 56), nonce) !== 0) return undefined
  const seal = checksum(bytes.subarray(at + 8, at + RECORD_HEAD_BYTES))
  if (bytes.readUInt32LE(at + 4) !== seal) return undefined
  const kind = bytes.readUInt8(at + 8)
  if (kind < Kind.write || kind > Kind.mark) return undefined
  const first = bytes.readUInt32LE(at + 20)
  const count = bytes.readUInt32LE(at + 24)
  const lsn = readCounter(bytes, at + 32)
  const provenLsn = readCounter(bytes, at + 40)
  if (lsn === undefined || provenLsn === undefined) return undefined
  if (first + count > MAX_CHUNK_BLOCKS || (count === 0) !== (kind === Kind.mark)) return undefined
  return {
    kind: kind as Kind,
    volume: bytes.toString('hex', at + 56, at + 72) as VolumeId,
    extent: bytes.readUInt32LE(at + 16),
    generation: bytes.readUInt16LE(at + 12),
    column: bytes.readUInt16LE(at + 10),
    replica: bytes.readUInt8(at + 9),
    first,
    count,
    lsn,
    provenLsn,
    crcsCrc: bytes.readUInt32LE(at + 28)
  }
}

/** The checksums of the record at `at`, or undefined if they are cut short or damaged. */
export function readRecordCrcs(
  bytes: Buffer,
  at: number,
  head: RecordHead
): Uint32Array | undefined {
  const count = head.kind === Kind.write || head.kind === Kind.bypass ? head.count : 0
  const start = at + RECORD_HEAD_BYTES
  if (start + count * 4 > bytes.length) return undefined
  if (crcsCrc(bytes, at, count) !== head.crcsCrc) return undefined
  const crcs = new Uint32Array(count)
  for (let i = 0; i < count; i++) crcs[i] = bytes.readUInt32LE(start + i * 4)
  return crcs
}

function crcsCrc(bytes: Buffer, at: number, count: number): number {
  if (count === 0) return 0
  const start = at + RECORD_HEAD_BYTES
  return checksum(bytes.subarray(start, start + count * 4))
}

function segmentSeal(bytes: Buffer): number {
  return checksum(Buffer.concat([bytes.subarray(0, 12), bytes.subarray(16, SEGMENT_HEAD_BYTES)]))
}

function writeCounter(target: Buffer, at: number, value: number): void {
  target.writeUInt32LE(value % WORD, at)
  target.writeUInt32LE(Math.floor(value / WORD), at + 4)
}

function readCounter(source: Buffer, at: number): number | undefined {
  const value = source.readUInt32LE(at) + source.readUInt32LE(at + 4) * WORD
  return value <= MAX_COUNTER ? value : undefined
}
