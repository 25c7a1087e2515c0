/**
 * What a link knows of its shard's memory: which start of the store has every change of the replay
 * buffer, and the replay that brings a new one there.
 *
 *   restored in start 4 --start 5 is met, buffer not empty--> replay --all answered--> restored in 5
 *
 * Invariants: a start is restored only by a whole replay, or with nothing to replay; parts of a
 * replay belong to one connection and are dropped with it.
 */
import { type Incarnation, sameIncarnation } from '../../protocols/ids.ts'
import type { Change } from './change.ts'
import { Queue } from './queue.ts'
import { Replay } from './replay.ts'
import type { ReplayBuffer } from './replay-buffer.ts'
import type { LinkRequest } from './request.ts'

export interface RestorationDriver {
  /** Something is in `unsent`. */
  pump: () => void
  done: () => void
  refused: (error: Error) => void
}

export class Restoration {
  /** Parts of the replay that were not sent yet. */
  readonly unsent = new Queue<LinkRequest>()
  /** Why the shard cannot take back what it forgot, in words. */
  trouble: string | undefined
  readonly #buffer: ReplayBuffer<Change>
  #restored: Incarnation | undefined
  #replay: Replay | undefined

  constructor(buffer: ReplayBuffer<Change>) {
    this.#buffer = buffer
  }

  /** The start that has every change of the buffer. */
  get restored(): Incarnation | undefined {
    return this.#restored
  }

  isNeeded(incarnation: Incarnation): boolean {
    if (this.#buffer.length === 0) return false
    return this.#restored === undefined || !sameIncarnation(this.#restored, incarnation)
  }

  begin(startedAt: number, driver: RestorationDriver): void {
    this.#replay = new Replay(this.#buffer.entries(), startedAt, {
      send: request => {
        this.unsent.push(request)
        driver.pump()
      },
      done: driver.done,
      refused: driver.refused
    })
    this.#replay.start()
  }

  /** The replay to which a request that is paused now belongs; see `isPresent`. */
  get present(): unknown {
    return this.#replay
  }

  isPresent(replay: unknown): boolean {
    return this.#replay === replay
  }

  done(incarnation: Incarnation): void {
    this.#restored = incarnation
    this.trouble = undefined
    this.#replay = undefined
  }

  /** The buffer has more than any start of this shard was sent. */
  forget(): void {
    this.#restored = undefined
  }

  /** The connection is gone. */
  cancel(): void {
    this.#replay?.cancel()
    this.#replay = undefined
    this.unsent.extract(() => true)
  }
}
