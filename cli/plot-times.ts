/** Ticks of a time axis at round local times: `12:00`, and the day at midnight: `Mon 05`. Pure. */

export interface Tick {
  readonly timeMs: number
  readonly label: string
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS
const STEPS_MS = [
  ...[5, 10, 15, 30].map(minutes => minutes * MINUTE_MS),
  ...[1, 2, 3, 6, 12].map(hours => hours * HOUR_MS),
  ...[1, 2, 4, 8, 32].map(days => days * DAY_MS)
]
const WEEKDAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MAX_TICKS = 64
/** Of the longest label, and what keeps it from the next. */
const COLUMNS_PER_TICK = 8

/** Of a range that takes so many columns, `toMs` not included. */
export function timeTicks(
  fromMs: number,
  toMs: number,
  options: { readonly columns: number; readonly offsetMinutes: (timeMs: number) => number }
): Tick[] {
  const most = Math.floor(options.columns / COLUMNS_PER_TICK)
  const step = STEPS_MS.find(ms => (toMs - fromMs) / ms <= most)
  if (most < 1 || step === undefined || !(toMs > fromMs)) return []
  const offsetMs = (timeMs: number): number => options.offsetMinutes(timeMs) * MINUTE_MS
  const first = Math.ceil((fromMs + offsetMs(fromMs)) / step) * step
  const ticks: Tick[] = []
  for (let count = 0; count < MAX_TICKS; count++) {
    const local = first + count * step
    // The offset of just before or after a change of the clocks: of this local time in either case.
    const timeMs = local - offsetMs(local - offsetMs(fromMs))
    if (!(timeMs < toMs)) break
    // A local time that the clocks skip is none.
    const isReal = timeMs + offsetMs(timeMs) === local
    if (isReal && timeMs >= fromMs) ticks.push({ timeMs, label: labelOf(local) })
  }
  return ticks
}

/** Of local time, given as if it were UTC. */
function labelOf(local: number): string {
  const date = new Date(local)
  if (Number.isNaN(date.getTime())) return ''
  if (local % DAY_MS === 0) return `${WEEKDAYS[date.getUTCDay()]} ${two(date.getUTCDate())}`
  return `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}
