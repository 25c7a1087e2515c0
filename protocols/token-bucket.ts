/**
 * A bound on a rate: tokens come in evenly, up to a burst, and each thing that happens takes its
 * cost. A cost above the burst waits for a full bucket and leaves a debt, so that the rate holds
 * over time whatever the costs are.
 *
 * Invariants: over any time t at most burst + rate x t is taken, but for one cost that alone is more
 * than the burst; no clock is read here.
 */
import { assert } from './assert.ts'

/** What adding up fractions may lose. */
const ROUNDING = 1e-6

export class TokenBucket {
  readonly #burstMs: number
  #perSecond: number
  #tokens: number
  #atMs: number

  /** Full. `burstMs`: the burst, as the time in which it comes in; one token at least. */
  constructor(perSecond: number, burstMs: number, nowMs: number) {
    this.#burstMs = burstMs
    this.#perSecond = perSecond
    this.#atMs = nowMs
    this.#tokens = this.#burst
  }

  get perSecond(): number {
    return this.#perSecond
  }

  /** From now on; a debt stays. */
  setRate(perSecond: number, nowMs: number): void {
    assert(perSecond > 0, 'a rate is more than nothing')
    this.#fill(nowMs)
    this.#perSecond = perSecond
    this.#tokens = Math.min(this.#tokens, this.#burst)
  }

  /** Whether the cost was taken. */
  take(cost: number, nowMs: number): boolean {
    this.#fill(nowMs)
    if (this.#missing(cost) > 0) return false
    this.#tokens -= cost
    return true
  }

  /** Until `take` of this cost succeeds, if nothing else is taken; at least 1 ms if it would not now. */
  waitMs(cost: number, nowMs: number): number {
    this.#fill(nowMs)
    const missing = this.#missing(cost)
    return missing <= 0 ? 0 : Math.max(1, Math.ceil((missing / this.#perSecond) * 1000))
  }

  #missing(cost: number): number {
    return Math.min(cost, this.#burst) - this.#tokens - ROUNDING
  }

  get #burst(): number {
    return Math.max(1, (this.#perSecond * this.#burstMs) / 1000)
  }

  #fill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs)
    this.#atMs = nowMs
    this.#tokens = Math.min(this.#burst, this.#tokens + (passedMs * this.#perSecond) / 1000)
  }
}
