/**
 * What the shard server asks of a store. One store per node; it keeps the chunks of all shards
 * behind one journal. Implemented in store.ts; docs/format.md describes every byte.
 *
 * Invariants of every implementation:
 * - the order of calls is the order of effects: a change is sequenced at the call, not when its
 *   promise resolves, and a read sees exactly the changes that were called before it;
 * - a change resolves once the OS has it (safe against the death of the process);
 * - `flush` resolves once everything that resolved before the call is durable (loss of power);
 * - a read answers only bytes whose checksums match; anything else rejects.
 * Rejections are ShoalError: BAD_CHECKSUM, NO_SPACE, IO_ERROR.
 */
import type { ChunkKey, Incarnation, Token, VolumeId } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'

/** The durable head of a shard. Replaced as a whole, atomically. */
export type ShardRecord = ShardHead

export interface ReadResult {
  readonly data: Uint8Array
  readonly crcs: Uint32Array
}

/** What a chunk's table says of some blocks, in their order. */
export interface ChunkBlocks {
  /** `BlockState` (table.ts): 0 hole, 1 data, 2 lost (was durable; damage took it). */
  readonly states: Uint8Array
  /** Of blocks that are not data: 0. */
  readonly crcs: Uint32Array
}

export interface StoreSpace {
  /** What the operator lets this node use, and what of it is used (data, tables, journal). */
  readonly capacityBytes: number
  readonly usedBytes: number
  /** What can still be written: the smaller of capacity and file system, less the reserve and what is reserved. */
  readonly availableBytes: number
}

export interface ChunkStore {
  readonly incarnation: Incarnation
  /** Set once the store cannot go on (failed sync): everything else then rejects IO_ERROR. */
  readonly failure: Error | undefined
  onFailure: (listener: (error: Error) => void) => void

  shards: () => ShardRecord[]
  shard: (volume: VolumeId) => ShardRecord | undefined
  /** Token under which the shard was removed, while that is remembered. */
  removedAt: (volume: VolumeId) => Token | undefined
  /** Durable (and visible to `shard`) when it resolves. Calls for one volume are applied in order. */
  saveShard: (record: ShardRecord) => Promise<void>
  /** Durable tombstone first, then the bytes are freed. */
  removeShard: (volume: VolumeId, token: Token) => Promise<void>

  /**
   * Forgets a shard that keeps nothing: no runs, released or receiving entries, and no chunk. No
   * tombstone stays: it may come back. True once that is durable; false if there is no such shard,
   * or it keeps something (a freed chunk exists until a checkpoint): then nothing changed. In turn
   * with the saves of the volume; one that was called later makes the shard anew.
   */
  forgetShard: (volume: VolumeId) => Promise<boolean>

  /** Those that exist: with a table on disk, or changed since. Others are all holes. */
  chunks: (volume: VolumeId) => ChunkKey[]
  /**
   * Gives all of the chunk back: a trim of the whole, and the chunk ceases to exist at a later
   * checkpoint unless it was written again meanwhile. May be repeated.
   */
  freeChunk: (chunk: ChunkKey) => Promise<void>
  /** State and checksum of each block, without its data: exactly the changes called before. */
  blocks: (chunk: ChunkKey, firstBlock: number, count: number) => Promise<ChunkBlocks>

  /** Offset and length: whole blocks inside the chunk. Holes read as zeroes. */
  read: (chunk: ChunkKey, offsetBytes: number, lengthBytes: number) => Promise<ReadResult>
  /** `data` must not change afterwards; `crcs` have been checked by the caller. */
  write: (
    chunk: ChunkKey,
    offsetBytes: number,
    data: Uint8Array,
    crcs: Uint32Array
  ) => Promise<void>
  /** Gives the blocks back; they read as zeroes. */
  trim: (chunk: ChunkKey, offsetBytes: number, lengthBytes: number) => Promise<void>
  /** The blocks read as zeroes and stay (or become) allocated. */
  zero: (chunk: ChunkKey, offsetBytes: number, lengthBytes: number) => Promise<void>
  /** Lengths in blocks, alternating data, hole, data ..., beginning with data (may be 0). */
  map: (chunk: ChunkKey, offsetBytes: number, lengthBytes: number) => Promise<Uint32Array>
  flush: () => Promise<void>
  /** Digest of a chunk's allocation, checksums and a 64-bit hash per block, as CID text. */
  digest: (chunk: ChunkKey) => Promise<string>
  allocatedBytes: (volume: VolumeId) => number
  /** Of one chunk; 0 if it does not exist. */
  chunkBytes: (chunk: ChunkKey) => number
  space: () => StoreSpace
  close: () => Promise<void>
}
