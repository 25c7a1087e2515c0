/**
 * The pace of background copying: a token bucket, refilled at the rate that the controller of
 * protocols/moves/pace.ts sets. One per node, for all of its copies together.
 *
 * Invariants: what has been let through never exceeds the rate's integral by more than one take;
 * waiters go in order; while nobody copies no timer runs.
 */
import { PACE_QUIET_TICKS, PACE_TICK_MS } from '../../protocols/moves/limits.ts'
import { type PaceState, startPace, stepPace } from '../../protocols/moves/pace.ts'
import type { Pace } from '../handoff/types.ts'
import type { Clock, Timer } from '../ports.ts'

/** What the shard server has done for clients since it started; only grows. */
export interface ClientLoad {
  readonly requests: number
  readonly latencyMsSum: number
}

export interface PacerOptions {
  readonly clock: Clock
  readonly clientLoad: () => ClientLoad
  /** Bytes per second; undefined: no bound but what clients leave. */
  readonly bound?: number | undefined
}

/** The bucket holds what this much time lets through. */
const BURST_MS = PACE_TICK_MS
/** Nobody asked for so many ticks: the next copy begins anew. */
const IDLE_TICKS = PACE_QUIET_TICKS * 5

interface Waiter {
  readonly bytes: number
  readonly go: () => void
}

export class Pacer implements Pace {
  readonly #clock: Clock
  readonly #clientLoad: () => ClientLoad
  #bound: number
  #state: PaceState
  #timer: Timer | undefined
  #tickedMs = 0
  #load: ClientLoad = { requests: 0, latencyMsSum: 0 }
  #sentBytes = 0
  #idleTicks = 0
  /** May be negative: a take goes as soon as anything is there. */
  #tokens = 0
  #refilledMs = 0
  readonly #waiting: Waiter[] = []

  constructor(options: PacerOptions) {
    this.#clock = options.clock
    this.#clientLoad = options.clientLoad
    this.#bound = options.bound ?? Number.POSITIVE_INFINITY
    this.#state = startPace(this.#bound)
  }

  get isShared(): boolean {
    return this.#timer !== undefined && this.#state.silentTicks !== undefined
  }

  take(bytes: number): Promise<void> {
    if (this.#timer === undefined) this.#begin()
    this.#idleTicks = 0
    return new Promise(go => {
      this.#waiting.push({ bytes, go })
      this.#serve()
    })
  }

  /** Undefined: no bound. Takes effect at once. */
  setBound(bytesPerSecond: number | undefined): void {
    this.#refill()
    this.#bound = bytesPerSecond ?? Number.POSITIVE_INFINITY
    const { rate, target } = this.#state
    this.#state = {
      ...this.#state,
      rate: Math.min(rate, this.#bound),
      target: Math.min(target, this.#bound)
    }
  }

  get bound(): number | undefined {
    return Number.isFinite(this.#bound) ? this.#bound : undefined
  }

  /** Bytes per second that copying may use now; undefined: as much as there is. */
  get rate(): number | undefined {
    return Number.isFinite(this.#state.target) ? this.#state.target : undefined
  }

  close(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    for (const { go } of this.#waiting.splice(0)) go()
  }

  #begin(): void {
    const nowMs = this.#clock.monotonicMs()
    this.#state = startPace(this.#bound)
    this.#load = this.#clientLoad()
    this.#sentBytes = 0
    this.#tokens = 0
    this.#refilledMs = nowMs
    this.#tickedMs = nowMs
    this.#timer = this.#clock.after(PACE_TICK_MS, () => this.#tick())
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs()
    this.#refill()
    const load = this.#clientLoad()
    this.#state = stepPace(this.#state, {
      requests: Math.max(0, load.requests - this.#load.requests),
      latencyMsSum: Math.max(0, load.latencyMsSum - this.#load.latencyMsSum),
      lagMs: Math.max(0, nowMs - this.#tickedMs - PACE_TICK_MS),
      sentBytes: this.#sentBytes,
      bound: this.#bound
    })
    this.#load = load
    this.#sentBytes = 0
    this.#tickedMs = nowMs
    this.#idleTicks += this.#waiting.length > 0 ? 0 : 1
    const isIdle = this.#idleTicks > IDLE_TICKS
    this.#timer = isIdle ? undefined : this.#clock.after(PACE_TICK_MS, () => this.#tick())
    this.#serve()
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs()
    const elapsedMs = nowMs - this.#refilledMs
    this.#refilledMs = nowMs
    const { rate } = this.#state
    if (!Number.isFinite(rate)) {
      this.#tokens = Number.POSITIVE_INFINITY
      return
    }
    // Coming from no bound, nothing is owed and nothing is left over.
    const before = Number.isFinite(this.#tokens) ? this.#tokens : 0
    const fullBytes = (rate * BURST_MS) / 1000
    this.#tokens = Math.min(Math.max(fullBytes, 0), before + (rate * elapsedMs) / 1000)
  }

  #serve(): void {
    this.#refill()
    while (this.#tokens > 0) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#tokens -= next.bytes
      this.#sentBytes += next.bytes
      next.go()
    }
    this.#wakeLater()
  }

  #wake: Timer | undefined

  /** Between two ticks the bucket may fill enough for the next in line. */
  #wakeLater(): void {
    const { rate } = this.#state
    if (this.#waiting.length === 0 || this.#wake !== undefined || rate <= 0) return
    const waitMs = Math.max(1, Math.ceil((-this.#tokens / rate) * 1000) + 1)
    if (waitMs >= PACE_TICK_MS) return
    this.#wake = this.#clock.after(waitMs, () => {
      this.#wake = undefined
      this.#serve()
    })
  }
}
