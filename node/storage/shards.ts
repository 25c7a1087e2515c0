/**
 * The shards of a store: their records, their chunks, and their manifests on disk.
 *
 *   shards/<volume>/manifest   sealed CBOR { record, chunks }, replaced as a whole
 *   removed                    sealed CBOR list of [volume, token]: the tombstones
 *
 * Invariants: a record is visible only once it is durable; what changes the manifest of one volume
 * takes turns, in the order of the calls, and different volumes go side by side; a manifest lists
 * only chunks whose table and file are durable; a removed shard's tombstone is durable before the
 * first of its bytes goes. A shard that is forgotten keeps nothing and leaves no tombstone: what
 * the journal still says of its chunks ends, for each block, with a hole.
 */
import { assert } from '../../protocols/assert.ts'
import { isEmpty } from '../../protocols/handoff/records.ts'
import type { ChunkKey, Token, VolumeId } from '../../protocols/ids.ts'
import { MAX_TOMBSTONES } from '../limits.ts'
import type { Disk } from '../ports.ts'
import { Chunk, placeOf } from './chunk.ts'
import type { Health } from './health.ts'
import type { ListedChunk, Tombstone } from './manifest.ts'
import { encodeManifest, encodeTombstones } from './manifest.ts'
import type { Reservation, Reservations } from './reservations.ts'
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
  /** By chunk: room kept free for those on their way here. Kept by reservations.ts. */
  readonly reservations = new Map<string, Reservation>()
  chunkCount = 0
  readonly #chunks = new Map<number, Chunk[]>()

  constructor(record: ShardRecord) {
    this.record = record
    this.volume = record.spec.id
    this.path = `${SHARDS_DIRECTORY}/${record.spec.id}`
  }

  /** A chunk that exists: listed in the manifest, or changed since. */
  chunk(key: Omit<ChunkKey, 'volume'>): Chunk | undefined {
    const chunks = this.#chunks.get(key.extent)
    if (chunks === undefined) return undefined
    for (const chunk of chunks) if (chunk.sameKey(key)) return chunk
    return undefined
  }

  addChunk(key: Omit<ChunkKey, 'volume'>, listed?: ListedChunk): Chunk {
    assert(this.chunk(key) === undefined, 'a chunk is added once')
    const { extent, generation, column, replica } = key
    const own = { volume: this.volume, extent, generation, column, replica }
    const chunk = new Chunk(this, own, listed)
    this.allocatedBlocks += chunk.allocatedBlocks
    this.chunkCount++
    const others = this.#chunks.get(key.extent)
    if (others === undefined) this.#chunks.set(key.extent, [chunk])
    else others.push(chunk)
    if (this.reservations.size > 0) this.claim(chunk)
    return chunk
  }

  /** It holds nothing, its files are gone, and no manifest lists it. */
  dropChunk(chunk: Chunk): void {
    assert(chunk.isEmpty && !chunk.isListed && !chunk.isDirty, 'only an empty chunk is dropped')
    assert(chunk.allocatedBlocks === 0 && chunk.pendingBlocks === 0, 'an empty chunk has no blocks')
    const { extent } = chunk.key
    const others = this.#chunks.get(extent)?.filter(other => other !== chunk) ?? []
    if (others.length > 0) this.#chunks.set(extent, others)
    else this.#chunks.delete(extent)
    this.chunkCount--
  }

  /** Gives the chunk the room that is kept for it, if any is. */
  claim(chunk: Chunk): void {
    chunk.reservation = this.reservations.get(placeOf(chunk.key))
    chunk.noteUse()
  }

  *chunks(): Generator<Chunk> {
    for (const chunks of this.#chunks.values()) yield* chunks
  }
}

export class Shards {
  readonly #disk: Disk
  readonly #health: Health
  readonly #reservations: Reservations
  readonly #states = new Map<VolumeId, ShardState>()
  readonly #tombstones: Map<VolumeId, Token>
  #tombstonesSaving: Promise<void> = Promise.resolve()
  /** The last turn of each volume; the next one waits for it. */
  readonly #turns = new Map<VolumeId, Promise<unknown>>()

  constructor(
    disk: Disk,
    health: Health,
    reservations: Reservations,
    tombstones: readonly Tombstone[]
  ) {
    this.#disk = disk
    this.#health = health
    this.#reservations = reservations
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
    this.#reservations.follow(state)
  }

  /** Whoever saves a removed volume has unburied it: a tombstone came after the call. */
  save(record: ShardRecord): Promise<void> {
    const volume = record.spec.id
    return this.#inTurn(volume, async () => {
      this.#assertNotRemoved(volume)
      const state = this.#states.get(volume)
      if (state === undefined) return this.#create(record)
      await this.#writeManifest(state, record)
      state.record = record
      if (!state.isRemoved) this.#reservations.follow(state)
    })
  }

  /** Writes the manifest again because the list of its durable chunks changed. */
  saveManifest(state: ShardState): Promise<void> {
    return this.#inTurn(state.volume, async () => {
      if (!state.isRemoved) await this.#writeManifest(state, state.record)
    })
  }

  /** True once an empty shard is durably gone; false if it keeps anything, or there is none. */
  forget(volume: VolumeId): Promise<boolean> {
    return this.#inTurn(volume, async () => {
      const state = this.#states.get(volume)
      if (state === undefined || !isEmpty(state.record) || state.chunkCount > 0) return false
      state.isRemoved = true
      this.#states.delete(volume)
      this.#reservations.forget(state)
      await this.#clear(state)
      return true
    })
  }

  /** Durable when it resolves. The files are still there; see `eraseFiles`. */
  async bury(volume: VolumeId, token: Token): Promise<ShardState | undefined> {
    await this.#setTombstone(volume, token)
    const state = this.#states.get(volume)
    if (state === undefined) {
      await this.#turns.get(volume)?.catch(() => {})
      return undefined
    }
    state.isRemoved = true
    this.#states.delete(volume)
    this.#reservations.forget(state)
    await this.#turns.get(volume)?.catch(() => {})
    return state
  }

  /** Forgets a tombstone: the volume may be kept here again. Nothing of it is in the journal. */
  async unbury(volume: VolumeId): Promise<void> {
    await this.#setTombstone(volume, undefined)
  }

  async #create(record: ShardRecord): Promise<void> {
    const state = new ShardState(record)
    await this.#disk.makeDirectory(state.path)
    await this.#health.sync(this.#disk.syncDirectory(SHARDS_DIRECTORY))
    await this.#writeManifest(state, record)
    this.#assertNotRemoved(state.volume)
    this.adopt(state)
  }

  #assertNotRemoved(volume: VolumeId): void {
    if (this.#tombstones.has(volume)) throw new Error('the shard was removed meanwhile')
  }

  /** The manifest goes last: a directory without one that holds more is damage. */
  async #clear(state: ShardState): Promise<void> {
    const { path } = state
    const others = (await this.#disk.list(path)).filter(name => name !== 'manifest')
    for (const name of [...others, 'manifest']) await this.#disk.remove(`${path}/${name}`)
    await this.#health.sync(this.#disk.syncDirectory(path))
    await this.#disk.remove(path)
    await this.#health.sync(this.#disk.syncDirectory(SHARDS_DIRECTORY))
  }

  async #writeManifest(state: ShardState, record: ShardRecord): Promise<void> {
    const bytes = encodeManifest(record, listedChunks(state))
    await replaceFile(this.#disk, this.#health, `${state.path}/manifest`, bytes)
    await this.#health.sync(this.#disk.syncDirectory(state.path))
  }

  async #inTurn<T>(volume: VolumeId, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(volume) ?? Promise.resolve()).catch(() => {}).then(work)
    this.#turns.set(volume, turn)
    try {
      return await turn
    } finally {
      if (this.#turns.get(volume) === turn) this.#turns.delete(volume)
    }
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
