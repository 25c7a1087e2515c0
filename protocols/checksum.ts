/** CRC32C (Castagnoli, RFC 3720 appendix B.4) of 4 KiB blocks: the end-to-end checksum. */
import { crc32c } from '@node-rs/crc32'
import { assert } from './assert.ts'
import { BLOCK_BYTES } from './limits.ts'

/** The checksum of one block of zeroes: what a hole answers. */
export const ZERO_BLOCK_CRC = crc32c(Buffer.alloc(BLOCK_BYTES))

/** CRC32C of any bytes, as an unsigned 32-bit integer. */
export function checksum(bytes: Uint8Array): number {
  return crc32c(bytes as Buffer)
}

/** One CRC32C per 4 KiB block of `data`, whose length is a multiple of 4 KiB. */
export function blockChecksums(data: Uint8Array): Uint32Array {
  assert(data.length % BLOCK_BYTES === 0, 'checksummed data is whole blocks')
  // One block is the common case, and a view costs a tenth of its checksum.
  if (data.length === BLOCK_BYTES) return Uint32Array.of(checksum(data))
  const crcs = new Uint32Array(data.length / BLOCK_BYTES)
  for (let i = 0; i < crcs.length; i++) {
    crcs[i] = checksum(data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))
  }
  return crcs
}

/** Index of the first block of `data` that contradicts `crcs`, or -1. */
export function firstBadBlock(data: Uint8Array, crcs: Uint32Array): number {
  assert(data.length === crcs.length * BLOCK_BYTES, 'one checksum per block')
  if (crcs.length === 1) return checksum(data) === crcs[0] ? -1 : 0
  for (let i = 0; i < crcs.length; i++) {
    if (checksum(data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)) !== crcs[i]) return i
  }
  return -1
}
