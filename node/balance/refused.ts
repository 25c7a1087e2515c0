/**
 * Volumes of which nobody took something lately, and that are left alone for a while: ever longer, the
 * more often nobody did.
 *
 * Invariant: bounded; one that was taken from is forgotten.
 */
import type { VolumeId } from '../../protocols/ids.ts'
import { backOffMs } from '../../protocols/negotiate/offer.ts'
import { MAX_LOOKED_SHARDS } from '../limits.ts'
import type { Clock, Random } from '../ports.ts'

export class Refused {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #random: Pick<Random, 'fraction'>
  /** How often nobody took it, and until when it is left alone (load, monotonic). */
  readonly #failures = new Map<VolumeId, { readonly times: number; readonly untilMs: number }>()

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

  /** Until the first of them may be offered again; undefined: there is none. */
  get leftMs(): number | undefined {
    const nowMs = this.#clock.monotonicMs()
    const left = [...this.#failures.values()].map(({ untilMs }) => untilMs - nowMs)
    const open = left.filter(ms => ms > 0)
    return open.length === 0 ? undefined : Math.min(...open)
  }

  add(volume: VolumeId, isUrgent: boolean): void {
    const times = (this.#failures.get(volume)?.times ?? 0) + 1
    const pauseMs = backOffMs(times, this.#random.fraction(), isUrgent)
    this.#failures.delete(volume)
    this.#failures.set(volume, { times, untilMs: this.#clock.monotonicMs() + pauseMs })
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
