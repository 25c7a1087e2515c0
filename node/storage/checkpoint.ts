/**
 * A checkpoint makes everything up to an lsn independent of the journal:
 *
 *   data files synced -> tables replaced -> directories synced -> manifests -> root -> segments go
 *
 * A chunk that holds nothing any more (it was freed, or trimmed away) ceases to exist instead:
 *
 *   taken from the manifest -> .data and .sum unlinked -> directory synced -> forgotten
 *
 * unless something of it is on its way by then: it then lives on, not listed, in a new file. Before
 * the root, a crash finds records above the old lsn that end in holes; after it, nothing at all.
 *
 * Invariants: `lsn` is taken before the first table is copied, and a table is copied before its
 * file is synced, so that every block that a durable table names is durable or has a synced record
 * above `lsn`; changes may go on being applied meanwhile. The root names the new lsn only after all
 * this, and segments are removed only after the root. A chunk is empty at the instant at which
 * `lsn` is taken, with all its records at or below: every later change of it is in the journal
 * above, and no table is needed to tell what it holds. No manifest names a chunk whose files may be
 * gone.
 */

import { assert } from '../../protocols/assert.ts'
import { APPLY_PARALLEL_CHUNKS } from '../limits.ts'
import type { Disk } from '../ports.ts'
import type { Applier } from './applier.ts'
import type { Chunk } from './chunk.ts'
import type { ChunkFiles } from './files.ts'
import type { Health } from './health.ts'
import type { Journal } from './journal.ts'
import { encodeRoot } from './manifest.ts'
import { forEachParallel } from './parallel.ts'
import { encodeSealed, replaceFile, SealedKind } from './sealed.ts'
import type { ShardState, Shards } from './shards.ts'
import { TABLE_VERSION } from './table.ts'
import type { Tables } from './tables.ts'

export const ROOT_FILE = 'root'

export class Checkpointer {
  checkpointLsn: number
  readonly #disk: Disk
  readonly #health: Health
  readonly #journal: Journal
  readonly #files: ChunkFiles
  readonly #applier: Applier
  readonly #shards: Shards
  readonly #tables: Tables
  readonly #staleManifests = new Set<ShardState>()

  constructor(
    disk: Disk,
    health: Health,
    journal: Journal,
    files: ChunkFiles,
    applier: Applier,
    shards: Shards,
    tables: Tables,
    checkpointLsn: number
  ) {
    this.#disk = disk
    this.#health = health
    this.#journal = journal
    this.#files = files
    this.#applier = applier
    this.#shards = shards
    this.#tables = tables
    this.checkpointLsn = checkpointLsn
  }

  /** Segments too: a crash may have come between the root and their removal. */
  get hasWork(): boolean {
    const isBehind = this.#applier.dirty.size > 0 || this.#applier.appliedLsn > this.checkpointLsn
    return isBehind || this.#journal.hasRemovable(this.checkpointLsn)
  }

  /** One at a time. Rejects with the disk's error, having lost nothing; call again later. */
  async run(): Promise<void> {
    const lsn = this.#applier.appliedLsn
    const dirty = [...this.#applier.dirty].filter(chunk => !chunk.shard.isRemoved)
    this.#applier.dirty.clear()
    const leaving = new Set(dirty.filter(chunk => chunk.isEmpty && chunk.appliedLsn <= lsn))
    const staying = dirty.filter(chunk => !leaving.has(chunk))
    for (const chunk of leaving) this.#unlist(chunk)
    try {
      await this.#saveManifests(await this.#saveTables(staying))
      await this.#dropEmpty(leaving)
    } catch (error) {
      for (const chunk of dirty) this.#markDirty(chunk)
      throw error
    } finally {
      for (const chunk of leaving) chunk.isSaving = false
    }
    await this.#saveRoot(lsn)
    await this.#journal.removeThrough(lsn)
  }

  /** Their data blocks, by the tables that are durable now. */
  async #saveTables(chunks: readonly Chunk[]): Promise<Map<Chunk, number>> {
    const allocatedBlocks = new Map<Chunk, number>()
    try {
      await forEachParallel(APPLY_PARALLEL_CHUNKS, chunks, async chunk => {
        allocatedBlocks.set(chunk, await this.#saveTable(chunk))
      })
      await this.#syncDirectories(chunks)
      return allocatedBlocks
    } finally {
      for (const chunk of chunks) chunk.isSaving = false
    }
  }

  async #saveTable(chunk: Chunk): Promise<number> {
    const { table } = chunk
    assert(table !== undefined, 'a dirty chunk has its table loaded')
    chunk.isSaving = true
    chunk.isDirty = false
    const bytes = encodeSealed(SealedKind.table, TABLE_VERSION, table.encode())
    const { allocated } = table
    await this.#files.sync(chunk)
    await replaceFile(this.#disk, this.#health, `${chunk.path}.sum`, bytes)
    return allocated
  }

  #markDirty(chunk: Chunk): void {
    chunk.isDirty = true
    this.#applier.dirty.add(chunk)
  }

  async #syncDirectories(chunks: readonly Chunk[]): Promise<void> {
    await this.#files.syncDirectories()
    for (const shard of new Set(chunks.map(chunk => chunk.shard))) {
      await this.#health.sync(this.#disk.syncDirectory(shard.path))
    }
  }

  /** A manifest that fails is written by the next checkpoint. */
  async #saveManifests(saved: ReadonlyMap<Chunk, number>): Promise<void> {
    for (const [chunk, allocatedBlocks] of saved) {
      if (chunk.isListed && chunk.listedBlocks === allocatedBlocks) continue
      chunk.isListed = true
      chunk.listedBlocks = allocatedBlocks
      this.#staleManifests.add(chunk.shard)
    }
    for (const shard of this.#staleManifests) {
      if (!shard.isRemoved) await this.#shards.saveManifest(shard)
      this.#staleManifests.delete(shard)
    }
  }

  /** It has no records beyond the lsn of this checkpoint, and nothing to list. */
  #unlist(chunk: Chunk): void {
    chunk.isSaving = true
    chunk.isDirty = false
    if (!chunk.isListed) return
    chunk.isListed = false
    chunk.listedBlocks = 0
    this.#staleManifests.add(chunk.shard)
  }

  /** No durable manifest names them: their files may go, if nothing came back meanwhile. */
  async #dropEmpty(leaving: ReadonlySet<Chunk>): Promise<void> {
    const mayGo = (chunk: Chunk) => chunk.isEmpty && !chunk.isDirty && !chunk.shard.isRemoved
    const shards = new Set<ShardState>()
    await forEachParallel(APPLY_PARALLEL_CHUNKS, leaving, async chunk => {
      if (!mayGo(chunk)) return
      await this.#files.remove(chunk)
      shards.add(chunk.shard)
    })
    for (const shard of shards) await this.#health.sync(this.#disk.syncDirectory(shard.path))
    for (const chunk of leaving) {
      if (mayGo(chunk)) {
        chunk.shard.dropChunk(chunk)
        this.#tables.forget(chunk)
      } else this.#markDirty(chunk)
    }
  }

  async #saveRoot(lsn: number): Promise<void> {
    const root = encodeRoot({ checkpointLsn: lsn, provenLsn: this.#journal.syncedLsn })
    await replaceFile(this.#disk, this.#health, ROOT_FILE, root)
    await this.#health.sync(this.#disk.syncDirectory('.'))
    this.checkpointLsn = lsn
  }
}
