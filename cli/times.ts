/** Instants as people read them, in the zone of what they are about. */
import { Calendar } from '../protocols/forecast/calendar.ts'

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

/** A zone that this machine does not know is shown as UTC, and said to be. */
export function clockOf(zone: string): Calendar {
  try {
    return new Calendar(zone)
  } catch {
    return new Calendar('UTC')
  }
}

/** `14:30`, with the date if that is another day than `nowMs`; times of the clock's zone. */
export function timeText(timeMs: number, nowMs: number, clock: Calendar): string {
  const local = (ms: number): number => ms + clock.offsetMinutes(ms) * MINUTE_MS
  const [date = '', time = ''] = new Date(local(timeMs)).toISOString().split('T')
  const isToday = Math.floor(local(timeMs) / DAY_MS) === Math.floor(local(nowMs) / DAY_MS)
  return isToday ? time.slice(0, 5) : `${date} ${time.slice(0, 5)}`
}
