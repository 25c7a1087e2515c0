/**
 * The open chunk files, at most MAX_OPEN_CHUNK_FILES of them.
 *
 * Invariants: a file is closed only while nobody uses it; one with unsynced bytes is synced before
 * it is closed, because a later descriptor may never hear of an error; `sync` resolves only after
 * every write that ended before its call is durable; who acquires a file while it is being
 * unlinked waits, and gets a new one.
 */
import { assert } from '../../protocols/assert.ts'
import { MAX_OPEN_CHUNK_FILES } from '../limits.ts'
import type { Disk, DiskFile } from '../ports.ts'
import type { Chunk } from './chunk.ts'
import { type Health, isAbsent } from './health.ts'
import type { ShardState } from './shards.ts'

export interface OpenFile {
  readonly chunk: Chunk
  readonly file: DiskFile
  users: number
  lastUsed: number
  /** To be closed by its last user. */
  isDropped: boolean
  isDirty: boolean
  syncing: Promise<void> | undefined
}

export class ChunkFiles {
  readonly #disk: Disk
  readonly #health: Health
  readonly #limit: number
  readonly #open = new Set<OpenFile>()
  readonly #closing = new Map<Chunk, Promise<void>>()
  /** Shards in whose directory a file was made and not synced yet. */
  readonly #newIn = new Set<ShardState>()
  #syncingDirectories: Promise<void> = Promise.resolve()
  #uses = 0

  constructor(disk: Disk, health: Health, limit = MAX_OPEN_CHUNK_FILES) {
    this.#disk = disk
    this.#health = health
    this.#limit = limit
  }

  /** The chunk's file, made if it is absent and `create`. Give it back with `release`. */
  acquire(chunk: Chunk, create: boolean): OpenFile | Promise<OpenFile> {
    const open = chunk.open
    if (open !== undefined) return this.#use(open)
    return this.#acquireSlowly(chunk, create)
  }

  release(open: OpenFile): void {
    open.users--
    if (open.isDropped && open.users === 0) open.file.close().catch(() => {})
    if (this.#open.size > this.#limit) this.#evict()
  }

  /** Writes and remembers that the file must be synced. */
  async write(open: OpenFile, parts: readonly Uint8Array[], position: number): Promise<void> {
    open.isDirty = true
    try {
      await open.file.write(parts, position)
    } finally {
      open.isDirty = true
    }
  }

  async punchHole(open: OpenFile, position: number, length: number): Promise<void> {
    open.isDirty = true
    try {
      await open.file.punchHole(position, length)
    } finally {
      open.isDirty = true
    }
  }

  async sync(chunk: Chunk): Promise<void> {
    await this.#closing.get(chunk)
    const open = chunk.open
    if (open === undefined) return
    if (!open.isDirty) return open.syncing
    open.isDirty = false
    const earlier = open.syncing
    const syncing = this.#health.sync(open.file.sync())
    open.users++
    open.syncing = Promise.all([earlier, syncing]).then(() => {})
    const mine = open.syncing
    try {
      await mine
    } finally {
      if (open.syncing === mine) open.syncing = undefined
      this.release(open)
    }
  }

  /** Makes the names of new files durable. */
  syncDirectories(): Promise<void> {
    const shards = [...this.#newIn].filter(shard => !shard.isRemoved)
    this.#newIn.clear()
    const syncs = shards.map(shard => this.#health.sync(this.#syncDirectory(shard)))
    // Another caller may rely on a directory that is being synced right now.
    this.#syncingDirectories = Promise.all([this.#syncingDirectories, ...syncs]).then(() => {})
    return this.#syncingDirectories
  }

  /** Closes without a sync: the chunk is going, or the store is. */
  async drop(chunk: Chunk): Promise<void> {
    await this.#closing.get(chunk)
    const open = chunk.open
    if (open === undefined) return
    chunk.open = undefined
    this.#open.delete(open)
    if (open.users === 0) await open.file.close()
    else open.isDropped = true
  }

  /**
   * Closes and unlinks the chunk's file. Whoever acquires it meanwhile waits, and gets a new file:
   * nothing can be written into the one that is going.
   */
  remove(chunk: Chunk): Promise<void> {
    const earlier = this.#closing.get(chunk)
    const removing = this.#unlink(chunk, earlier).finally(() => {
      if (this.#closing.get(chunk) === removing) this.#closing.delete(chunk)
    })
    removing.catch(() => {})
    this.#closing.set(chunk, removing)
    return removing
  }

  async closeAll(): Promise<void> {
    await Promise.allSettled(this.#closing.values())
    await Promise.allSettled([...this.#open].map(open => this.drop(open.chunk)))
  }

  async #unlink(chunk: Chunk, earlier: Promise<void> | undefined): Promise<void> {
    assert(chunk.opening === undefined, 'nobody opens the file of a chunk that holds nothing')
    const { open } = chunk
    chunk.open = undefined
    if (open !== undefined) {
      this.#open.delete(open)
      if (open.users === 0) await open.file.close()
      else open.isDropped = true
    }
    await earlier
    for (const ending of ['data', 'sum']) {
      await this.#disk.remove(`${chunk.path}.${ending}`).catch(error => {
        if (!isAbsent(error)) throw error
      })
    }
  }

  async #syncDirectory(shard: ShardState): Promise<void> {
    try {
      await this.#disk.syncDirectory(shard.path)
    } catch (error) {
      // The shard was removed meanwhile, its directory with it.
      if (!shard.isRemoved || !isAbsent(error)) throw error
    }
  }

  #use(open: OpenFile): OpenFile {
    open.users++
    open.lastUsed = ++this.#uses
    return open
  }

  async #acquireSlowly(chunk: Chunk, create: boolean): Promise<OpenFile> {
    await this.#closing.get(chunk)
    if (chunk.open !== undefined) return this.#use(chunk.open)
    if (chunk.opening !== undefined) {
      const other = await chunk.opening.catch(() => undefined)
      if (other !== undefined && chunk.open === other) return this.#use(other)
      return this.#acquireSlowly(chunk, create)
    }
    chunk.opening = this.#openFile(chunk, create)
    try {
      return await chunk.opening
    } finally {
      chunk.opening = undefined
    }
  }

  /** The caller is its first user from the start, so that it cannot be evicted before its use. */
  async #openFile(chunk: Chunk, create: boolean): Promise<OpenFile> {
    const file = await this.#disk.open(`${chunk.path}.data`, create ? 'if-absent' : undefined)
    if (!chunk.isListed) this.#newIn.add(chunk.shard)
    const lastUsed = ++this.#uses
    const open = { chunk, file, users: 1, lastUsed, isDropped: false, isDirty: false }
    const openFile: OpenFile = { ...open, syncing: undefined }
    chunk.open = openFile
    this.#open.add(openFile)
    return openFile
  }

  #evict(): void {
    let victim: OpenFile | undefined
    for (const open of this.#open) {
      if (open.users > 0 || open.syncing !== undefined) continue
      if (victim === undefined || rank(open) < rank(victim)) victim = open
    }
    if (victim === undefined) return
    const { chunk } = victim
    chunk.open = undefined
    this.#open.delete(victim)
    const closing = this.#syncAndClose(victim).finally(() => {
      if (this.#closing.get(chunk) === closing) this.#closing.delete(chunk)
    })
    closing.catch(() => {})
    this.#closing.set(chunk, closing)
  }

  async #syncAndClose(victim: OpenFile): Promise<void> {
    try {
      if (victim.isDirty) await this.#health.sync(victim.file.sync())
    } finally {
      await victim.file.close()
    }
  }
}

/** Clean files go first, then the one unused for longest. */
function rank(open: OpenFile): number {
  return open.lastUsed + (open.isDirty ? Number.MAX_SAFE_INTEGER / 2 : 0)
}
