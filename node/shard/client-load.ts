/**
 * What the clients of this node asked of its store, and how long they waited: from the arrival of a
 * request to its answer. Sums only grow; whoever wants rates looks twice. Requests that never
 * reached the store (refusals, keep-alives) do not count: they say nothing about it.
 *
 * Invariant: the clock is read once per arrival of a batch and once per tick with answers, not with
 * every request (a reading costs as much as the rest of what a request needs here, and more).
 */
import { CLIENT_LOAD_WINDOW_MS } from '../limits.ts'
import type { Clock } from '../ports.ts'

export interface ClientLoad {
  readonly requests: number
  readonly latencyMsSum: number
  /** The longest that was answered in the present window of 100 ms or the one before. */
  readonly latencyMsMax: number
  /** Read and written. */
  readonly bytes: number
}

export class ClientLoadMeter {
  readonly #clock: Clock
  #nowMs = 0
  /** `#nowMs` was read in the present tick. */
  #isFresh = false
  #isWaiting = false
  #requests = 0
  #latencyMsSum = 0
  #bytes = 0
  #window = 0
  #presentMaxMs = 0
  #beforeMaxMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The time of a batch of requests that arrives now. */
  arrival(): number {
    this.#isFresh = false
    return this.#now()
  }

  /** A request that arrived then is answered now: at the time that is returned. */
  answered(arrivedAtMs: number, bytes: number): number {
    const nowMs = this.#now()
    const latencyMs = nowMs - arrivedAtMs
    this.#requests += 1
    this.#latencyMsSum += latencyMs
    this.#bytes += bytes
    this.#turn(nowMs)
    if (latencyMs > this.#presentMaxMs) this.#presentMaxMs = latencyMs
    return nowMs
  }

  load(): ClientLoad {
    this.#turn(this.#clock.monotonicMs())
    return {
      requests: this.#requests,
      latencyMsSum: this.#latencyMsSum,
      latencyMsMax: Math.max(this.#presentMaxMs, this.#beforeMaxMs),
      bytes: this.#bytes
    }
  }

  #now(): number {
    if (this.#isFresh) return this.#nowMs
    this.#isFresh = true
    this.#nowMs = this.#clock.monotonicMs()
    if (!this.#isWaiting) {
      this.#isWaiting = true
      this.#clock.soon(() => {
        this.#isWaiting = false
        this.#isFresh = false
      })
    }
    return this.#nowMs
  }

  #turn(nowMs: number): void {
    const window = Math.floor(nowMs / CLIENT_LOAD_WINDOW_MS)
    if (window === this.#window) return
    this.#beforeMaxMs = window === this.#window + 1 ? this.#presentMaxMs : 0
    this.#presentMaxMs = 0
    this.#window = window
  }
}
