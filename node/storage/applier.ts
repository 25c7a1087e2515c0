/**
 * Applies journaled changes to the chunk files, in batches, in the order of their lsns.
 *
 * Invariants:
 * - only synced changes are applied (write-ahead): otherwise power could take an unsynced record
 *   whose half-applied data has already replaced an older, flushed block;
 * - of the synced changes of a block only the last is ever applied: an older one must not pass
 *   over a bypass, whose data is in the file already;
 * - everything at or below `appliedLsn` is in files and tables (or belongs to a removed shard),
 *   or is covered by a later change that is synced in the journal.
 */
import { assert } from '../../protocols/assert.ts'
import { ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import { BLOCK_BYTES, MiB } from '../../protocols/limits.ts'
import {
  APPLY_BATCH_BYTES,
  APPLY_BATCH_CHANGES,
  APPLY_PARALLEL_CHUNKS,
  APPLY_PARALLEL_WRITES
} from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { Change } from './change.ts'
import { covers, Kind } from './change.ts'
import type { Chunk } from './chunk.ts'
import type { ChunkFiles, OpenFile } from './files.ts'
import { isDiskFull } from './health.ts'
import type { Journal } from './journal.ts'
import { forEachParallel } from './parallel.ts'
import type { Space } from './space.ts'
import type { Table } from './table.ts'
import type { Tables } from './tables.ts'

const ZEROES = new Uint8Array(MiB)
const ZERO_BLOCK = ZEROES.subarray(0, BLOCK_BYTES)
/** A run of neighbouring blocks becomes one write of at most this many. */
const MAX_RUN_BLOCKS = 512
/** Writes between two looks at what clients want meanwhile. */
const YIELD_WRITES = 32

export class Applier {
  appliedLsn: number
  /** Data of changes that are journaled and not applied. */
  overlayBytes = 0
  /** The last batch met a full disk; nothing of it is lost, it is tried again. */
  isOutOfSpace = false
  /** Chunks whose files or tables changed since their last checkpoint. */
  readonly dirty = new Set<Chunk>()
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #files: ChunkFiles
  readonly #tables: Tables
  readonly #space: Space
  #queue: Change[] = []

  constructor(
    clock: Clock,
    journal: Journal,
    files: ChunkFiles,
    tables: Tables,
    space: Space,
    lsn: number
  ) {
    this.#clock = clock
    this.#journal = journal
    this.#files = files
    this.#tables = tables
    this.#space = space
    this.appliedLsn = lsn
  }

  get hasWork(): boolean {
    return this.#queue.length > 0
  }

  get hasSyncedWork(): boolean {
    const [first] = this.#queue
    return first !== undefined && first.lsn <= this.#journal.syncedLsn
  }

  add(change: Change): void {
    assert(change.lsn > 0, 'only journaled changes are applied')
    this.#queue.push(change)
    this.overlayBytes += change.data.length
  }

  /** The last journaled change of this block that is not applied. */
  findPending(chunk: Chunk, block: number): Change | undefined {
    return this.#queue.findLast(
      change => change.chunk === chunk && !change.isApplied && covers(change, block)
    )
  }

  /** Applies one batch of synced changes. Rejects with the disk's error; call again later. */
  async applyBatch(): Promise<void> {
    const batch = this.#take()
    if (batch.length === 0) return
    const work = this.#lastOfEach(batch)
    try {
      await forEachParallel(APPLY_PARALLEL_CHUNKS, work, async ([chunk, blocks]) => {
        if (blocks.size > 0) await this.#writeChunk(chunk, blocks)
        this.#finishChunk(chunk, blocks, batch)
      })
    } catch (error) {
      this.isOutOfSpace = isDiskFull(error)
      throw error
    }
    this.isOutOfSpace = false
    this.#settle(batch)
  }

  /** After a full disk everything synced is taken, so that trims behind it make room. */
  #take(): Change[] {
    let bytes = 0
    let count = 0
    for (const change of this.#queue) {
      if (change.lsn > this.#journal.syncedLsn) break
      const isFull = bytes >= APPLY_BATCH_BYTES || count >= APPLY_BATCH_CHANGES
      if (isFull && !this.isOutOfSpace) break
      bytes += change.data.length
      count++
    }
    return this.#queue.slice(0, count)
  }

  #lastOfEach(batch: readonly Change[]): Map<Chunk, Map<number, Change>> {
    const work = new Map<Chunk, Map<number, Change>>()
    for (const change of batch) {
      const { chunk } = change
      if (chunk === undefined || chunk.shard.isRemoved || change.isApplied) continue
      const blocks = work.get(chunk) ?? new Map<number, Change>()
      work.set(chunk, blocks)
      for (let block = change.first; block < change.first + change.count; block++) {
        const latest = chunk.latest.get(block)
        assert(latest !== undefined, 'a block with a change on its way is in the overlay')
        const isSuperseded =
          latest !== change && latest.lsn > 0 && latest.lsn <= this.#journal.syncedLsn
        if (!isSuperseded) blocks.set(block, change)
      }
    }
    return work
  }

  async #writeChunk(chunk: Chunk, blocks: Map<number, Change>): Promise<void> {
    await this.#tables.load(chunk)
    await chunk.quiesced()
    const open = await this.#files.acquire(chunk, true)
    try {
      await this.#writeBlocks(open, blocks)
    } finally {
      this.#files.release(open)
    }
  }

  /**
   * In one step: the blocks leave the overlay, and their changes are applied. Should another chunk
   * fail, the next attempt must not touch these blocks again, as a bypass may have gone into them;
   * and no change that is refused meanwhile may uncover them.
   */
  #finishChunk(chunk: Chunk, blocks: Map<number, Change>, batch: readonly Change[]): void {
    for (const change of batch) {
      if (change.chunk !== chunk) continue
      change.isApplied = true
      chunk.appliedLsn = change.lsn
      this.#settleSpace(change, chunk)
    }
    if (blocks.size === 0) return
    const { table } = chunk
    assert(table !== undefined, 'a chunk with changes on their way keeps its table')
    for (const [block, change] of blocks) {
      assert(change.lsn <= this.#journal.syncedLsn, 'only synced changes reach a chunk file')
      setBlock(table, block, change)
      if (chunk.latest.get(block) === change) chunk.latest.delete(block)
    }
    chunk.isDirty = true
    this.dirty.add(chunk)
    this.#tables.account(chunk)
  }

  /** Holes first: on a full disk they make the room that the writes need. */
  async #writeBlocks(open: OpenFile, blocks: Map<number, Change>): Promise<void> {
    const numbers = Uint32Array.from(blocks.keys()).sort()
    const holes: BlockRun[] = []
    const writes: BlockRun[] = []
    for (const block of numbers) {
      const change = blocks.get(block)
      assert(change !== undefined, 'every block of a batch has its change')
      if (change.kind === Kind.trim) extendRun(holes, block, undefined, Number.MAX_SAFE_INTEGER)
      else if (change.kind === Kind.zero) extendRun(writes, block, ZERO_BLOCK, MAX_RUN_BLOCKS)
      else if (change.kind === Kind.write) {
        const at = (block - change.first) * BLOCK_BYTES
        extendRun(writes, block, change.data.subarray(at, at + BLOCK_BYTES), MAX_RUN_BLOCKS)
      }
    }
    await forEachParallel(APPLY_PARALLEL_WRITES, holes, run =>
      this.#files.punchHole(open, run.first * BLOCK_BYTES, run.count * BLOCK_BYTES)
    )
    for (let from = 0; from < writes.length; from += YIELD_WRITES) {
      await forEachParallel(APPLY_PARALLEL_WRITES, writes.slice(from, from + YIELD_WRITES), run =>
        this.#files.write(open, run.parts, run.first * BLOCK_BYTES)
      )
      // A disk may answer in the same tick: clients come first.
      await this.#nextTick()
    }
  }

  #nextTick(): Promise<void> {
    return new Promise(resolve => this.#clock.soon(resolve))
  }

  #settle(batch: readonly Change[]): void {
    this.#queue.splice(0, batch.length)
    for (const change of batch) {
      const { chunk } = change
      this.overlayBytes -= change.data.length
      this.appliedLsn = change.lsn
      if (chunk !== undefined) this.#settleSpace(change, chunk)
    }
  }

  /** What it allocated is counted from the same tick on: never both, or room would seem short. */
  #settleSpace(change: Change, chunk: Chunk): void {
    this.#space.settle(chunk, change.newBlocks ?? 0)
    change.newBlocks = 0
  }
}

interface BlockRun {
  readonly first: number
  count: number
  readonly parts: Uint8Array[]
}

function extendRun(
  runs: BlockRun[],
  block: number,
  part: Uint8Array | undefined,
  maxBlocks: number
): void {
  const last = runs.at(-1)
  if (last !== undefined && last.first + last.count === block && last.count < maxBlocks) {
    last.count++
    if (part !== undefined) addPart(last.parts, part)
  } else {
    runs.push({ first: block, count: 1, parts: part === undefined ? [] : [part] })
  }
}

/** Parts that stand beside each other in memory become one. */
function addPart(parts: Uint8Array[], part: Uint8Array): void {
  const last = parts.at(-1)
  const isNext =
    last !== undefined &&
    last.buffer === part.buffer &&
    last.byteOffset + last.length === part.byteOffset
  if (!isNext) parts.push(part)
  else {
    const lengthBytes = last.length + part.length
    parts[parts.length - 1] = new Uint8Array(part.buffer, last.byteOffset, lengthBytes)
  }
}

function setBlock(table: Table, block: number, change: Change): void {
  if (change.kind === Kind.trim) table.setHole(block)
  else if (change.kind === Kind.lost) table.setLost(block)
  else if (change.kind === Kind.zero) table.setData(block, ZERO_BLOCK_CRC)
  else table.setData(block, change.crcs[block - change.first] ?? 0)
}
