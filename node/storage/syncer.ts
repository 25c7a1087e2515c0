/**
 * Group commit: one sync at a time makes everything before it durable; those who ask meanwhile
 * share the next one.
 *
 * Invariants: `journal.syncedLsn` grows only here, and only when (1) the files of all bypasses at
 * or below it, (2) the names of those files and (3) the journal up to it have been synced, in that
 * order of cause: what a synced record speaks of is durable too. Two syncs side by side would break
 * (1): the later one would not wait for the bypasses that the earlier one has taken on.
 */
import { assert } from '../../protocols/assert.ts'
import { MAX_UNSYNCED_BYTES, SYNC_DELAY_MS } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'
import type { Chunk } from './chunk.ts'
import type { ChunkFiles } from './files.ts'
import type { Health } from './health.ts'
import type { Journal } from './journal.ts'

export class Syncer {
  readonly #clock: Clock
  readonly #health: Health
  readonly #journal: Journal
  readonly #files: ChunkFiles
  readonly #onSynced: () => void
  /** Chunks with bypasses whose records entered the journal since the last sync began. */
  #bypassed = new Set<Chunk>()
  #unsyncedBytes = 0
  #running: { readonly target: number; readonly done: Promise<void> } | undefined
  #next: Promise<void> | undefined
  #timer: Timer | undefined

  constructor(
    clock: Clock,
    health: Health,
    journal: Journal,
    files: ChunkFiles,
    onSynced: () => void
  ) {
    this.#clock = clock
    this.#health = health
    this.#journal = journal
    this.#files = files
    this.#onSynced = onSynced
  }

  /** After an append: sees to it that these bytes do not stay unsynced for long. */
  note(bytes: number): void {
    this.#unsyncedBytes += bytes
    if (this.#unsyncedBytes >= MAX_UNSYNCED_BYTES) this.#syncInBackground()
    else this.#timer ??= this.#clock.after(SYNC_DELAY_MS, () => this.#syncInBackground())
  }

  /** Before the record of a bypass is appended, and after its data was written. */
  noteBypass(chunk: Chunk): void {
    this.#bypassed.add(chunk)
  }

  /** Resolves once every change that is in the journal now is durable. */
  sync(): Promise<void> {
    if (this.#health.failure !== undefined) return Promise.reject(this.#health.rejection())
    const target = this.#journal.lastChangeLsn
    if (target <= this.#journal.syncedLsn) return Promise.resolve()
    const running = this.#running
    if (running !== undefined && target <= running.target) return running.done
    // The next one is promised a start already: nobody starts another before it.
    if (this.#next !== undefined) return this.#next
    if (running === undefined) return this.#start()
    this.#next = running.done.then(() => {
      this.#next = undefined
      return this.#start()
    })
    return this.#next
  }

  close(): void {
    this.#timer?.cancel()
  }

  #syncInBackground(): void {
    this.sync().catch(() => {})
  }

  #start(): Promise<void> {
    assert(this.#running === undefined, 'one sync runs at a time')
    this.#timer?.cancel()
    this.#timer = undefined
    this.#unsyncedBytes = 0
    const target = this.#journal.lastLsn
    const chunks = this.#bypassed
    this.#bypassed = new Set()
    const done = this.#run(target, chunks)
    this.#running = { target, done }
    return done
  }

  async #run(target: number, chunks: Set<Chunk>): Promise<void> {
    try {
      await Promise.all([
        ...[...chunks].map(chunk => this.#files.sync(chunk)),
        this.#files.syncDirectories()
      ])
      await this.#journal.syncFiles()
    } catch (error) {
      throw this.#health.fail(error, 'a sync')
    }
    assert(target >= this.#journal.syncedLsn, 'what is synced only grows')
    this.#running = undefined
    this.#journal.syncedLsn = target
    this.#onSynced()
  }
}
