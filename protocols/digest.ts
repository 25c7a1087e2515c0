/**
 * Digest of a chunk: equal digest = equal copy. SHA-256 over the lines of its allocated blocks,
 * ascending, as a CIDv1 (raw codec, sha2-256, base32):
 *
 *   head   "shoal chunk 1\n"
 *   line   block index u32 | CRC32C u32 | XXH64 of the block, seed 0, u64      (little endian)
 *
 * CRC32C alone can be made to collide; with the 64-bit hash and the index beside it, two chunks
 * of equal digest hold the same bytes in the same blocks, and the same holes. An allocated block
 * of zeroes and a hole differ.
 */
import { createHash } from 'node:crypto'
import { xxh64 } from '@node-rs/xxhash'
import { CID } from 'multiformats/cid'
import { create } from 'multiformats/hashes/digest'
import { assert } from './assert.ts'
import { BLOCK_BYTES } from './limits.ts'

const RAW_CODEC = 0x55
const SHA2_256 = 0x12
const LINE_BYTES = 16
const HEAD = 'shoal chunk 1\n'
/** Lines that are hashed together. */
const BATCH_LINES = 1024

export interface ChunkDigest {
  /** The next allocated block; blocks come in ascending order. */
  add: (block: number, crc: number, data: Uint8Array) => void
  /** The same with the XXH64 (seed 0) of a block that was hashed when it was read. */
  addHash: (block: number, crc: number, hash: bigint) => void
  /** The CID as text. Ends the digest. */
  finish: () => string
}

export function chunkDigest(): ChunkDigest {
  const hash = createHash('sha256').update(HEAD)
  const lines = Buffer.allocUnsafe(BATCH_LINES * LINE_BYTES)
  let filled = 0
  let last = -1
  const flush = (): void => {
    hash.update(lines.subarray(0, filled))
    filled = 0
  }
  const addHash = (block: number, crc: number, xxh: bigint): void => {
    assert(block > last, 'blocks of a digest ascend')
    last = block
    lines.writeUInt32LE(block, filled)
    lines.writeUInt32LE(crc, filled + 4)
    lines.writeBigUInt64LE(xxh, filled + 8)
    filled += LINE_BYTES
    if (filled === lines.length) flush()
  }
  return {
    add: (block, crc, data) => {
      assert(data.length === BLOCK_BYTES, 'a digest is made of whole blocks')
      addHash(block, crc, xxh64(data, 0n))
    },
    addHash,
    finish: () => {
      flush()
      return CID.createV1(RAW_CODEC, create(SHA2_256, hash.digest())).toString()
    }
  }
}
