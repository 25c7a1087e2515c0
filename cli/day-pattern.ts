/**
 * A day in the life of a made-up application, from a seed: quiet nights, a morning, and a peak in the
 * afternoon. No two days are alike, as in life: each is a little higher or lower, earlier or later,
 * and every five minutes have some noise. Pure: days are numbers, and the same seed makes the same.
 *
 *   units per second of the volume
 *      peak                         __
 *                                  /  \          a few hours above what one node can do
 *                     __         _/    \_
 *      night  _______/  \_______/        \______
 *             0h     9h          15h           24h
 *
 * The load falls on the chunks of the volume unevenly, always in the same way.
 */
import { Random } from '../protocols/forecast/random.ts'
import { formatIsoTime } from '../protocols/load/iso-time.ts'
import { BYTES_PER_UNIT } from '../protocols/load/record.ts'

export const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const STEP_MS = 300_000
const NIGHT_PART = 0.2
const MORNING = { part: 0.2, atHour: 10, widthHours: 1.2 } as const
const AFTERNOON = { part: 0.8, atHour: 15, widthHours: 1.9 } as const
/** Of a day: its height, and when it comes; of five minutes: their height. */
const DAY_NOISE = 0.03
const SHIFT_MS = 300_000
const STEP_NOISE = 0.02
export const REQUEST_BYTES = 4096
export const UNITS_PER_REQUEST = 1 + REQUEST_BYTES / BYTES_PER_UNIT
export const READ_PART = 0.6
/** The part of the load that each chunk in use has, the hottest first. */
export const CHUNK_PARTS = [0.21, 0.18, 0.15, 0.12, 0.1, 0.09, 0.08, 0.07] as const

export class DayPattern {
  readonly #seed: number
  readonly #peak: number
  readonly #midnightMs: number

  /** `peak`: units per second at the height of a mean day. `midnightMs`: one, if not that of UTC. */
  constructor(seed: number, peak: number, midnightMs = 0) {
    this.#seed = seed
    this.#peak = peak
    this.#midnightMs = midnightMs
  }

  /** Counted from the midnight that was given, or since 1970. */
  dayOf(timeMs: number): number {
    return Math.floor((timeMs - this.#midnightMs) / DAY_MS)
  }

  /** Units per second at `timeMs`, of the day that is `day`; by default, the day of that time. */
  loadAt(timeMs: number, day = this.dayOf(timeMs)): number {
    const intoMs = timeMs - this.#midnightMs - this.dayOf(timeMs) * DAY_MS
    const random = new Random(this.#seed + 7919 * day)
    const height = 1 + DAY_NOISE * (2 * random.unit() - 1)
    const shiftMs = SHIFT_MS * (2 * random.unit() - 1)
    const step = new Random(this.#seed + 7919 * day + 1 + Math.floor(intoMs / STEP_MS))
    const noise = 1 + STEP_NOISE * (2 * step.unit() - 1)
    return this.#peak * height * noise * shapeAt((intoMs - shiftMs) / HOUR_MS)
  }

  /** Rows of five minutes from `fromMs` to `toMs`, as `shoal load import` takes them. */
  csv(volume: string, fromMs: number, toMs: number): string {
    const lines = ['time,volume,reads,writes,read_bytes,written_bytes']
    for (let timeMs = fromMs; timeMs < toMs; timeMs += STEP_MS) {
      const requests = this.loadAt(timeMs + STEP_MS / 2) / UNITS_PER_REQUEST
      const [reads, writes] = [requests * READ_PART, requests * (1 - READ_PART)]
      const bytes = [reads * REQUEST_BYTES, writes * REQUEST_BYTES]
      lines.push([formatIsoTime(timeMs), volume, reads, writes, ...bytes].join(','))
    }
    return `${lines.join('\n')}\n`
  }
}

/** Of the peak. */
function shapeAt(hour: number): number {
  return NIGHT_PART + bump(hour, MORNING) + bump(hour, AFTERNOON)
}

function bump(hour: number, { part, atHour, widthHours }: typeof MORNING | typeof AFTERNOON) {
  return part * Math.exp(-(((hour - atHour) / widthHours) ** 2))
}
