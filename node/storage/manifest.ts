/**
 * What a shard's manifest, the tombstones and the root hold. Sealed (sealed.ts) around CBOR; the
 * list of chunks is packed, 16 bytes each, because a shard may have tens of thousands:
 *
 *   0 extent u32 | 4 generation u16 | 6 column u16 | 8 replica u8 | 9 zero 3 | 12 data blocks u32
 *
 * Version 1 of a manifest knew no handoffs: its writer is whoever had the token. It is read, and
 * replaced by version 2 when the shard is next saved. Decode is total: a value, or why the bytes
 * are none. An absent value is null or no key at all: `undefined` is not encoded.
 */
import { decode, encode } from 'cborg'
import { z } from 'zod'
import { messageOf } from '../../protocols/fault.ts'
import type { ChunkKey, Token, VolumeId } from '../../protocols/ids.ts'
import { isCounter, isVolumeId } from '../../protocols/ids.ts'
import {
  holderSchema,
  receivingSchema,
  releasedSchema,
  runSchema,
  specSchema,
  tokenSchema
} from '../../protocols/shard-control/messages.ts'
import { MAX_SHARD_RECORD_BYTES, MAX_TOMBSTONES } from '../limits.ts'
import { noSpace } from './health.ts'
import { encodeSealed, SealedKind } from './sealed.ts'
import type { ShardRecord } from './types.ts'

/** Version 2 knows handoffs: the writer's token, movers, ids of what is released and received. */
export const MANIFEST_VERSION = 2
export const OLDEST_MANIFEST_VERSION = 1
export const TOMBSTONES_VERSION = 1
export const ROOT_VERSION = 1
const CHUNK_BYTES = 16

export interface ListedChunk {
  readonly key: ChunkKey
  readonly allocatedBlocks: number
}

export interface Manifest {
  readonly record: ShardRecord
  readonly chunks: readonly ListedChunk[]
}

export interface Tombstone {
  readonly volume: VolumeId
  readonly token: Token
}

/** Everything up to `checkpointLsn` is in tables and files; everything up to `provenLsn` synced. */
export interface Root {
  readonly checkpointLsn: number
  readonly provenLsn: number
}

const sinceFirst = {
  spec: specSchema,
  sizeBytes: z.number().int().min(0),
  token: tokenSchema,
  holder: holderSchema.nullable(),
  runs: z.array(runSchema)
}
const chunks = z.instanceof(Uint8Array)
const manifestSchema = z.strictObject({
  record: z.strictObject({
    ...sinceFirst,
    writer: tokenSchema,
    mover: holderSchema.nullable(),
    released: z.array(releasedSchema),
    receiving: z.array(receivingSchema)
  }),
  chunks
})
const none = z.array(z.never()).max(0)
const firstManifestSchema = z.strictObject({
  record: z.strictObject({ ...sinceFirst, released: none, receiving: none }),
  chunks
})
const tombstonesSchema = z
  .array(z.strictObject({ volume: z.custom<VolumeId>(isVolumeId), token: tokenSchema }))
  .max(MAX_TOMBSTONES)
const lsn = z.custom<number>(isCounter)
const rootSchema = z.strictObject({ checkpointLsn: lsn, provenLsn: lsn })

/** Throws NO_SPACE if the record is too long; the number of chunks is bounded by the store. */
export function encodeManifest(record: ShardRecord, chunks: readonly ListedChunk[]): Buffer {
  const packed = Buffer.alloc(chunks.length * CHUNK_BYTES)
  for (const [i, { key, allocatedBlocks }] of chunks.entries()) {
    packed.writeUInt32LE(key.extent, i * CHUNK_BYTES)
    packed.writeUInt16LE(key.generation, i * CHUNK_BYTES + 4)
    packed.writeUInt16LE(key.column, i * CHUNK_BYTES + 6)
    packed.writeUInt8(key.replica, i * CHUNK_BYTES + 8)
    packed.writeUInt32LE(allocatedBlocks, i * CHUNK_BYTES + 12)
  }
  const { spec, sizeBytes, token, writer, runs, receiving } = record
  const released = record.released.map(({ run, to, handoff }) =>
    handoff === undefined ? { run, to } : { run, to, handoff }
  )
  const holder = record.holder ?? null
  const mover = record.mover ?? null
  const plain = { spec, sizeBytes, token, writer, holder, mover, runs, released, receiving }
  const body = encode({ record: plain, chunks: packed })
  const recordBytes = body.length - packed.length
  if (recordBytes > MAX_SHARD_RECORD_BYTES) throw noSpace('this shard has too many runs to keep')
  return encodeSealed(SealedKind.manifest, MANIFEST_VERSION, body)
}

export function decodeManifest(body: Uint8Array, version = MANIFEST_VERSION): Manifest | string {
  const value = version === 1 ? parseFirst(body) : parse(manifestSchema, body)
  if (typeof value === 'string') return value
  const { record, chunks } = value
  if (chunks.length % CHUNK_BYTES !== 0) return 'its list of chunks is cut short'
  const listed = unpackChunks(record.spec.id, chunks)
  const { holder, mover } = record
  const plain = { holder: holder ?? undefined, mover: mover ?? undefined }
  return { record: { ...record, ...plain }, chunks: listed }
}

export function encodeTombstones(list: readonly Tombstone[]): Buffer {
  return encodeSealed(SealedKind.tombstones, TOMBSTONES_VERSION, encode(list))
}

export function decodeTombstones(body: Uint8Array): Tombstone[] | string {
  return parse(tombstonesSchema, body)
}

export function encodeRoot(root: Root): Buffer {
  return encodeSealed(SealedKind.root, ROOT_VERSION, encode(root))
}

export function decodeRoot(body: Uint8Array): Root | string {
  return parse(rootSchema, body)
}

function parseFirst(body: Uint8Array): z.infer<typeof manifestSchema> | string {
  const value = parse(firstManifestSchema, body)
  if (typeof value === 'string') return value
  const { record, chunks } = value
  return { record: { ...record, writer: record.token, mover: null }, chunks }
}

function parse<T>(schema: z.ZodType<T>, body: Uint8Array): T | string {
  try {
    const parsed = schema.safeParse(decode(body))
    return parsed.success ? parsed.data : z.prettifyError(parsed.error)
  } catch (error) {
    return messageOf(error)
  }
}

function unpackChunks(volume: VolumeId, packed: Uint8Array): ListedChunk[] {
  const view = Buffer.from(packed.buffer, packed.byteOffset, packed.length)
  const chunks: ListedChunk[] = []
  const seen = new Set<string>()
  for (let at = 0; at < view.length; at += CHUNK_BYTES) {
    const text = view.toString('hex', at, at + 9)
    if (seen.has(text)) continue
    seen.add(text)
    chunks.push({
      key: {
        volume,
        extent: view.readUInt32LE(at),
        generation: view.readUInt16LE(at + 4),
        column: view.readUInt16LE(at + 6),
        replica: view.readUInt8(at + 8)
      },
      allocatedBlocks: view.readUInt32LE(at + 12)
    })
  }
  return chunks
}
