/**
 * Admission by space: what may still be written.
 *
 * Two limits hold at once. The capacity that the operator gave counts data blocks, their tables
 * and a full journal. The file system's free space is polled; between polls everything written
 * since is taken off. What is admitted and not yet in a chunk file counts as used in both, and a
 * reserve stays free: the journal's growth to its bound (overwrites must keep working) and room
 * for tables, which are written anew beside the old ones.
 */
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import {
  JOURNAL_SEGMENTS,
  MAX_JOURNAL_BYTES,
  MAX_RESERVE_BYTES,
  MIN_JOURNAL_BYTES,
  SPACE_POLL_MS
} from '../limits.ts'
import type { Clock, Disk } from '../ports.ts'
import type { Journal } from './journal.ts'
import type { StoreSpace } from './types.ts'

const TABLE_BYTES_PER_BLOCK = 5

export interface SpaceLimits {
  readonly journalBytes: number
  readonly segmentBytes: number
  readonly reserveBytes: number
}

/** Sized by the smaller of file system and capacity; each may be given. */
export function spaceLimits(
  totalBytes: number,
  capacityBytes: number,
  given: Partial<SpaceLimits> = {}
): SpaceLimits {
  const eighth = Math.floor(Math.min(totalBytes, capacityBytes) / 8)
  const fitting = Math.min(MAX_JOURNAL_BYTES, Math.max(MIN_JOURNAL_BYTES, eighth))
  const journalBytes = given.journalBytes ?? fitting
  return {
    journalBytes,
    segmentBytes: given.segmentBytes ?? Math.floor(journalBytes / JOURNAL_SEGMENTS),
    reserveBytes: given.reserveBytes ?? Math.min(MAX_RESERVE_BYTES, Math.floor(totalBytes / 16))
  }
}

export class Space {
  allocatedBlocks = 0
  pendingBlocks = 0
  readonly limits: SpaceLimits
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #journal: Journal
  readonly #capacityBytes: number
  #freeBytes = 0
  #allocatedAtPoll = 0
  #appendedAtPoll = 0
  #polledAtMs = 0
  #polling: Promise<void> | undefined

  constructor(
    disk: Disk,
    clock: Clock,
    journal: Journal,
    capacityBytes: number,
    limits: SpaceLimits
  ) {
    this.#disk = disk
    this.#clock = clock
    this.#journal = journal
    this.#capacityBytes = capacityBytes
    this.limits = limits
  }

  /** Room for so many more data blocks? If not, ask again when the poll `isFresh`. */
  admits(blocks: number): boolean {
    if (this.#ageMs() > SPACE_POLL_MS) this.#pollInBackground()
    return this.#available() >= blocks * BLOCK_BYTES
  }

  /** A refusal rests on what the file system said just now. */
  get isFresh(): boolean {
    return this.#ageMs() <= SPACE_POLL_MS / 10
  }

  reserve(blocks: number): void {
    this.pendingBlocks += blocks
  }

  release(blocks: number): void {
    this.pendingBlocks -= blocks
  }

  async poll(): Promise<void> {
    const appended = this.#journal.appendedBytes
    const allocated = this.allocatedBlocks
    const { freeBytes } = await this.#disk.space()
    this.#appendedAtPoll = appended
    this.#allocatedAtPoll = allocated
    this.#freeBytes = freeBytes
    this.#polledAtMs = this.#clock.monotonicMs()
  }

  state(): StoreSpace {
    const { journalBytes } = this.limits
    const dataBytes = this.allocatedBlocks * (BLOCK_BYTES + TABLE_BYTES_PER_BLOCK)
    const usedBytes = dataBytes + Math.min(this.#journal.bytes, journalBytes)
    const availableBytes = Math.max(0, this.#available())
    if (this.#ageMs() > SPACE_POLL_MS) this.#pollInBackground()
    return { capacityBytes: this.#capacityBytes, usedBytes, availableBytes }
  }

  #ageMs(): number {
    return this.#clock.monotonicMs() - this.#polledAtMs
  }

  #available(): number {
    const { journalBytes, reserveBytes } = this.limits
    const pendingBytes = this.pendingBlocks * BLOCK_BYTES
    const perBlock = BLOCK_BYTES + TABLE_BYTES_PER_BLOCK
    const byCapacity = this.#capacityBytes - journalBytes - this.allocatedBlocks * perBlock
    const sincePoll =
      this.#journal.appendedBytes -
      this.#appendedAtPoll +
      Math.max(0, this.allocatedBlocks - this.#allocatedAtPoll) * BLOCK_BYTES
    const journalGrowth = Math.max(0, journalBytes - this.#journal.bytes)
    const byDisk = this.#freeBytes - sincePoll - journalGrowth - reserveBytes
    return Math.min(byCapacity, byDisk) - pendingBytes
  }

  #pollInBackground(): void {
    this.#polling ??= this.poll()
      .catch(() => {})
      .finally(() => {
        this.#polling = undefined
      })
  }
}
