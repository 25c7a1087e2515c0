/** How fast moves of this node have copied lately, for an estimate of the next. */
import type { Move } from '../../protocols/moves/messages.ts'
import { COPY_BYTES_PER_SECOND, MEASURED_COPY_BYTES } from '../limits.ts'
import type { Clock } from '../ports.ts'
import { rateOf } from '../scaled-clock.ts'

export class CopySpeed {
  readonly #rate: number
  #bytesPerSecond = COPY_BYTES_PER_SECOND

  /** `clock`: that of load. */
  constructor(clock: Clock) {
    this.#rate = rateOf(clock)
  }

  note({ state, bytes, bytesPerSecond }: Move): void {
    if (state !== 'done' || bytes.done < MEASURED_COPY_BYTES || bytesPerSecond <= 0) return
    this.#bytesPerSecond += (bytesPerSecond - this.#bytesPerSecond) / 2
  }

  /** Bytes per second of load time; `bound`: what copying may use, per second of time. */
  perSecond(bound: number | null): number {
    return Math.min(this.#bytesPerSecond, bound ?? Number.POSITIVE_INFINITY) / this.#rate
  }
}
