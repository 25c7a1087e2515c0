/**
 * The shards of a store: their records, their chunks, and their manifests on disk.
 *
 *   shards/<volume>/manifest   sealed CBOR { record, chunks }, replaced as a whole
 *   removed                    sealed CBOR list of [volume, token]: the tombstones
 *
 * Invariants: a record is visible only once it is durable; saves of one shard are applied in the
 * order of their calls; a manifest lists only chunks whose table and file are durable; a removed
 * shard's tombstone is durable before the first of its bytes goes.
 */
import { assert } from '../../protocols/assert.ts'
import type { ChunkKey, Token, VolumeId } from '../../protocols/ids.ts'
import { MAX_TOMBSTONES } from '../limits.ts'
import type { Disk } from '../ports.ts'
import { Chunk } from './chunk.ts'
import type { Health } from './health.ts'
import type { ListedChunk, Tombstone } from './manifest.ts'
import { encodeManifest, encodeTombstones } from './manifest.ts'
import { replaceFile } from './sealed.ts'
import type { ShardRecord } from './types.ts'

export const SHARDS_DIRECTORY = 'shards'
export const TOMBSTONES_FILE = 'removed'

export class ShardState {
  readonly volume: VolumeId
  readonly path: string
  record: ShardRecord
  isRemoved = false
  /** Data blocks in chunk files by their tables; the chunks carry their shares. */
  allocatedBlocks = 0
  /** Blocks that changes on their way may add. */
  pendingBlocks = 0
  /** The last save or manifest write; the next one waits for it. */
  saving: Promise<void> = Promise.resolve()
  chunkCount = 0
  readonly #chunks = new Map<number, Chunk[]>()

  constructor(record: ShardRecord) {
    this.record = record
    this.volume = record.spec.id
    this.path = `${SHARDS_DIRECTORY}/${record.spec.id}`
  }

  /** A chunk that exists: listed in the manifest, or changed since. */
  chunk(key: ChunkKey): Chunk | undefined {
    const chunks = this.#chunks.get(key.extent)
    if (chunks === undefined) return undefined
    for (const chunk of chunks) if (chunk.sameKey(key)) return chunk
    return undefined
  }

  addChunk(key: ChunkKey, listed?: ListedChunk): Chunk {
    assert(this.chunk(key) === undefined, 'a chunk is added once')
    const chunk = new Chunk(this, { ...key, volume: this.volume }, listed)
    this.allocatedBlocks += chunk.allocatedBlocks
    this.chunkCount++
    const others = this.#chunks.get(key.extent)
    if (others === undefined) this.#chunks.set(key.extent, [chunk])
    else others.push(chunk)
    return chunk
  }

  *chunks(): Generator<Chunk> {
    for (const chunks of this.#chunks.values()) yield* chunks
  }
}

export class Shards {
  readonly #disk: Disk
  readonly #health: Health
  readonly #states = new Map<VolumeId, ShardState>()
  readonly #tombstones: Map<VolumeId, Token>
  #tombstonesSaving: Promise<void> = Promise.resolve()
  /** Saves of shards that are not there yet. */
  readonly #creating = new Map<VolumeId, ShardState>()

  constructor(disk: Disk, health: Health, tombstones: readonly Tombstone[]) {
    this.#disk = disk
    this.#health = health
    this.#tombstones = new Map(tombstones.map(one => [one.volume, one.token]))
  }

  get(volume: VolumeId): ShardState | undefined {
    return this.#states.get(volume)
  }

  all(): IterableIterator<ShardState> {
    return this.#states.values()
  }

  removedAt(volume: VolumeId): Token | undefined {
    return this.#tombstones.get(volume)
  }

  /** Recovery only. */
  adopt(state: ShardState): void {
    this.#states.set(state.volume, state)
  }

  save(record: ShardRecord): Promise<void> {
    const volume = record.spec.id
    const present = this.#states.get(volume) ?? this.#creating.get(volume)
    if (present !== undefined) return this.#inTurn(present, () => this.#replace(present, record))
    const state = new ShardState(record)
    this.#creating.set(volume, state)
    return this.#inTurn(state, () => this.#create(state))
  }

  /** Writes the manifest again because the list of its durable chunks changed. */
  saveManifest(state: ShardState): Promise<void> {
    return this.#inTurn(state, async () => {
      if (!state.isRemoved) await this.#writeManifest(state, state.record)
    })
  }

  /** Durable when it resolves. The files are still there; see `eraseFiles`. */
  async bury(volume: VolumeId, token: Token): Promise<ShardState | undefined> {
    await this.#setTombstone(volume, token)
    const state = this.#states.get(volume)
    if (state === undefined) return undefined
    state.isRemoved = true
    this.#states.delete(volume)
    await state.saving.catch(() => {})
    return state
  }

  /** Forgets a tombstone: the volume may be kept here again. Nothing of it is in the journal. */
  async unbury(volume: VolumeId): Promise<void> {
    await this.#setTombstone(volume, undefined)
  }

  async #create(state: ShardState): Promise<void> {
    try {
      await this.#disk.makeDirectory(state.path)
      await this.#health.sync(this.#disk.syncDirectory(SHARDS_DIRECTORY))
      await this.#writeManifest(state, state.record)
      this.#states.set(state.volume, state)
    } finally {
      this.#creating.delete(state.volume)
    }
  }

  async #replace(state: ShardState, record: ShardRecord): Promise<void> {
    if (state.isRemoved) throw new Error('the shard was removed meanwhile')
    if (!this.#states.has(state.volume)) return this.#recreate(state, record)
    await this.#writeManifest(state, record)
    state.record = record
  }

  /** The save that would have made the shard failed; this one tries again. */
  #recreate(state: ShardState, record: ShardRecord): Promise<void> {
    state.record = record
    return this.#create(state)
  }

  async #writeManifest(state: ShardState, record: ShardRecord): Promise<void> {
    const bytes = encodeManifest(record, listedChunks(state))
    await replaceFile(this.#disk, this.#health, `${state.path}/manifest`, bytes)
    await this.#health.sync(this.#disk.syncDirectory(state.path))
  }

  #inTurn(state: ShardState, work: () => Promise<void>): Promise<void> {
    const turn = state.saving.catch(() => {}).then(work)
    state.saving = turn
    turn.catch(() => {})
    return turn
  }

  #setTombstone(volume: VolumeId, token: Token | undefined): Promise<void> {
    const turn = this.#tombstonesSaving
      .catch(() => {})
      .then(async () => {
        const next = new Map(this.#tombstones)
        next.delete(volume)
        if (token !== undefined) next.set(volume, token)
        const kept = [...next].slice(-MAX_TOMBSTONES)
        const list = kept.map(([id, at]) => ({ volume: id, token: at }))
        await replaceFile(this.#disk, this.#health, TOMBSTONES_FILE, encodeTombstones(list))
        await this.#health.sync(this.#disk.syncDirectory('.'))
        this.#tombstones.clear()
        for (const [id, at] of kept) this.#tombstones.set(id, at)
      })
    this.#tombstonesSaving = turn
    turn.catch(() => {})
    return turn
  }
}

function listedChunks(state: ShardState): ListedChunk[] {
  const listed: ListedChunk[] = []
  for (const chunk of state.chunks()) {
    if (chunk.isListed) listed.push({ key: chunk.key, allocatedBlocks: chunk.listedBlocks })
  }
  return listed
}
