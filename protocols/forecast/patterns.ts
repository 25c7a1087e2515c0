/**
 * Application patterns that people declare: "mon-fri 02:00" for 40 minutes, +3,000 IOPS.
 *
 *   when = days SP hh:mm      days = "daily" | day | day-day | day,day,...
 *
 * Invariants: a pattern begins at its local time, whatever daylight saving does; it may run past
 * midnight; what is declared adds to the load, and is never negative.
 */
import type { Calendar } from './calendar.ts'
import { MAX_PATTERNS } from './limits.ts'

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
const DAY_MINUTES = 1440
const MINUTE_MS = 60_000

export interface Pattern {
  /** Bit d is weekday d; 0 is Monday. */
  readonly days: number
  readonly startMinute: number
  readonly lengthMinutes: number
  /** Load on top of the ordinary, in the unit of the series. */
  readonly extra: number
}

/** Reads the words of a pattern; an error in words if they are none. */
export function parsePattern(
  when: string,
  lengthMinutes: number,
  extra: number
): Pattern | { readonly problem: string } {
  const found = /^(\S+)\s+(\d{1,2}):(\d{2})$/.exec(when.trim().toLowerCase())
  if (found === null) return { problem: `"${when}" is not like "mon-fri 02:00"` }
  const [, words = '', hour = '', minute = ''] = found
  const days = parseDays(words)
  if (days === undefined) return { problem: `"${words}" names no days (mon-fri, sat,sun, daily)` }
  if (Number(hour) > 23 || Number(minute) > 59) return { problem: `${hour}:${minute} is no time` }
  if (!(lengthMinutes > 0 && lengthMinutes <= DAY_MINUTES)) {
    return { problem: 'a pattern lasts from a minute to a day' }
  }
  if (!(extra >= 0 && Number.isFinite(extra))) return { problem: 'a pattern adds load' }
  return { days, startMinute: Number(hour) * 60 + Number(minute), lengthMinutes, extra }
}

/** What the patterns add at an instant. */
export function patternLoad(
  patterns: readonly Pattern[],
  calendar: Calendar,
  timeMs: number
): number {
  if (patterns.length === 0) return 0
  let sum = 0
  for (const pattern of patterns.slice(0, MAX_PATTERNS)) {
    if (isActive(pattern, calendar, timeMs)) sum += pattern.extra
  }
  return sum
}

/** The most that the patterns add within the next minutes, looked at every five. */
export function patternPeak(
  patterns: readonly Pattern[],
  calendar: Calendar,
  timeMs: number,
  withinMinutes: number
): number {
  if (patterns.length === 0) return 0
  let peak = 0
  for (let minute = 5; minute <= withinMinutes; minute += 5) {
    peak = Math.max(peak, patternLoad(patterns, calendar, timeMs + minute * MINUTE_MS))
  }
  return peak
}

function isActive(pattern: Pattern, calendar: Calendar, timeMs: number): boolean {
  const { minuteOfDay, dayOfWeek } = calendar.localTime(timeMs)
  const today = minuteOfDay - pattern.startMinute
  if (hasDay(pattern, dayOfWeek) && today >= 0 && today < pattern.lengthMinutes) return true
  return hasDay(pattern, (dayOfWeek + 6) % 7) && today + DAY_MINUTES < pattern.lengthMinutes
}

function hasDay(pattern: Pattern, dayOfWeek: number): boolean {
  return ((pattern.days >> dayOfWeek) & 1) === 1
}

function parseDays(words: string): number | undefined {
  if (words === 'daily') return 0b1111111
  let days = 0
  for (const word of words.split(',')) {
    const [first = '', last = first, ...rest] = word.split('-')
    const from = DAYS.indexOf(first)
    const to = DAYS.indexOf(last)
    if (from === -1 || to === -1 || rest.length > 0) return undefined
    for (let day = from; ; day = (day + 1) % 7) {
      days |= 1 << day
      if (day === to) break
    }
  }
  return days
}
