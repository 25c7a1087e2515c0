/**
 * From numbers to places of a picture: the range and the ticks of the y axis, and means over the
 * time of a column. Pure; every finite number has a place.
 */
import { PLOT_HEADROOM } from './limits.ts'

export interface Scale {
  readonly low: number
  readonly high: number
  /** Round numbers from `low` to `high`. */
  readonly ticks: readonly number[]
}

/** Beyond these sums and quotients would overflow, or vanish. */
const MOST = 1e290
const LEAST = 1e-290
const ROWS_PER_TICK = 3
const MIN_PARTS = 2
const ROUND = [1, 2, 5, 10]

/** Any number as one that can be reckoned with. */
export function tame(value: number): number {
  if (!(Math.abs(value) >= LEAST)) return 0
  return Math.max(-MOST, Math.min(MOST, value))
}

/**
 * Has room for every one of `values` and for 0; for `tops` (quantiles) and the threshold only while
 * they are not far above, so that what was measured stays readable.
 */
export function scaleOf(
  values: readonly number[],
  tops: readonly number[],
  { threshold, rows }: { readonly threshold: number | undefined; readonly rows: number }
): Scale {
  let low = 0
  let high = 0
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  const most = high > 0 ? high * PLOT_HEADROOM : Number.POSITIVE_INFINITY
  for (const top of tops) high = Math.max(high, Math.min(most, top))
  if (threshold !== undefined && threshold <= most) high = Math.max(high, threshold)
  if (high === low) high = low + 1
  return { low, high, ticks: ticksOf(low, high, Math.floor(rows / ROWS_PER_TICK)) }
}

/** Multiples of 1, 2 or 5 and a power of ten: 0 and one more at least. */
function ticksOf(low: number, high: number, parts: number): number[] {
  const rough = (high - low) / Math.max(MIN_PARTS, parts)
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * (ROUND.find(factor => factor * power >= rough) ?? 10)
  const first = Math.ceil(low / step)
  const count = Math.floor(high / step) - first + 1
  return Array.from({ length: count }, (_, index) => (first + index) * step)
}

/**
 * Means of `count` equal parts of a list, however many it has: null where a part has no number. An
 * item that lies in two parts counts in each by what lies there.
 */
export function resampled(
  values: ReadonlyArray<number | null>,
  count: number
): Array<number | null> {
  const per = values.length / count
  return Array.from({ length: count }, (_, part) => meanOf(values, part * per, (part + 1) * per))
}

function meanOf(values: ReadonlyArray<number | null>, from: number, to: number): number | null {
  let weight = 0
  let sum = 0
  for (let index = Math.floor(from); index < to; index++) {
    const value = values[index]
    const part = Math.min(to, index + 1) - Math.max(from, index)
    if (value === null || value === undefined || !(part > 0)) continue
    weight += part
    sum += part * tame(value)
  }
  return weight > 0 ? sum / weight : null
}
