/**
 * Instants as ISO 8601 text. Only what names one instant: date and time of day, to the minute at
 * least; without an offset it is UTC. Pure, and total: anything else is undefined.
 */
const ISO_TIME =
  /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:?\d{2})?$/i
const MINUTE_MS = 60_000
const MAX_OFFSET_MINUTES = 14 * 60

/** Milliseconds since 1970, whole ones; undefined for no such instant, or one before 1970. */
export function parseIsoTime(text: string): number | undefined {
  const match = ISO_TIME.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(part => Number(part ?? 0))
  const fields = [year ?? 0, (month ?? 0) - 1, day ?? 0, hour ?? 0, minute ?? 0, second ?? 0]
  const [y = 0, ...rest] = fields
  const local = Date.UTC(y, rest[0] ?? 0, rest[1], rest[2], rest[3], rest[4])
  if (!isSame(new Date(local), fields)) return undefined
  const offset = offsetMinutes(match[8] ?? 'Z')
  if (offset === undefined) return undefined
  const fraction = Math.floor(Number(`0.${match[7] ?? 0}`) * 1000)
  const time = local + fraction - offset * MINUTE_MS
  return time >= 0 ? time : undefined
}

/** UTC, without a fraction of 0: `2026-01-02T03:04:05Z`. */
export function formatIsoTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('.000Z', 'Z')
}

/** False if a field was out of its range and ran over into the next: 30 February, 25:00. */
function isSame(date: Date, fields: readonly number[]): boolean {
  const read = [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds()
  ]
  return read.every((value, index) => value === fields[index])
}

function offsetMinutes(zone: string): number | undefined {
  if (zone === 'Z' || zone === 'z') return 0
  const digits = zone.slice(1).replace(':', '')
  const minutes = Number(digits.slice(2))
  const total = Number(digits.slice(0, 2)) * 60 + minutes
  if (minutes > 59 || total > MAX_OFFSET_MINUTES) return undefined
  return zone.startsWith('-') ? -total : total
}
