/**
 * Frames of the handoff stream. All integers little endian; the exchange is in PROTOCOL.md beside
 * this file.
 *
 *   0 frame bytes u32 | 4 type u8 | 5 flags u8 | 6 zero u16 | 8 first block u32 | 12 blocks u32
 *  16 payload: CBOR; of `have` an XXH64 u64 per block; of `blocks` a CRC32C u32 per block, then data
 *
 * Invariants: decode is total: any bytes give a frame or a refusal, never an exception; a blocks
 * frame names at least one block and carries exactly one checksum for each.
 */
import { z } from 'zod'
import { assert } from '../assert.ts'
import { decodeCbor, encodeCbor } from '../cbor.ts'
import { BLOCK_BYTES, KiB, MAX_EXTENT_BYTES, MAX_VOLUME_BYTES } from '../limits.ts'
import { epochSchema, holderSchema, specSchema, tokenSchema } from '../shard-control/messages.ts'
import { chunkSchema, handoffIdSchema } from './calls.ts'
import { MAX_HANDOFF_DATA_BYTES } from './limits.ts'

export const HANDOFF_PROTOCOL = '/shoal/handoff/1'
export const HANDOFF_HEADER_BYTES = 16
const MAX_DATA_BLOCKS = MAX_HANDOFF_DATA_BYTES / BLOCK_BYTES
const MAX_CHUNK_BLOCKS = MAX_EXTENT_BYTES / BLOCK_BYTES
/** Hashes that one `have` frame carries. */
export const MAX_HAVE_BLOCKS = 65_536
/** Longer than any frame: a run of hashes, or data with its checksums. */
export const MAX_HANDOFF_FRAME_BYTES =
  Math.max(MAX_HANDOFF_DATA_BYTES + MAX_DATA_BLOCKS * 4, MAX_HAVE_BLOCKS * 8) + 64 * KiB

const Type = {
  hello: 1,
  have: 3,
  blocks: 4,
  holes: 5,
  stored: 6,
  verify: 7,
  verified: 8,
  prepare: 9,
  prepared: 10,
  released: 11,
  held: 12,
  abort: 13,
  refused: 14
} as const

const COMPRESSED = 1

/** What the target must know of the volume: a shard there may never have heard of it. */
const volumeFields = {
  sizeBytes: z.number().int().min(BLOCK_BYTES).max(MAX_VOLUME_BYTES).multipleOf(BLOCK_BYTES),
  token: tokenSchema,
  writer: tokenSchema,
  holder: holderSchema.optional()
}
export const helloSchema = z.strictObject({
  handoff: handoffIdSchema,
  chunk: chunkSchema,
  spec: specSchema,
  ...volumeFields,
  /** At which the source holds it. */
  epoch: epochSchema,
  reserveBytes: z.number().int().min(0).max(MAX_EXTENT_BYTES)
})
export type Hello = z.infer<typeof helloSchema>

export const prepareSchema = z.strictObject({
  ...volumeFields,
  epoch: epochSchema,
  digest: z.string().max(128)
})
export type Prepare = z.infer<typeof prepareSchema>

export const releasedFrameSchema = z.strictObject({ epoch: epochSchema })

export const refusalSchema = z.strictObject({
  code: z.enum(['no-space', 'stale', 'removed', 'held', 'busy', 'digest', 'failed']),
  why: z.string().max(500)
})
export type Refusal = z.infer<typeof refusalSchema>

interface Range {
  readonly first: number
  readonly count: number
}

export type Frame =
  | { readonly type: 'hello'; readonly body: Hello }
  | ({ readonly type: 'have'; readonly hashes: BigUint64Array } & Range)
  | ({
      readonly type: 'blocks'
      readonly crcs: Uint32Array
      /** The blocks, or (isCompressed) what they were compressed to. */
      readonly data: Uint8Array
      readonly isCompressed: boolean
    } & Range)
  | ({ readonly type: 'holes' } & Range)
  | { readonly type: 'stored'; readonly count: number }
  | { readonly type: 'verify' }
  | { readonly type: 'verified' }
  | { readonly type: 'prepare'; readonly body: Prepare }
  | { readonly type: 'prepared' }
  | { readonly type: 'released'; readonly body: z.infer<typeof releasedFrameSchema> }
  | { readonly type: 'held' }
  | { readonly type: 'abort' }
  | { readonly type: 'refused'; readonly body: Refusal }

/** What a frame takes of the window: unpacked data, or one block for holes, however many. */
export function frameCost(frame: Frame & { type: 'blocks' | 'holes' }): number {
  return frame.type === 'blocks' ? frame.count * BLOCK_BYTES : BLOCK_BYTES
}

const NO_BYTES = new Uint8Array(0)

/** The parts of the frame, to be written in order; data is passed on by reference. */
export function encodeFrame(frame: Frame): Uint8Array[] {
  const first = 'first' in frame ? frame.first : 0
  const count = 'count' in frame ? frame.count : 0
  const sums = sumsOf(frame)
  const body = 'body' in frame ? encodeCbor(frame.body) : NO_BYTES
  const data = frame.type === 'blocks' ? frame.data : NO_BYTES
  if (frame.type === 'blocks') {
    assert(frame.isCompressed || data.length === count * BLOCK_BYTES, 'a frame has its blocks')
  }
  const head = Buffer.alloc(HANDOFF_HEADER_BYTES)
  head.writeUInt32LE(head.length + sums.length + body.length + data.length, 0)
  head[4] = Type[frame.type]
  head[5] = frame.type === 'blocks' && frame.isCompressed ? COMPRESSED : 0
  head.writeUInt32LE(first, 8)
  head.writeUInt32LE(count, 12)
  return [Buffer.concat([head, sums]), body, data].filter(part => part.length > 0)
}

/** What the frame says of each of its blocks. */
function sumsOf(frame: Frame): Buffer {
  if (frame.type === 'blocks') {
    assert(frame.crcs.length === frame.count, 'one checksum per block')
    const sums = Buffer.alloc(frame.count * 4)
    for (const [i, crc] of frame.crcs.entries()) sums.writeUInt32LE(crc, i * 4)
    return sums
  }
  if (frame.type === 'have') {
    assert(frame.hashes.length === frame.count, 'one hash per block')
    const sums = Buffer.alloc(frame.count * 8)
    for (const [i, hash] of frame.hashes.entries()) sums.writeBigUInt64LE(hash, i * 8)
    return sums
  }
  return Buffer.alloc(0)
}

/** A frame, or the reason why these bytes (one whole frame) are none. */
export function decodeFrame(bytes: Uint8Array): Frame | string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.length < HANDOFF_HEADER_BYTES) return 'shorter than its header'
  if (view.length > MAX_HANDOFF_FRAME_BYTES) return 'too long'
  if (view.readUInt32LE(0) !== view.length) return 'its length field contradicts the frame'
  if (view.readUInt16LE(6) !== 0) return 'unknown flags'
  const type = view.readUInt8(4)
  const flags = view.readUInt8(5)
  if (flags !== 0 && (type !== Type.blocks || flags !== COMPRESSED)) return 'unknown flags'
  const first = view.readUInt32LE(8)
  const count = view.readUInt32LE(12)
  const payload = view.subarray(HANDOFF_HEADER_BYTES)
  if (first + count > MAX_CHUNK_BLOCKS) return 'blocks beyond any chunk'
  switch (type) {
    case Type.have:
    case Type.blocks:
    case Type.holes:
      return decodeRange(type, first, count, payload, flags === COMPRESSED)
    case Type.stored:
      return first === 0 && payload.length === 0 ? { type: 'stored', count } : 'malformed stored'
    default:
      if (first !== 0 || count !== 0) return 'blocks where none belong'
      return decodeBody(type, payload)
  }
}

function decodeRange(
  type: number,
  first: number,
  count: number,
  payload: Buffer,
  isCompressed: boolean
): Frame | string {
  if (type === Type.holes) {
    if (count === 0 || payload.length > 0) return 'malformed holes'
    return { type: 'holes', first, count }
  }
  if (type === Type.have) {
    if (count > MAX_HAVE_BLOCKS || payload.length !== count * 8) return 'malformed have'
    const hashes = new BigUint64Array(count)
    for (let i = 0; i < count; i++) hashes[i] = payload.readBigUInt64LE(i * 8)
    return { type: 'have', first, count, hashes }
  }
  if (payload.length < count * 4) return 'fewer checksums than blocks'
  const crcs = new Uint32Array(count)
  for (let i = 0; i < count; i++) crcs[i] = payload.readUInt32LE(i * 4)
  const data = payload.subarray(count * 4)
  if (count === 0 || count > MAX_DATA_BLOCKS) return 'no blocks, or too many'
  if (!isCompressed && data.length !== count * BLOCK_BYTES) return 'data contradicts its length'
  if (isCompressed && data.length >= count * BLOCK_BYTES) return 'compressed to more than it was'
  return { type: 'blocks', first, count, crcs, data, isCompressed }
}

function decodeBody(type: number, payload: Uint8Array): Frame | string {
  switch (type) {
    case Type.hello:
      return withBody('hello', helloSchema, payload)
    case Type.prepare:
      return withBody('prepare', prepareSchema, payload)
    case Type.released:
      return withBody('released', releasedFrameSchema, payload)
    case Type.refused:
      return withBody('refused', refusalSchema, payload)
    default:
      break
  }
  if (payload.length > 0) return 'unexpected payload'
  for (const plain of ['verify', 'verified', 'prepared', 'held', 'abort'] as const) {
    if (type === Type[plain]) return { type: plain }
  }
  return 'unknown type'
}

function withBody<T extends string, B>(
  type: T,
  schema: z.ZodType<B>,
  payload: Uint8Array
): { type: T; body: B } | string {
  const decoded = decodeCbor(payload)
  if (decoded === undefined) return `${type} is not CBOR`
  const parsed = schema.safeParse(decoded.value)
  return parsed.success ? { type, body: parsed.data } : `${type} is malformed`
}
