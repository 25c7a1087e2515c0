/**
 * What the clients of this node asked of its store, and how long they waited: from the arrival of a
 * request to its answer. Sums only grow; whoever wants rates looks twice. Requests that never
 * reached the store (refusals, keep-alives) do not count: they say nothing about it.
 */
import { CLIENT_LOAD_WINDOW_MS } from '../limits.ts'

export interface ClientLoad {
  readonly requests: number
  readonly latencyMsSum: number
  /** The longest that was answered in the present window of 100 ms or the one before. */
  readonly latencyMsMax: number
  /** Read and written. */
  readonly bytes: number
}

export class ClientLoadMeter {
  #requests = 0
  #latencyMsSum = 0
  #bytes = 0
  #window = 0
  #presentMaxMs = 0
  #beforeMaxMs = 0

  note(arrivedAtMs: number, nowMs: number, bytes: number): void {
    const latencyMs = nowMs - arrivedAtMs
    this.#requests += 1
    this.#latencyMsSum += latencyMs
    this.#bytes += bytes
    this.#turn(nowMs)
    if (latencyMs > this.#presentMaxMs) this.#presentMaxMs = latencyMs
  }

  load(nowMs: number): ClientLoad {
    this.#turn(nowMs)
    return {
      requests: this.#requests,
      latencyMsSum: this.#latencyMsSum,
      latencyMsMax: Math.max(this.#presentMaxMs, this.#beforeMaxMs),
      bytes: this.#bytes
    }
  }

  #turn(nowMs: number): void {
    const window = Math.floor(nowMs / CLIENT_LOAD_WINDOW_MS)
    if (window === this.#window) return
    this.#beforeMaxMs = window === this.#window + 1 ? this.#presentMaxMs : 0
    this.#presentMaxMs = 0
    this.#window = window
  }
}
