/**
 * The first 16 bytes of an append-only file: a name of 8 characters, a version, and the CRC32C of
 * both. Numbers are little-endian.
 */
import { assert } from './assert.ts'
import { checksum } from './checksum.ts'

export const HEADER_BYTES = 16
const NAME_BYTES = 8
const CRC_AT = 12

export interface FileKind {
  /** ASCII. */
  readonly name: string
  readonly version: number
}

export function encodeHeader({ name, version }: FileKind): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  header.set(bytesOf(name))
  view.setUint32(NAME_BYTES, version, true)
  view.setUint32(CRC_AT, checksum(header.subarray(0, CRC_AT)), true)
  return header
}

/** `ours`: of this version. `foreign`: of another. `damaged`: no header at all. */
export function readHeader(
  bytes: Uint8Array,
  { name, version }: FileKind
): 'ours' | 'foreign' | 'damaged' {
  if (bytes.length < HEADER_BYTES) return 'damaged'
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isNamed = bytesOf(name).every((byte, i) => bytes[i] === byte)
  const isWhole = view.getUint32(CRC_AT, true) === checksum(bytes.subarray(0, CRC_AT))
  if (!isNamed || !isWhole) return 'damaged'
  return view.getUint32(NAME_BYTES, true) === version ? 'ours' : 'foreign'
}

function bytesOf(name: string): Uint8Array {
  assert(name.length === NAME_BYTES, 'a kind of file has a name of eight characters')
  return Uint8Array.from(name, char => char.charCodeAt(0))
}
