/**
 * The journal: changes in the order of their calls, in segment files `journal/<number>.log`.
 *
 *   [segment 7: head | record 100 | 101 | ... | 163] [segment 8: head | record 164 | ...  ->
 *
 * Invariants: lsns are consecutive over all segments; a segment's head is durable before its first
 * record is written; an append that failed leaves nothing behind (or ends the store); `lastLsn` is
 * the last record that the OS has, `syncedLsn` the last that is known to be durable; every record
 * names the `syncedLsn` of its time. A segment goes only when all its records are checkpointed.
 */
import { assert } from '../../protocols/assert.ts'
import type { Disk, DiskFile, Random } from '../ports.ts'
import { encodeBatch } from './batch.ts'
import type { Change } from './change.ts'
import { Kind } from './change.ts'
import type { Health } from './health.ts'
import { encodeSegmentHead, SEGMENT_HEAD_BYTES } from './record.ts'

export const JOURNAL_DIRECTORY = 'journal'
const REWRITE_CHANGES = 256
export interface Segment {
  readonly number: number
  readonly nonce: Uint8Array
  lastLsn: number
  bytes: number
  /** Undefined once it is complete and synced. */
  file: DiskFile | undefined
  isDirty: boolean
}

export interface JournalStart {
  readonly incarnation: number
  readonly segmentBytes: number
  readonly nextNumber: number
  readonly lastLsn: number
  /** What earlier starts left, oldest first. */
  readonly segments: Segment[]
}

export class Journal {
  lastLsn: number
  syncedLsn: number
  /** The last record that is a change: a mark alone needs no sync. */
  lastChangeLsn: number
  provenInJournal: number
  bytes = 0
  /** Appended since the store was opened; for the space accounting. */
  appendedBytes = 0
  readonly #disk: Disk
  readonly #health: Health
  readonly #random: Random
  readonly #start: JournalStart
  readonly #segments: Segment[]
  #nextNumber: number

  constructor(disk: Disk, health: Health, random: Random, start: JournalStart) {
    this.#disk = disk
    this.#health = health
    this.#random = random
    this.#start = start
    this.#segments = start.segments
    this.#nextNumber = start.nextNumber
    this.lastLsn = start.lastLsn
    this.syncedLsn = start.lastLsn
    this.lastChangeLsn = start.lastLsn
    this.provenInJournal = start.lastLsn
    for (const segment of start.segments) this.bytes += segment.bytes
  }

  /**
   * Writes the changes after all earlier ones and gives them their lsns. One call at a time.
   * Rejects with the disk's error, having left nothing behind.
   */
  async append(changes: readonly Change[]): Promise<void> {
    const batch = encodeBatch(changes, this.lastLsn, this.syncedLsn)
    let segment = this.#segments.at(-1)
    const isFull = segment !== undefined && segment.bytes + batch.bytes > this.#start.segmentBytes
    const isEmpty = segment?.bytes === SEGMENT_HEAD_BYTES
    if (segment?.file === undefined || (isFull && !isEmpty)) segment = await this.#newSegment()
    const file = segment.file
    assert(file !== undefined, 'the last segment is open')
    const parts = batch.write(segment.nonce)
    segment.isDirty = true
    try {
      await file.write(parts, segment.bytes)
    } catch (error) {
      await this.#undo(file, segment.bytes, error)
      throw error
    }
    segment.isDirty = true
    segment.bytes += batch.bytes
    this.bytes += batch.bytes
    this.appendedBytes += batch.bytes
    this.#settle(changes, batch.data)
    segment.lastLsn = this.lastLsn
  }

  /**
   * Recovery only: writes the changes whose sync is not proven again, as a new segment that is
   * durable as a whole before it appears. Until then the old segments hold; from then on it voids
   * what they hold beyond the proven sync.
   */
  async rewrite(changes: readonly Change[]): Promise<void> {
    const number = this.#nextNumber++
    const path = segmentPath(number)
    const nonce = this.#random.bytes(8)
    const startLsn = this.lastLsn + 1
    const provenLsn = this.lastLsn + changes.length
    const { incarnation } = this.#start
    const head = encodeSegmentHead({ number, startLsn, provenLsn, incarnation, nonce })
    const file = await this.#disk.open(`${path}.tmp`, 'if-absent')
    await file.truncate(0)
    await file.write([head], 0)
    let bytes = head.length
    for (let from = 0; from < changes.length; from += REWRITE_CHANGES) {
      const some = changes.slice(from, from + REWRITE_CHANGES)
      const batch = encodeBatch(some, this.lastLsn, provenLsn)
      await file.write(batch.write(nonce), bytes)
      bytes += batch.bytes
      this.#settle(some, [])
    }
    await this.#health.sync(file.sync())
    await this.#disk.rename(`${path}.tmp`, path)
    await this.#health.sync(this.#disk.syncDirectory(JOURNAL_DIRECTORY))
    this.#segments.push({ number, nonce, lastLsn: this.lastLsn, bytes, file, isDirty: false })
    this.bytes += bytes
    this.syncedLsn = this.lastLsn
    this.provenInJournal = this.lastLsn
  }

  /** Makes everything up to `lastLsn` at the time of the call durable; does not set `syncedLsn`. */
  async syncFiles(): Promise<void> {
    const dirty = this.#segments.filter(segment => segment.isDirty)
    const current = this.#segments.at(-1)
    for (const segment of dirty) segment.isDirty = false
    await Promise.all(
      dirty.map(segment => segment.file !== undefined && this.#health.sync(segment.file.sync()))
    )
    for (const segment of this.#segments) {
      if (segment === current || segment === this.#segments.at(-1) || segment.isDirty) continue
      await closeSegment(segment)
    }
  }

  /** Removes the segments of which every record is at or below `lsn`; the last one stays. */
  async removeThrough(lsn: number): Promise<void> {
    let hasRemoved = false
    for (;;) {
      const [oldest, next] = this.#segments
      if (oldest === undefined || next === undefined || oldest.lastLsn > lsn) break
      this.#segments.shift()
      await closeSegment(oldest)
      await this.#disk.remove(segmentPath(oldest.number))
      this.bytes -= oldest.bytes
      hasRemoved = true
    }
    if (hasRemoved) await this.#health.sync(this.#disk.syncDirectory(JOURNAL_DIRECTORY))
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  /** Would `removeThrough(lsn)` free anything? */
  hasRemovable(lsn: number): boolean {
    const [oldest, next] = this.#segments
    return oldest !== undefined && next !== undefined && oldest.lastLsn <= lsn
  }

  async close(): Promise<void> {
    for (const segment of this.#segments) await closeSegment(segment)
  }

  #settle(changes: readonly Change[], data: ReadonlyArray<Uint8Array | undefined>): void {
    for (const [i, change] of changes.entries()) {
      change.lsn = ++this.lastLsn
      const copy = data[i]
      if (copy !== undefined) change.data = copy
      if (change.kind !== Kind.mark) this.lastChangeLsn = change.lsn
    }
    this.provenInJournal = this.syncedLsn
  }

  async #newSegment(): Promise<Segment> {
    const number = this.#nextNumber++
    const path = segmentPath(number)
    const nonce = this.#random.bytes(8)
    const file = await this.#disk.open(path, 'new')
    try {
      const { lastLsn, syncedLsn } = this
      const { incarnation } = this.#start
      const head = { number, startLsn: lastLsn + 1, provenLsn: syncedLsn, incarnation, nonce }
      await file.write([encodeSegmentHead(head)], 0)
      await this.#health.sync(file.sync())
      await this.#health.sync(this.#disk.syncDirectory(JOURNAL_DIRECTORY))
    } catch (error) {
      await file.close()
      await this.#disk.remove(path).catch(() => {})
      throw error
    }
    const bytes = SEGMENT_HEAD_BYTES
    const segment = { number, nonce, lastLsn: this.lastLsn, bytes, file, isDirty: false }
    this.#segments.push(segment)
    this.bytes += bytes
    return segment
  }

  async #undo(file: DiskFile, length: number, cause: unknown): Promise<void> {
    try {
      await file.truncate(length)
    } catch {
      throw this.#health.fail(cause, 'taking back a failed journal write')
    }
  }
}

export function segmentPath(number: number): string {
  return `${JOURNAL_DIRECTORY}/${String(number).padStart(12, '0')}.log`
}

async function closeSegment(segment: Segment): Promise<void> {
  const file = segment.file
  segment.file = undefined
  await file?.close()
}
