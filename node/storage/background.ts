/**
 * What the store does by itself: sync before applying, apply, checkpoint, each when it is due or
 * when the journal or the overlay fills up. Applying and a checkpoint may run side by side.
 *
 * A full disk makes it wait and try again; any other error ends the store, because the journal
 * holds everything and a new start begins from there.
 */

import { isFault, messageOf } from '../../protocols/fault.ts'
import { APPLY_BYTES, APPLY_DELAY_MS, CHECKPOINT_DELAY_MS, STORAGE_RETRY_MS } from '../limits.ts'
import type { Clock, Log, Timer } from '../ports.ts'
import type { Applier } from './applier.ts'
import type { Checkpointer } from './checkpoint.ts'
import { type Health, isDiskFull } from './health.ts'
import type { Journal } from './journal.ts'
import type { Syncer } from './syncer.ts'

export interface BackgroundParts {
  readonly clock: Clock
  readonly log: Log
  readonly health: Health
  readonly journal: Journal
  readonly syncer: Syncer
  readonly applier: Applier
  readonly checkpointer: Checkpointer
  readonly journalBytes: number
}

export class Background {
  readonly #parts: BackgroundParts
  #applying: Promise<void> | undefined
  #checkpointing: Promise<void> | undefined
  #applyTimer: Timer | undefined
  #checkpointTimer: Timer | undefined
  #retryTimer: Timer | undefined
  #isApplyDue = false
  #isCheckpointDue = false
  #isPaused = false
  #waiters: Array<() => void> = []

  constructor(parts: BackgroundParts) {
    this.#parts = parts
    parts.health.onFailure(() => this.#wake())
  }

  /** Looks for work. Cheap; call it whenever something changed. */
  kick(): void {
    const { applier, health } = this.#parts
    if (this.#isPaused || health.failure !== undefined || this.#retryTimer !== undefined) return
    this.#armTimers()
    if (this.#checkpointing === undefined && this.#wantsCheckpoint()) this.#checkpoint()
    const isFull = applier.overlayBytes >= APPLY_BYTES || this.#isPressed()
    if (this.#applying !== undefined || !applier.hasWork) return
    if (this.#isApplyDue || isFull || this.#waiters.length > 0) this.#apply()
  }

  /** Resolves after the next piece of background work, or the store's end: room may be there. */
  progress(): Promise<void> {
    const waiting = new Promise<void>(resolve => this.#waiters.push(resolve))
    if (this.#parts.health.failure !== undefined) this.#wake()
    this.kick()
    return waiting
  }

  /** Runs `work` while nothing is being applied or checkpointed. */
  async exclusively<T>(work: () => Promise<T>): Promise<T> {
    await this.#pause()
    try {
      return await work()
    } finally {
      this.#isPaused = false
      this.#wake()
      this.kick()
    }
  }

  /** Applies and checkpoints everything that is journaled. */
  async drain(): Promise<void> {
    const { applier, syncer, checkpointer } = this.#parts
    await this.exclusively(async () => {
      while (applier.hasWork) {
        await syncer.sync()
        await applier.applyBatch()
      }
      if (checkpointer.hasWork) await checkpointer.run()
    })
  }

  /** Stops for good, after what is under way. */
  async close(): Promise<void> {
    await this.#pause()
    this.#wake()
    for (const timer of [this.#applyTimer, this.#checkpointTimer, this.#retryTimer]) timer?.cancel()
  }

  async #pause(): Promise<void> {
    while (this.#isPaused) await this.#anyWork()
    this.#isPaused = true
    while (this.#applying !== undefined || this.#checkpointing !== undefined) {
      await Promise.all([this.#applying, this.#checkpointing])
    }
  }

  #anyWork(): Promise<void> {
    return new Promise(resolve => this.#waiters.push(resolve))
  }

  #isPressed(): boolean {
    const { journal, journalBytes } = this.#parts
    return journal.bytes > journalBytes / 2
  }

  #wantsCheckpoint(): boolean {
    const { journal, applier, checkpointer } = this.#parts
    if (!checkpointer.hasWork) return false
    return this.#isCheckpointDue || (this.#isPressed() && journal.hasRemovable(applier.appliedLsn))
  }

  #armTimers(): void {
    const { clock, applier, checkpointer } = this.#parts
    if (applier.hasWork) {
      this.#applyTimer ??= clock.after(APPLY_DELAY_MS, () => {
        this.#applyTimer = undefined
        this.#isApplyDue = true
        this.kick()
      })
    }
    if (checkpointer.hasWork) {
      this.#checkpointTimer ??= clock.after(CHECKPOINT_DELAY_MS, () => {
        this.#checkpointTimer = undefined
        this.#isCheckpointDue = true
        this.kick()
      })
    }
  }

  #apply(): void {
    const { applier, syncer } = this.#parts
    const batch = async () => {
      if (!applier.hasSyncedWork) await syncer.sync()
      await applier.applyBatch()
    }
    this.#applying = this.#attempt('applying changes', batch).then(() => {
      this.#applying = undefined
      if (!applier.hasWork) this.#isApplyDue = false
      this.#wake()
      this.kick()
    })
  }

  #checkpoint(): void {
    const { checkpointer } = this.#parts
    this.#isCheckpointDue = false
    this.#checkpointing = this.#attempt('a checkpoint', () => checkpointer.run()).then(() => {
      this.#checkpointing = undefined
      this.#wake()
      this.kick()
    })
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    const { clock, health, log } = this.#parts
    try {
      await work()
    } catch (error) {
      if (health.failure !== undefined) return
      if (!isDiskFull(error) && !isFault(error, 'NO_SPACE')) {
        health.fail(error, what)
        return
      }
      log.warn({ what, error: messageOf(error) }, 'the disk is full; trying again')
      this.#retryTimer ??= clock.after(STORAGE_RETRY_MS, () => {
        this.#retryTimer = undefined
        this.kick()
      })
    }
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }
}
