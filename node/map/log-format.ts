/**
 * The bytes of the map's log, `map/log-<n>` (docs/format-map.md). All integers little-endian.
 *
 *   file    header record*
 *   header  "SHOALMAP" u32 version=1 u32 crc32c of the 12 bytes before
 *   record  u32 magic "MREC" u32 length u32 crc32c of the payload, payload (CBOR of an entry)
 *
 * Reading is total: any bytes give the entries that can be proven, and what was wrong.
 */
import { z } from 'zod'
import { assert } from '../../protocols/assert.ts'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { checksum } from '../../protocols/checksum.ts'
import { type FileKind, HEADER_BYTES } from '../../protocols/file-header.ts'
import type { DocumentName, Head } from '../../protocols/map-sync/messages.ts'
import { changeSchema, generationSchema } from '../../protocols/map-sync/messages.ts'
import { MAX_MAP_RECORD_BYTES } from '../limits.ts'

const documentName = changeSchema.shape.document

const entrySchema = z.discriminatedUnion('is', [
  /** An update that took effect; with `begins`, a whole document that replaces what was kept. */
  z.strictObject({
    is: z.literal('update'),
    document: documentName,
    generation: generationSchema,
    update: z.instanceof(Uint8Array),
    begins: z.boolean()
  }),
  /** The document is not kept any more. */
  z.strictObject({ is: z.literal('drop'), document: documentName }),
  /** Wall clock of the last agreement with the mesh. */
  z.strictObject({ is: z.literal('agreed'), at: z.number() })
])
export type LogEntry =
  | ({ readonly is: 'update'; readonly update: Uint8Array; readonly begins: boolean } & Omit<
      Head,
      'digest'
    >)
  | { readonly is: 'drop'; readonly document: DocumentName }
  | { readonly is: 'agreed'; readonly at: number }

export interface ReadLog {
  readonly entries: LogEntry[]
  /** Where the last record ends. */
  readonly endBytes: number
  /** Bytes that are no record but are followed by one: not a torn tail, but rot. */
  readonly lostBytes: number
  /** Bytes after the last record: what a crash left of an unfinished write. */
  readonly tornBytes: number
}

export const MAP_LOG: FileKind = { name: 'SHOALMAP', version: 1 }
const MAGIC = 0x4345_524d
const RECORD_HEADER_BYTES = 12

/** A record, as parts to be written one after the other. */
export function encodeEntry(entry: LogEntry): Uint8Array[] {
  const payload = encodeCbor(entry)
  assert(payload.length <= MAX_MAP_RECORD_BYTES, 'a record of the map log is within bounds')
  const header = new Uint8Array(RECORD_HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint32(4, payload.length, true)
  view.setUint32(8, checksum(payload), true)
  return [header, payload]
}

/** The entries of a log file, header included. */
export function readLog(bytes: Uint8Array): ReadLog {
  const entries: LogEntry[] = []
  let at = HEADER_BYTES
  let endBytes = Math.min(HEADER_BYTES, bytes.length)
  let lostBytes = 0
  while (at < bytes.length) {
    const record = readRecord(bytes, at)
    if (record === undefined) {
      at = findMagic(bytes, at + 1)
      continue
    }
    lostBytes += at - endBytes
    entries.push(record.entry)
    at = record.end
    endBytes = at
  }
  return { entries, endBytes, lostBytes, tornBytes: bytes.length - endBytes }
}

function readRecord(bytes: Uint8Array, at: number): { entry: LogEntry; end: number } | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_HEADER_BYTES)
  const start = at + RECORD_HEADER_BYTES
  const end = start + view.getUint32(4, true)
  if (view.getUint32(0, true) !== MAGIC || end > bytes.length) return undefined
  const payload = bytes.subarray(start, end)
  if (payload.length > MAX_MAP_RECORD_BYTES) return undefined
  if (checksum(payload) !== view.getUint32(8, true)) return undefined
  const parsed = entrySchema.safeParse(decodeCbor(payload)?.value)
  return parsed.success ? { entry: parsed.data, end } : undefined
}

/** The next place where a record may begin, or the end. */
function findMagic(bytes: Uint8Array, from: number): number {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = view.indexOf('MREC', from, 'latin1')
  return found < 0 ? bytes.length : found
}
