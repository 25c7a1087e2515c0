/**
 * The store of a node: the chunks of all its shards behind one journal.
 *
 *            write, trim, zero                            read
 *                   |                                       |
 *    space -> [intake]---append---> [journal]               |
 *                   \--- overlay ------------------------> [reader]
 *                          |                                |
 *               [applier: synced changes only]              |
 *                          v                                |
 *                 chunk files and tables <-----------------/
 *                          |
 *                   [checkpointer] ---> durable tables, manifests, root; old segments go
 *
 * The invariants are those of types.ts; each part's file names its own. docs/format.md describes
 * every byte, and what is assumed of the medium.
 */
import { assert } from '../../protocols/assert.ts'
import { ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import { chunkDigest } from '../../protocols/digest.ts'
import { isFault, messageOf, ShoalError } from '../../protocols/fault.ts'
import type { ChunkKey, Incarnation, Token, VolumeId } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MAX_IO_BYTES, MiB } from '../../protocols/limits.ts'
import { MAX_SHARD_CHUNKS, SYNC_MARK_DELAY_MS } from '../limits.ts'
import type { Clock, Disk, Log, Random, Timer } from '../ports.ts'
import { Kind, NO_CRCS, NO_DATA } from './change.ts'
import type { Chunk } from './chunk.ts'
import { ioError, isDiskFull, noSpace } from './health.ts'
import { openParts, type Parts } from './open.ts'
import type { SpaceLimits } from './space.ts'
import { MAX_CHUNK_BLOCKS } from './table.ts'
import type { ChunkBlocks, ChunkStore, ReadResult, ShardRecord, StoreSpace } from './types.ts'

const DIGEST_PIECE_BLOCKS = MiB / BLOCK_BYTES

export interface StoreOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** What the operator lets this node use of the disk. */
  readonly capacityBytes: number
  /** For tests: smaller journals and reserves. */
  readonly limits?: Partial<SpaceLimits>
  /** The operator's word that a damaged store may be opened without what is lost. */
  readonly acceptLoss?: boolean
  /** For tests: fewer chunks of a shard. */
  readonly maxShardChunks?: number
}

/** Recovers and opens the store. Throws DATA_DIR `damaged` or `format`, or the disk's error. */
export async function openStore(options: StoreOptions): Promise<ChunkStore> {
  const parts = await openParts(options)
  return new Store(parts, options.maxShardChunks ?? MAX_SHARD_CHUNKS)
}

class Store implements ChunkStore {
  readonly incarnation: Incarnation
  readonly #parts: Parts
  readonly #maxShardChunks: number
  readonly #removals = new Map<VolumeId, Promise<void>>()
  #markTimer: Timer | undefined
  #isClosed = false

  constructor(parts: Parts, maxShardChunks: number) {
    this.#parts = parts
    this.#maxShardChunks = maxShardChunks
    this.incarnation = parts.incarnation
    parts.onSynced = () => this.#armMark()
  }

  get failure(): Error | undefined {
    return this.#parts.health.failure
  }

  onFailure(listener: (error: Error) => void): void {
    this.#parts.health.onFailure(listener)
  }

  shards(): ShardRecord[] {
    return [...this.#parts.shards.all()].map(shard => shard.record)
  }

  shard(volume: VolumeId): ShardRecord | undefined {
    return this.#parts.shards.get(volume)?.record
  }

  removedAt(volume: VolumeId): Token | undefined {
    return this.#parts.shards.removedAt(volume)
  }

  saveShard(record: ShardRecord): Promise<void> {
    const { shards } = this.#parts
    const { id } = record.spec
    const mustUnbury = this.#removals.has(id) || shards.removedAt(id) !== undefined
    return this.#durably(async () => {
      if (mustUnbury) await this.#unbury(id)
      await shards.save(record)
    }, 'saving a shard')
  }

  removeShard(volume: VolumeId, token: Token): Promise<void> {
    const removal = this.#durably(() => this.#remove(volume, token), 'removing a shard')
    this.#removals.set(volume, removal)
    const forget = () => {
      if (this.#removals.get(volume) === removal) this.#removals.delete(volume)
    }
    removal.then(forget, forget)
    return removal
  }

  forgetShard(volume: VolumeId): Promise<boolean> {
    return this.#durably(() => this.#parts.shards.forget(volume), 'forgetting a shard')
  }

  chunks(volume: VolumeId): ChunkKey[] {
    const shard = this.#parts.shards.get(volume)
    return shard === undefined ? [] : [...shard.chunks()].map(chunk => chunk.key)
  }

  freeChunk(key: ChunkKey): Promise<void> {
    const chunk = this.#existing(key)
    if (chunk instanceof Error) return Promise.reject(chunk)
    return chunk === undefined ? Promise.resolve() : this.#parts.intake.submitFree(chunk)
  }

  blocks(key: ChunkKey, firstBlock: number, count: number): Promise<ChunkBlocks> {
    checkRange(firstBlock, count)
    const chunk = this.#existing(key)
    if (chunk instanceof Error) return Promise.reject(chunk)
    if (chunk !== undefined) return this.#parts.reader.blocks(chunk, firstBlock, count)
    const holes = { states: new Uint8Array(count), crcs: new Uint32Array(count) }
    return Promise.resolve(holes)
  }

  read(key: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<ReadResult> {
    const first = offsetBytes / BLOCK_BYTES
    const count = lengthBytes / BLOCK_BYTES
    checkRange(first, count)
    const chunk = this.#existing(key)
    if (chunk instanceof Error) return Promise.reject(chunk)
    if (chunk !== undefined) return this.#parts.reader.read(chunk, first, count)
    const crcs = new Uint32Array(count).fill(ZERO_BLOCK_CRC)
    return Promise.resolve({ data: Buffer.alloc(lengthBytes), crcs })
  }

  write(key: ChunkKey, offsetBytes: number, data: Uint8Array, crcs: Uint32Array): Promise<void> {
    assert(data.length === crcs.length * BLOCK_BYTES, 'one checksum per block of a write')
    assert(data.length <= MAX_IO_BYTES, 'a write is at most one request')
    return this.#change(key, Kind.write, offsetBytes, data.length, data, crcs)
  }

  trim(key: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#change(key, Kind.trim, offsetBytes, lengthBytes, NO_DATA, NO_CRCS)
  }

  zero(key: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<void> {
    return this.#change(key, Kind.zero, offsetBytes, lengthBytes, NO_DATA, NO_CRCS)
  }

  map(key: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<Uint32Array> {
    const first = offsetBytes / BLOCK_BYTES
    const count = lengthBytes / BLOCK_BYTES
    checkRange(first, count)
    const chunk = this.#existing(key)
    if (chunk instanceof Error) return Promise.reject(chunk)
    if (chunk !== undefined) return this.#parts.reader.map(chunk, first, count)
    return Promise.resolve(Uint32Array.of(0, count))
  }

  flush(): Promise<void> {
    return this.#refusal() ?? this.#parts.syncer.sync()
  }

  async digest(key: ChunkKey): Promise<string> {
    const digest = chunkDigest()
    const chunk = this.#existing(key)
    if (chunk instanceof Error) throw chunk
    if (chunk !== undefined) await this.#digestBlocks(chunk, digest)
    return digest.finish()
  }

  allocatedBytes(volume: VolumeId): number {
    const shard = this.#parts.shards.get(volume)
    return shard === undefined ? 0 : (shard.allocatedBlocks + shard.pendingBlocks) * BLOCK_BYTES
  }

  chunkBytes(key: ChunkKey): number {
    const chunk = this.#parts.shards.get(key.volume)?.chunk(key)
    return chunk === undefined ? 0 : (chunk.allocatedBlocks + chunk.pendingBlocks) * BLOCK_BYTES
  }

  space(): StoreSpace {
    return this.#parts.space.state()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const { intake, background, syncer, files, journal, health, log } = this.#parts
    try {
      await Promise.allSettled(this.#removals.values())
      if (health.failure === undefined) await intake.drained()
      if (health.failure === undefined) await background.drain()
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'closed with changes left in the journal')
    }
    await background.close()
    this.#markTimer?.cancel()
    syncer.close()
    await files.closeAll()
    await journal.close()
  }

  #change(
    key: ChunkKey,
    kind: Kind,
    offsetBytes: number,
    lengthBytes: number,
    data: Uint8Array,
    crcs: Uint32Array
  ): Promise<void> {
    const first = offsetBytes / BLOCK_BYTES
    const count = lengthBytes / BLOCK_BYTES
    checkRange(first, count)
    const found = this.#existing(key)
    if (found instanceof Error) return Promise.reject(found)
    if (found === undefined && kind === Kind.trim) return Promise.resolve()
    const chunk = found ?? this.#addChunk(key)
    if (chunk === undefined) return Promise.reject(noSpace('this shard keeps no more chunks'))
    return this.#parts.intake.submit(chunk, kind, first, count, data, crcs)
  }

  /** The chunk, undefined if it has never been written, or why there is no answer. */
  #existing(key: ChunkKey): Chunk | undefined | ShoalError {
    const { health, shards } = this.#parts
    if (this.#isClosed || health.failure !== undefined) return health.rejection()
    const shard = shards.get(key.volume)
    if (shard !== undefined) return shard.chunk(key)
    return new ShoalError({ code: 'NO_CHUNK' }, `no shard of volume ${key.volume} is kept here`)
  }

  /** Undefined if the shard's manifest could not list it. */
  #addChunk(key: ChunkKey): Chunk | undefined {
    const shard = this.#parts.shards.get(key.volume)
    assert(shard !== undefined, 'a chunk that may be changed belongs to a shard')
    return shard.chunkCount < this.#maxShardChunks ? shard.addChunk(key) : undefined
  }

  async #digestBlocks(chunk: Chunk, digest: ReturnType<typeof chunkDigest>): Promise<void> {
    const { reader, tables } = this.#parts
    const table = await tables.load(chunk)
    let end = table.blocks
    for (const block of chunk.latest.keys()) end = Math.max(end, block + 1)
    for (let first = 0; first < end; first += DIGEST_PIECE_BLOCKS) {
      const count = Math.min(DIGEST_PIECE_BLOCKS, end - first)
      const runs = await reader.map(chunk, first, count)
      let block = first
      for (const [i, length] of runs.entries()) {
        if (i % 2 === 0 && length > 0) {
          const { data, crcs } = await reader.read(chunk, block, length)
          for (let n = 0; n < length; n++) {
            const at = n * BLOCK_BYTES
            digest.add(block + n, crcs[n] ?? 0, data.subarray(at, at + BLOCK_BYTES))
          }
        }
        block += length
      }
    }
  }

  async #remove(volume: VolumeId, token: Token): Promise<void> {
    const { shards, background, space } = this.#parts
    const shard = await shards.bury(volume, token)
    if (shard === undefined) return
    space.allocatedBlocks -= shard.allocatedBlocks
    await background.exclusively(() => this.#parts.erase(shard))
  }

  /** Nothing of the removed shard may be left when the volume is kept here again. */
  async #unbury(volume: VolumeId): Promise<void> {
    const { shards, intake, background, clear } = this.#parts
    await this.#removals.get(volume)
    await intake.drained()
    await background.drain()
    if (shards.removedAt(volume) === undefined) return
    await clear(volume)
    await shards.unbury(volume)
  }

  #refusal(): Promise<never> | undefined {
    const { health } = this.#parts
    const isOver = this.#isClosed || health.failure !== undefined
    return isOver ? Promise.reject(health.rejection()) : undefined
  }

  async #durably<T>(work: () => Promise<T>, what: string): Promise<T> {
    await this.#refusal()
    try {
      return await work()
    } catch (error) {
      if (isFault(error)) throw error
      if (isDiskFull(error)) throw noSpace(`${what}: the disk is full`)
      throw ioError(`${what} failed: ${messageOf(error)}`, error)
    }
  }

  /** When the store falls idle after a sync, the journal learns of that sync. */
  #armMark(): void {
    const { clock, journal, intake, health } = this.#parts
    this.#markTimer ??= clock.after(SYNC_MARK_DELAY_MS, () => {
      this.#markTimer = undefined
      if (this.#isClosed || health.failure !== undefined || !intake.isIdle) return
      if (journal.provenInJournal < journal.lastChangeLsn) intake.submitMark()
    })
  }
}

function checkRange(first: number, count: number): void {
  assert(Number.isInteger(first) && Number.isInteger(count), 'a range is whole blocks')
  assert(first >= 0 && count > 0 && first + count <= MAX_CHUNK_BLOCKS, 'a range is in its chunk')
}
