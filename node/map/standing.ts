/**
 * Whether this node's documents may be merged with the mesh's, or are too old for that.
 *
 *   blank --agreed with a peer--> that peer's standing      blank --an hour alone--> current
 *   current --restart after longer than tombstones live--> away --discard--> blank
 *
 * Only a node that is current may make others discard. In a mesh that was switched off as a whole
 * all are away: then none discards anything, and they merge as ever.
 */
import { wasAwayTooLong } from '../../crdt/generation.ts'
import type { Standing } from '../../protocols/map-sync/messages.ts'
import { MAP_AGREED_INTERVAL_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'

export interface StandingOptions {
  readonly clock: Clock
  readonly retentionMs: number
  /** Notes durably that we agreed with the mesh at this wall time. */
  readonly note: (atMs: number) => void
}

export class StandingKeeper {
  readonly #options: StandingOptions
  readonly #startedMs: number
  #standing: Standing = 'blank'
  #agreedAt: number | undefined
  #notedMs: number | undefined

  constructor(options: StandingOptions) {
    this.#options = options
    this.#startedMs = options.clock.monotonicMs()
  }

  get standing(): Standing {
    return this.#standing
  }

  /** Wall clock of the last agreement with the mesh, for the log. */
  get agreedAt(): number | undefined {
    return this.#agreedAt
  }

  /** The last agreement that the log knows. */
  restore(agreedAt: number): void {
    const { clock, retentionMs } = this.#options
    this.#agreedAt = agreedAt
    this.#standing = wasAwayTooLong(agreedAt, clock.now(), retentionMs) ? 'away' : 'current'
  }

  /** Our documents were given up. */
  discarded(): void {
    this.#standing = 'blank'
  }

  /** We agree on everything with a peer of that standing. */
  agreed(theirs: Standing): void {
    if (this.#standing === 'blank') this.#standing = theirs
    if (this.#standing === 'current' && theirs === 'current') this.#note()
  }

  /** At every interval; `alone` if the mesh has no other member. */
  tick(alone: boolean): void {
    const upMs = this.#options.clock.monotonicMs() - this.#startedMs
    if (this.#standing === 'blank' && upMs > MAP_AGREED_INTERVAL_MS) this.#standing = 'current'
    if (this.#standing === 'current' && (alone || this.#agreedAt === undefined)) this.#note()
  }

  #note(): void {
    const { clock, note } = this.#options
    const nowMs = clock.monotonicMs()
    if (this.#notedMs !== undefined && nowMs - this.#notedMs < MAP_AGREED_INTERVAL_MS) return
    this.#notedMs = nowMs
    this.#agreedAt = clock.now()
    note(this.#agreedAt)
  }
}
