/**
 * Changes on their way into the journal.
 *
 *   submit -> overlay and queue (the order of effects) -> one append at a time -> answered
 *
 * Invariants:
 * - a change is in the overlay from the tick of its call; the queue keeps the order of calls, and
 *   what the append in flight leaves behind gathers for the next one;
 * - a change is answered when the OS has its record (a bypass: its data first, then its record);
 * - a bypass goes only into blocks that are holes by the table and have no change on its way. The
 *   table knows only synced changes, so whatever of the bypass a loss of power leaves, without its
 *   record the blocks are holes again;
 * - a chunk is freed by a trim of all that it may hold, journaled even where it holds nothing, so
 *   that a checkpoint looks at it and drops it (checkpoint.ts);
 * - a change that is refused leaves the overlay, and an earlier one of its blocks shows again.
 */

import { assert } from '../../protocols/assert.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import {
  BYPASS_BYTES,
  JOURNAL_BATCH_BYTES,
  MAX_OVERLAY_BYTES,
  MAX_WAITING_BYTES
} from '../limits.ts'
import type { Clock } from '../ports.ts'
import { busy, countNew, full, isUntouched } from './admission.ts'
import type { Applier } from './applier.ts'
import type { Background } from './background.ts'
import type { Change } from './change.ts'
import { Kind, markAt, NO_CRCS, NO_DATA } from './change.ts'
import type { Chunk } from './chunk.ts'
import type { ChunkFiles } from './files.ts'
import type { Health } from './health.ts'
import { ioError, isDiskFull } from './health.ts'
import type { Journal } from './journal.ts'
import { recordBytes } from './record.ts'
import type { Space } from './space.ts'
import type { Syncer } from './syncer.ts'
import type { Tables } from './tables.ts'

/** Data may fill the journal up to here; the rest is for trims, which make room. */
const DATA_SHARE = 7 / 8

export interface IntakeParts {
  readonly clock: Clock
  readonly health: Health
  readonly journal: Journal
  readonly syncer: Syncer
  readonly applier: Applier
  readonly background: Background
  readonly files: ChunkFiles
  readonly tables: Tables
  readonly space: Space
}

export class Intake {
  readonly #parts: IntakeParts
  #queue: Change[] = []
  #queuedBytes = 0
  #isScheduled = false
  #pumping: Promise<void> | undefined

  constructor(parts: IntakeParts) {
    this.#parts = parts
    parts.health.onFailure(() => this.#rejectAll())
  }

  get isIdle(): boolean {
    return this.#queue.length === 0
  }

  submit(
    chunk: Chunk,
    kind: Kind,
    first: number,
    count: number,
    data: Uint8Array,
    crcs: Uint32Array
  ): Promise<void> {
    const { health, tables, space } = this.#parts
    if (health.failure !== undefined) return Promise.reject(health.rejection())
    if (this.#queuedBytes > MAX_WAITING_BYTES) return Promise.reject(busy())
    const table = tables.ready(chunk)
    if (kind === Kind.trim && table !== undefined && isUntouched(chunk, first, count)) {
      return Promise.resolve()
    }
    let newBlocks: number | undefined = kind === Kind.trim ? 0 : countNew(chunk, first, count)
    if (newBlocks > 0 && !space.admits(chunk, newBlocks)) {
      if (table !== undefined && space.isFresh) return Promise.reject(full())
      newBlocks = undefined
    }
    const isLarge = kind === Kind.write && data.length >= BYPASS_BYTES
    if (isLarge && table === undefined) tables.load(chunk).catch(() => {})
    const mayBypass = isLarge && table !== undefined && newBlocks !== undefined
    const isBypass = mayBypass && isUntouched(chunk, first, count)
    return this.#enter(chunk, isBypass ? Kind.bypass : kind, first, count, data, crcs, newBlocks)
  }

  /** A trim of all that the chunk may hold; journaled even if it holds nothing. */
  submitFree(chunk: Chunk): Promise<void> {
    const { health } = this.#parts
    if (health.failure !== undefined) return Promise.reject(health.rejection())
    if (this.#queuedBytes > MAX_WAITING_BYTES) return Promise.reject(busy())
    return this.#enter(chunk, Kind.trim, 0, chunk.boundBlocks, NO_DATA, NO_CRCS, 0)
  }

  /** In this tick the change takes its place in the order of effects. */
  #enter(
    chunk: Chunk,
    kind: Kind,
    first: number,
    count: number,
    data: Uint8Array,
    crcs: Uint32Array,
    newBlocks: number | undefined
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const change: Change = {
        kind,
        chunk,
        first,
        count,
        crcs,
        data,
        lsn: 0,
        newBlocks,
        isApplied: false,
        writing: undefined,
        resolve,
        reject
      }
      for (let block = first; block < first + count; block++) chunk.latest.set(block, change)
      if (newBlocks !== undefined) this.#reserve(change, newBlocks)
      if (kind === Kind.bypass) this.#startBypass(change)
      this.#enqueue(change)
    })
  }

  /** Carries the last sync into the journal, so that recovery knows of it. */
  submitMark(): void {
    this.#enqueue(markAt(0))
  }

  /** Resolves when everything submitted so far has been answered. */
  async drained(): Promise<void> {
    while (this.#queue.length > 0 || this.#pumping !== undefined) await this.#startPump()
  }

  /** Cleared from outside, because a pump that finds nothing ends before it has a name. */
  #startPump(): Promise<void> {
    this.#pumping ??= this.#pump().then(() => {
      this.#pumping = undefined
      if (this.#queue.length > 0) this.#startPump()
    })
    return this.#pumping
  }

  #enqueue(change: Change): void {
    this.#queue.push(change)
    this.#queuedBytes += change.data.length
    if (this.#isScheduled || this.#pumping !== undefined) return
    this.#isScheduled = true
    this.#parts.clock.soon(() => {
      this.#isScheduled = false
      this.#startPump()
    })
  }

  async #pump(): Promise<void> {
    const { health } = this.#parts
    try {
      while (this.#queue.length > 0 && health.failure === undefined) {
        const batch = this.#gather()
        if (batch.length > 0) await this.#append(batch)
        else await this.#passObstacle()
      }
    } catch (error) {
      health.fail(error, 'taking in changes')
    }
  }

  /** The longest beginning of the queue that may be appended now. */
  #gather(): Change[] {
    const { journal, applier, space } = this.#parts
    const { journalBytes, segmentBytes } = space.limits
    const batchBytes = Math.min(JOURNAL_BATCH_BYTES, segmentBytes)
    let bytes = 0
    let count = 0
    for (const change of this.#queue) {
      if (change.newBlocks === undefined || change.writing !== undefined) break
      const size = recordBytes(change.kind, change.count)
      if (count > 0 && bytes + size > batchBytes) break
      const bound = change.data.length > 0 ? journalBytes * DATA_SHARE : journalBytes
      // Of a single segment nothing can be removed before the next one begins.
      if (journal.bytes + bytes + size > bound && journal.segmentCount > 1) break
      if (change.kind === Kind.write && applier.overlayBytes + bytes > MAX_OVERLAY_BYTES) break
      bytes += size
      count++
    }
    return this.#queue.slice(0, count)
  }

  async #append(batch: Change[]): Promise<void> {
    const { journal, health, applier, syncer, background } = this.#parts
    // Before its lsn can be seen: a sync of that lsn must include its data, which is written.
    for (const { kind, chunk } of batch) {
      if (kind === Kind.bypass && chunk !== undefined) syncer.noteBypass(chunk)
    }
    try {
      await journal.append(batch)
    } catch (error) {
      if (health.failure !== undefined) return
      if (!isDiskFull(error)) throw error
      this.#refuse(batch, full())
      return
    }
    if (health.failure !== undefined) return
    let bytes = 0
    this.#queue.splice(0, batch.length)
    for (const change of batch) {
      this.#queuedBytes -= change.data.length
      bytes += change.data.length
      if (change.chunk === undefined) continue
      if (change.kind === Kind.bypass) change.data = NO_DATA
      applier.add(change)
      change.resolve()
    }
    syncer.note(bytes)
    background.kick()
  }

  /** The head of the queue cannot be appended: waits for what it waits for, or refuses it. */
  async #passObstacle(): Promise<void> {
    const { applier, background } = this.#parts
    const [head] = this.#queue
    if (head === undefined) return
    if (head.newBlocks === undefined) await this.#decide(head)
    else if (head.writing !== undefined) await head.writing
    else if (applier.isOutOfSpace) this.#refuse([head], full())
    else await background.progress()
  }

  /** Space seems short: the table says whether this change needs any, the disk what there is. */
  async #decide(change: Change): Promise<void> {
    const { tables, space } = this.#parts
    assert(change.chunk !== undefined, 'a mark needs no space')
    try {
      const table = await tables.load(change.chunk)
      if (!space.isFresh) await space.poll()
      const newBlocks = table.countMissing(change.first, change.count)
      if (newBlocks > 0 && !space.admits(change.chunk, newBlocks)) this.#refuse([change], full())
      else this.#reserve(change, newBlocks)
    } catch (error) {
      this.#refuse([change], ioError('the disk does not answer', error))
    }
  }

  #reserve(change: Change, newBlocks: number): void {
    change.newBlocks = newBlocks
    if (change.chunk !== undefined) this.#parts.space.promise(change.chunk, newBlocks)
  }

  #startBypass(change: Change): void {
    change.writing = this.#writeAround(change).then(
      () => {
        change.writing = undefined
      },
      error => {
        change.writing = undefined
        // Its shard was removed: nothing of it is needed any more.
        if (change.chunk?.shard.isRemoved === true) return
        if (isDiskFull(error)) this.#refuse([change], full())
        else this.#parts.health.fail(error, 'a write to a chunk file')
      }
    )
  }

  async #writeAround(change: Change): Promise<void> {
    const { files } = this.#parts
    const { chunk } = change
    assert(chunk !== undefined, 'a bypass has a chunk')
    const open = await files.acquire(chunk, true)
    try {
      await files.write(open, [change.data], change.first * BLOCK_BYTES)
    } catch (error) {
      const lengthBytes = change.count * BLOCK_BYTES
      await files.punchHole(open, change.first * BLOCK_BYTES, lengthBytes).catch(() => {})
      throw error
    } finally {
      files.release(open)
    }
  }

  /** Takes changes back, the last first, so that each uncovers what was there before it. */
  #refuse(changes: readonly Change[], error: Error): void {
    const refused = new Set(changes)
    this.#queue = this.#queue.filter(change => !refused.has(change))
    for (const change of changes.toReversed()) {
      const { chunk, newBlocks } = change
      this.#queuedBytes -= change.data.length
      if (chunk === undefined) continue
      this.#parts.space.settle(chunk, newBlocks ?? 0)
      for (let block = change.first; block < change.first + change.count; block++) {
        if (chunk.latest.get(block) === change) this.#uncover(chunk, block, refused)
      }
      change.reject(error)
    }
  }

  #uncover(chunk: Chunk, block: number, refused: ReadonlySet<Change>): void {
    const isBelow = (change: Change) =>
      change.chunk === chunk &&
      !refused.has(change) &&
      block >= change.first &&
      block < change.first + change.count
    const below = this.#queue.findLast(isBelow) ?? this.#parts.applier.findPending(chunk, block)
    if (below === undefined) chunk.latest.delete(block)
    else chunk.latest.set(block, below)
  }

  #rejectAll(): void {
    const rejected = this.#queue
    this.#queue = []
    this.#queuedBytes = 0
    for (const change of rejected) change.reject(this.#parts.health.rejection())
  }
}
