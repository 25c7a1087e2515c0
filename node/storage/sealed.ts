/**
 * Small checked files, read and replaced as a whole: root, manifests, tombstones, tables.
 *
 *   0 "SHOL" | 4 kind u16 | 6 version u16 | 8 body bytes u32 | 12 CRC32C u32 of bytes 0..12 and
 *   the body | 16 body
 *
 * Invariants: a sealed file is never written in place (temporary name, sync, rename, sync of the
 * directory), so it is either the old one or the new one; anything else is damage, never a default.
 * Decode is total.
 */
import { crc32c } from '@node-rs/crc32'
import { assert } from '../../protocols/assert.ts'
import { checksum } from '../../protocols/checksum.ts'
import { MAX_SEALED_BYTES } from '../limits.ts'
import type { Disk, DiskFile } from '../ports.ts'
import type { Health } from './health.ts'
import { isAbsent, isPresent } from './health.ts'

export const SealedKind = { root: 1, manifest: 2, tombstones: 3, table: 4 } as const
export type SealedKind = (typeof SealedKind)[keyof typeof SealedKind]

export const SEALED_HEADER_BYTES = 16
const MAGIC = 0x4c4f4853

/** `found`: the body; `format`: written by a version that this one does not know. */
export type Sealed =
  | { is: 'found'; body: Buffer; version: number }
  | { is: 'absent' }
  | { is: 'damaged'; why: string }
  | { is: 'format'; version: number }

export function encodeSealed(kind: SealedKind, version: number, body: Uint8Array): Buffer {
  assert(body.length <= MAX_SEALED_BYTES, 'a sealed file fits its bound')
  const bytes = Buffer.allocUnsafe(SEALED_HEADER_BYTES + body.length)
  bytes.writeUInt32LE(MAGIC, 0)
  bytes.writeUInt16LE(kind, 4)
  bytes.writeUInt16LE(version, 6)
  bytes.writeUInt32LE(body.length, 8)
  bytes.set(body, SEALED_HEADER_BYTES)
  bytes.writeUInt32LE(sealOf(bytes), 12)
  return bytes
}

/** Versions from `oldest` to `version` are found; the caller decodes each. */
export function decodeSealed(
  bytes: Buffer,
  kind: SealedKind,
  version: number,
  oldest = version
): Sealed {
  if (bytes.length < SEALED_HEADER_BYTES) return { is: 'damaged', why: 'shorter than its header' }
  if (bytes.readUInt32LE(0) !== MAGIC) return { is: 'damaged', why: 'not a file of Shoal' }
  if (bytes.readUInt32LE(8) !== bytes.length - SEALED_HEADER_BYTES) {
    return { is: 'damaged', why: 'its length contradicts its header' }
  }
  if (bytes.readUInt32LE(12) !== sealOf(bytes)) return { is: 'damaged', why: 'wrong checksum' }
  if (bytes.readUInt16LE(4) !== kind) return { is: 'damaged', why: 'another kind of file' }
  const found = bytes.readUInt16LE(6)
  if (found < oldest || found > version) return { is: 'format', version: found }
  return { is: 'found', body: bytes.subarray(SEALED_HEADER_BYTES), version: found }
}

/** Rejects with the disk's error if the file is there and cannot be read. */
export async function readSealed(
  disk: Disk,
  path: string,
  kind: SealedKind,
  version: number,
  oldest = version
): Promise<Sealed> {
  const bytes = await readWhole(disk, path)
  if (bytes === undefined) return { is: 'absent' }
  return decodeSealed(bytes, kind, version, oldest)
}

/** Undefined if there is no such file; empty if it is longer than any sealed file may be. */
export async function readWhole(disk: Disk, path: string): Promise<Buffer | undefined> {
  const file = await disk.open(path).catch(error => {
    if (isAbsent(error)) return undefined
    throw error
  })
  if (file === undefined) return undefined
  try {
    const size = await file.size()
    if (size > MAX_SEALED_BYTES + SEALED_HEADER_BYTES) return Buffer.alloc(0)
    const bytes = Buffer.allocUnsafe(size)
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
}

/**
 * Atomic; durable only once the caller has synced the directory. A cutover waits for this: the
 * temporary file is new, so that nothing has to be cut off, and its close, which has nothing left
 * to say after the sync, is not waited for.
 */
export async function replaceFile(
  disk: Disk,
  health: Health,
  path: string,
  bytes: Uint8Array
): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await openNew(disk, temporary)
  try {
    await file.write([bytes], 0)
    await health.sync(file.sync())
  } finally {
    file.close().catch(() => {})
  }
  await disk.rename(temporary, path)
}

/** What an attempt that failed left behind goes first. */
async function openNew(disk: Disk, path: string): Promise<DiskFile> {
  try {
    return await disk.open(path, 'new')
  } catch (error) {
    if (!isPresent(error)) throw error
  }
  await disk.remove(path)
  return disk.open(path, 'new')
}

function sealOf(bytes: Buffer): number {
  return crc32c(bytes.subarray(SEALED_HEADER_BYTES), checksum(bytes.subarray(0, 12)))
}
