/**
 * The checksum tables in memory, at most MAX_CACHED_TABLE_BLOCKS blocks of them beyond those in
 * use. A chunk that is not listed in its manifest begins with an empty table; one that is listed
 * and whose table is absent or damaged reads as lost: an error, never zeroes or old data.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import { MAX_CACHED_TABLE_BLOCKS } from '../limits.ts'
import type { Disk, Log } from '../ports.ts'
import type { Chunk } from './chunk.ts'
import { ioError } from './health.ts'
import { readSealed, SealedKind } from './sealed.ts'
import type { Space } from './space.ts'
import { BlockState, TABLE_VERSION, Table } from './table.ts'

/** Candidates looked at for one unloading. */
const CANDIDATES = 16

export class Tables {
  readonly #disk: Disk
  readonly #log: Log
  readonly #space: Space
  readonly #limit: number
  readonly #loaded = new Set<Chunk>()
  #blocks = 0
  #uses = 0

  constructor(disk: Disk, log: Log, space: Space, limit = MAX_CACHED_TABLE_BLOCKS) {
    this.#disk = disk
    this.#log = log
    this.#space = space
    this.#limit = limit
  }

  /** The table if it is here; a chunk that does not exist on disk gets its empty one. */
  ready(chunk: Chunk): Table | undefined {
    chunk.lastUsed = ++this.#uses
    if (chunk.table === undefined && !chunk.isListed) this.#keep(chunk, new Table())
    return chunk.table
  }

  /** Rejects IO_ERROR if the disk cannot say what the table is. */
  load(chunk: Chunk): Promise<Table> {
    const table = this.ready(chunk)
    if (table !== undefined) return Promise.resolve(table)
    chunk.loading ??= this.#read(chunk).finally(() => {
      chunk.loading = undefined
    })
    return chunk.loading
  }

  /** The table's data blocks changed: passes the difference on. */
  account(chunk: Chunk): void {
    const { table } = chunk
    assert(table !== undefined, 'a table is loaded while it is accounted for')
    const added = table.allocated - chunk.allocatedBlocks
    chunk.allocatedBlocks += added
    chunk.noteUse()
    if (chunk.shard.isRemoved) return
    chunk.shard.allocatedBlocks += added
    this.#space.allocatedBlocks += added
  }

  forget(chunk: Chunk): void {
    this.#loaded.delete(chunk)
  }

  async #read(chunk: Chunk): Promise<Table> {
    const sealed = await readSealed(
      this.#disk,
      `${chunk.path}.sum`,
      SealedKind.table,
      TABLE_VERSION
    ).catch(error => {
      throw ioError(`the checksums of ${chunk.path} cannot be read: ${messageOf(error)}`, error)
    })
    if (sealed.is === 'format') {
      throw ioError(`the checksums of ${chunk.path} have the unknown format ${sealed.version}`)
    }
    const table = sealed.is === 'found' ? Table.decode(sealed.body) : sealed.is
    if (typeof table !== 'string') return this.#keep(chunk, table)
    this.#log.error({ chunk: chunk.path, why: table }, 'checksums damaged: the chunk is lost')
    return this.#keep(chunk, new Table(BlockState.lost))
  }

  #keep(chunk: Chunk, table: Table): Table {
    chunk.table = table
    this.#loaded.add(chunk)
    this.account(chunk)
    this.#blocks += table.room
    if (this.#blocks > this.#limit) this.#unload(chunk)
    return table
  }

  /** Unloads until the bound holds; counts anew, because tables grow. */
  #unload(except: Chunk): void {
    this.#blocks = 0
    for (const chunk of this.#loaded) this.#blocks += chunk.table?.room ?? 0
    const target = this.#limit - this.#limit / 8
    let victims = this.#oldestIdle(except)
    while (this.#blocks > target && victims.length > 0) {
      for (const victim of victims) {
        this.#blocks -= victim.table?.room ?? 0
        victim.table = undefined
        this.#loaded.delete(victim)
      }
      victims = this.#oldestIdle(except)
    }
  }

  #oldestIdle(except: Chunk): Chunk[] {
    const idle = [...this.#loaded].filter(chunk => chunk.isIdle && chunk !== except)
    return idle.sort((a, b) => a.lastUsed - b.lastUsed).slice(0, CANDIDATES)
  }
}
