/**
 * A clock by which others are judged silent: it leaves out the time in which this process itself
 * stood still (stopped, suspended, a long pause of the event loop). Answers may have been waiting
 * in our own sockets all the while, so nobody is to be given up for it.
 */
import { GATEWAY_STALL_MS } from '../limits.ts'
import type { Clock, Timer } from '../ports.ts'

export class PatientClock implements Clock {
  readonly #clock: Clock
  readonly #periodMs: number
  #sweptAt: number
  #stalledMs = 0

  /** `swept` will be called about every `periodMs`. */
  constructor(clock: Clock, periodMs: number) {
    this.#clock = clock
    this.#periodMs = periodMs
    this.#sweptAt = clock.monotonicMs()
  }

  now(): number {
    return this.#clock.now()
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs() - this.#stalledMs
  }

  after(delayMs: number, task: () => void): Timer {
    return this.#clock.after(delayMs, task)
  }

  soon(task: () => void): void {
    this.#clock.soon(task)
  }

  swept(): void {
    const nowMs = this.#clock.monotonicMs()
    const lateMs = nowMs - this.#sweptAt - this.#periodMs
    this.#sweptAt = nowMs
    if (lateMs > GATEWAY_STALL_MS) this.#stalledMs += lateMs
  }
}
