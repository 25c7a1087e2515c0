/**
 * What the calendar and the declared patterns of a subject say of a moment, at its steps.
 *
 * Invariant: nothing but the time decides.
 */
import type { Calendar } from './calendar.ts'
import type { Moment } from './overload-state.ts'
import { type Pattern, patternLoad, patternPeak } from './patterns.ts'

const MINUTE_MS = 60_000
const WITHIN_MINUTES = 60

export class Declared {
  readonly #calendar: Calendar
  readonly #patterns: readonly Pattern[]
  readonly #stepMs: number

  constructor(calendar: Calendar, patterns: readonly Pattern[], stepMs: number) {
    this.#calendar = calendar
    this.#patterns = patterns
    this.#stepMs = stepMs
  }

  /** What is declared for the step that lies so many after a time. */
  load(timeMs: number, steps = 0): number {
    return patternLoad(this.#patterns, this.#calendar, timeMs + steps * this.#stepMs)
  }

  /** `now`: the declared load at this time. */
  moment(timeMs: number, now: number): Moment {
    const { minuteOfDay, dayOfWeek } = this.#calendar.localTime(timeMs)
    return {
      stepOfDay: Math.floor((minuteOfDay * MINUTE_MS) / this.#stepMs),
      dayOfWeek,
      offset: (this.#calendar.offsetMinutes(timeMs) * MINUTE_MS) / this.#stepMs,
      patternNow: now,
      patternNext: patternPeak(this.#patterns, this.#calendar, timeMs, WITHIN_MINUTES)
    }
  }
}
