/**
 * Forecasts further ahead than the standing hour, which the keeper makes when it is asked: asked for
 * rarely, and used as long as they tell of what is to come.
 *
 * Invariants: of one subject at most one question in LONG_OUTLOOK_MS of load time, and at most a few
 * at a time; nobody waits for an answer: what is not there yet is not used.
 */
import type { LoadPath } from '../../protocols/balance/types.ts'
import { messageOf } from '../../protocols/fault.ts'
import {
  LONG_OUTLOOK_LEAST_MS,
  LONG_OUTLOOK_MS,
  MAX_LONG_OUTLOOKS,
  MAX_LONG_OUTLOOKS_ASKED,
  STANDING_MINUTES
} from '../limits.ts'
import type { Load } from '../load/load.ts'
import type { Clock, Log } from '../ports.ts'
import { rateOf } from '../scaled-clock.ts'

interface Kept {
  readonly askedMs: number
  readonly minutes: number
  path: LoadPath | undefined
  /** Of the last standing forecast. */
  stepMs: number | undefined
}

export class LongOutlooks {
  readonly #load: Pick<Load, 'ask'>
  readonly #clock: Clock
  readonly #log: Log
  readonly #kept = new Map<string, Kept>()
  /** Whatever the clock: the keeper works in time. */
  readonly #everyMs: number
  #asked = 0

  constructor(load: Pick<Load, 'ask'>, clock: Clock, log: Log) {
    this.#load = load
    this.#clock = clock
    this.#log = log
    this.#everyMs = Math.max(LONG_OUTLOOK_MS, LONG_OUTLOOK_LEAST_MS * rateOf(clock))
  }

  /** The newest path of the subject that reaches so far, if there is one; asks for it if need be. */
  path(key: string, minutes: number): LoadPath | undefined {
    if (minutes <= STANDING_MINUTES) return undefined
    const nowMs = this.#clock.monotonicMs()
    const kept = this.#kept.get(key)
    const isDue = kept === undefined || nowMs - kept.askedMs >= this.#everyMs
    if (isDue || kept.minutes < minutes) this.#ask(key, minutes, kept?.path, nowMs)
    return this.#kept.get(key)?.path
  }

  /**
   * The standing forecast of the subject is of the step that ends at `atMs`. The same step twice: its
   * history has changed, so that the next question is a new one.
   */
  foretold(key: string, atMs: number): void {
    const kept = this.#kept.get(key)
    if (kept === undefined) return
    if (kept.stepMs === atMs) this.#kept.delete(key)
    else kept.stepMs = atMs
  }

  #ask(key: string, minutes: number, before: LoadPath | undefined, nowMs: number): void {
    if (this.#asked >= MAX_LONG_OUTLOOKS_ASKED) return
    const kept: Kept = { askedMs: nowMs, minutes, path: before, stepMs: undefined }
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_LONG_OUTLOOKS) break
      this.#kept.delete(oldest)
    }
    this.#asked += 1
    this.#load
      .ask({ ask: 'forecast', subject: { key }, horizonMinutes: minutes })
      .then(outlook => {
        if (outlook === undefined) return
        const { at, stepMs, path, q90 } = outlook
        kept.path = { atMs: at, stepMs, expected: path, high: q90 }
      })
      .catch((error: unknown) => {
        this.#log.debug({ key, error: messageOf(error) }, 'no forecast beyond the hour for now')
      })
      .finally(() => {
        this.#asked -= 1
      })
  }
}
