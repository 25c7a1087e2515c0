/**
 * Admission by space: what may still be written.
 *
 * Two limits hold at once. The capacity that the operator gave counts data blocks, their tables
 * and a full journal. The file system's free space is polled; between polls everything written
 * since is taken off. What is admitted and not yet in a chunk file counts as used in both; so does
 * what is reserved for chunks on their way here (reservations.ts), but not for themselves. A
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
import type { Chunk } from './chunk.ts'
import type { Journal } from './journal.ts'
import type { Reservations } from './reservations.ts'
import type { StoreSpace } from './types.ts'

/** A data block, its state and its checksum. */
const BYTES_PER_BLOCK = BLOCK_BYTES + 5

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
  readonly #reservations: Reservations
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
    limits: SpaceLimits,
    reservations: Reservations
  ) {
    this.#disk = disk
    this.#clock = clock
    this.#journal = journal
    this.#capacityBytes = capacityBytes
    this.limits = limits
    this.#reservations = reservations
  }

  /** Room for so many more data blocks of it? If not, ask again when the poll `isFresh`. */
  admits(chunk: Chunk, blocks: number): boolean {
    if (this.#ageMs() > SPACE_POLL_MS) this.#pollInBackground()
    const ownBlocks = chunk.reservation?.leftBlocks ?? 0
    return this.#available() >= (blocks - ownBlocks) * BYTES_PER_BLOCK
  }

  /** A refusal rests on what the file system said just now. */
  get isFresh(): boolean {
    return this.#ageMs() <= SPACE_POLL_MS / 10
  }

  /** A change of the chunk is on its way that may add so many blocks. */
  promise(chunk: Chunk, blocks: number): void {
    this.pendingBlocks += blocks
    chunk.expect(blocks)
  }

  /** It was applied, or refused. */
  settle(chunk: Chunk, blocks: number): void {
    this.promise(chunk, -blocks)
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
    const dataBytes = this.allocatedBlocks * BYTES_PER_BLOCK
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
    const promisedBlocks = this.pendingBlocks + this.#reservations.leftBlocks
    const byCapacity = this.#capacityBytes - journalBytes - this.allocatedBlocks * BYTES_PER_BLOCK
    const sincePoll =
      this.#journal.appendedBytes -
      this.#appendedAtPoll +
      Math.max(0, this.allocatedBlocks - this.#allocatedAtPoll) * BLOCK_BYTES
    const journalGrowth = Math.max(0, journalBytes - this.#journal.bytes)
    const byDisk = this.#freeBytes - sincePoll - journalGrowth - reserveBytes
    return Math.min(byCapacity, byDisk) - promisedBlocks * BYTES_PER_BLOCK
  }

  #pollInBackground(): void {
    this.#polling ??= this.poll()
      .catch(() => {})
      .finally(() => {
        this.#polling = undefined
      })
  }
}
