/** Which slots the rings still have, seen from the newest minute. */
import { HOUR_SLOTS, MINUTE_SLOTS } from '../../protocols/load/limits.ts'

/** The first minute of the oldest hour whose minutes are all there: at least 14 days back. */
export function minuteFloor(newestMinute: number): number {
  return Math.max(Math.ceil((newestMinute - MINUTE_SLOTS + 1) / 60) * 60, 1)
}

export function hourFloor(newestMinute: number): number {
  return Math.max(Math.floor(newestMinute / 60) - HOUR_SLOTS + 1, 1)
}
