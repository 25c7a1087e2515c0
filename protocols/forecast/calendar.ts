/**
 * Time of day and day of week as the people of a volume read them: its time zone with daylight
 * saving, by Intl. Pure: the same instant gives the same answer; offsets are remembered by the
 * half-hour, within a bound.
 */
import { assert } from '../assert.ts'
import { MAX_CACHED_OFFSETS } from './limits.ts'

const MINUTE_MS = 60_000
const DAY_MINUTES = 1440
const SLOT_MS = 30 * MINUTE_MS
/** 1970-01-01 was a Thursday, and weeks begin on Monday. */
const EPOCH_WEEKDAY = 3

export interface LocalTime {
  readonly minuteOfDay: number
  /** 0 is Monday. */
  readonly dayOfWeek: number
}

export class Calendar {
  readonly zone: string
  readonly #format: Intl.DateTimeFormat
  readonly #offsets = new Map<number, number>()

  /** Throws RangeError for a zone that Intl does not know. */
  constructor(zone: string) {
    this.zone = zone
    this.#format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric'
    })
  }

  /** Minutes that local time is ahead of UTC. */
  offsetMinutes(timeMs: number): number {
    const slot = Math.floor(timeMs / SLOT_MS)
    const known = this.#offsets.get(slot)
    if (known !== undefined) return known
    if (this.#offsets.size >= MAX_CACHED_OFFSETS) this.#offsets.clear()
    const offset = this.#measure(slot * SLOT_MS)
    this.#offsets.set(slot, offset)
    return offset
  }

  localTime(timeMs: number): LocalTime {
    const minutes = Math.floor(timeMs / MINUTE_MS) + this.offsetMinutes(timeMs)
    const days = Math.floor(minutes / DAY_MINUTES)
    return {
      minuteOfDay: minutes - days * DAY_MINUTES,
      dayOfWeek: (((days + EPOCH_WEEKDAY) % 7) + 7) % 7
    }
  }

  #measure(timeMs: number): number {
    const parts = new Map(
      this.#format.formatToParts(timeMs).map(({ type, value }) => [type, Number(value)])
    )
    const part = (name: Intl.DateTimeFormatPartTypes): number => {
      const value = parts.get(name)
      assert(value !== undefined && !Number.isNaN(value), 'Intl names every part of a time')
      return value
    }
    const local = Date.UTC(
      part('year'),
      part('month') - 1,
      part('day'),
      part('hour'),
      part('minute')
    )
    return Math.round((local - timeMs) / MINUTE_MS)
  }
}

/** Of a zone that another member named; UTC if none was, or this version of Intl knows it not. */
export function calendarOf(zone: string | undefined): Calendar {
  try {
    return new Calendar(zone ?? 'UTC')
  } catch {
    return new Calendar('UTC')
  }
}
