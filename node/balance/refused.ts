/**
 * Volumes of which nobody took something lately, and that are left alone for a while: ever longer, the
 * more often nobody did. What was too much at once for whoever answered is tried by halves.
 *
 * Invariants: bounded; one that was taken from is forgotten, and after HALVED_MS so is how many chunks
 * were too many.
 */
import type { VolumeId } from '../../protocols/ids.ts'
import { backOffMs } from '../../protocols/negotiate/offer.ts'
import { MAX_LOOKED_SHARDS } from '../limits.ts'
import type { Clock, Random } from '../ports.ts'

/** Of load time, after the pause. */
const HALVED_MS = 3_600_000

interface Failure {
  readonly times: number
  /** Load, monotonic. */
  readonly untilMs: number
  readonly mostChunks: number | undefined
}

export class Refused {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #random: Pick<Random, 'fraction'>
  readonly #failures = new Map<VolumeId, Failure>()

  /** `clock`: that of load. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, random: Pick<Random, 'fraction'>) {
    this.#clock = clock
    this.#random = random
  }

  get volumes(): Set<VolumeId> {
    const nowMs = this.#clock.monotonicMs()
    const held = [...this.#failures].filter(([, { untilMs }]) => untilMs > nowMs)
    return new Set(held.map(([volume]) => volume))
  }

  /** Of those of which more was too much lately. */
  get mostChunks(): Map<VolumeId, number> {
    const sinceMs = this.#clock.monotonicMs() - HALVED_MS
    return new Map(
      [...this.#failures].flatMap(([volume, { untilMs, mostChunks }]) =>
        mostChunks === undefined || untilMs < sinceMs ? [] : [[volume, mostChunks]]
      )
    )
  }

  /** Until the first of them may be offered again; undefined: there is none. */
  get leftMs(): number | undefined {
    const nowMs = this.#clock.monotonicMs()
    const left = [...this.#failures.values()].map(({ untilMs }) => untilMs - nowMs)
    const open = left.filter(ms => ms > 0)
    return open.length === 0 ? undefined : Math.min(...open)
  }

  /** `tooMany`: chunks that were too many for whoever answered. */
  add(volume: VolumeId, isUrgent: boolean, tooMany?: number): void {
    const mostChunks =
      tooMany === undefined ? this.mostChunks.get(volume) : Math.max(1, Math.floor(tooMany / 2))
    const times = (this.#failures.get(volume)?.times ?? 0) + 1
    const pauseMs = backOffMs(times, this.#random.fraction(), isUrgent)
    this.#failures.delete(volume)
    this.#failures.set(volume, { times, untilMs: this.#clock.monotonicMs() + pauseMs, mostChunks })
    // The oldest is over, or there are more than anybody offers.
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > MAX_LOOKED_SHARDS && oldest !== undefined) {
      this.#failures.delete(oldest)
    }
  }

  taken(volume: VolumeId): void {
    this.#failures.delete(volume)
  }
}
