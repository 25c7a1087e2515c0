/**
 * The part of the overload features that looks at the same time of past days: how often an onset
 * followed within the hour, on all days, on this weekday, on days of this class, and on those whose
 * moment was like this one (a kernel over level, raw load, time since the last onset, and share of
 * the last six hours that was over).
 *
 * Invariant: an hour that has not ended yet is never looked at for its onset.
 */
import type { History } from './history.ts'
import { HISTORY_DAYS } from './limits.ts'
import { exp } from './numeric.ts'

/** Rings over the last steps, by absolute step modulo size; counts grow from the first step on. */
export interface Past {
  readonly hour: number
  readonly load: History
  readonly raw: History
  readonly size: number
  readonly overs: Uint32Array
  readonly onsets: Uint32Array
  readonly quiet: Uint8Array
  /** ln(1 + steps since the last onset). */
  readonly sinceOnset: Float32Array
  /** The newest step; -1 before the first. */
  now: number
  dayOfWeek: number
  lastOnset?: number
}

export const DAYS_BEHIND = [
  'over then, 7 d',
  'over then, fading',
  'onset then, 7 d',
  'onset then, weekday',
  'onset then if quiet',
  'over then, class of day',
  'days it came in a row',
  'steps to onset, 1 d',
  'most then, 1 d',
  'most then, middle of 7 d',
  'most then, 7 d before',
  'against 1 d',
  'against 7 d',
  'like: since onset',
  'like: level',
  'like: hours over',
  'like: level and raw'
] as const

const FADE_OVER = 0.85
const FADE_ONSET = 0.9
const FADE_LIKE = 0.95
const CLASS_DAYS = 5
const WEEK_DAYS = 7
const FAR_ONSET = 60
/** Moments before and after the same time of day that count too, in steps, and their weight. */
const SHIFTS = [-9, -6, -3, 0, 3, 6, 9]
const SHIFT_FADE = 15
const HALF_SHIFT = 0.6

export function pastFeatures(past: Past, out: Float64Array, from: number): void {
  const days = Math.min(HISTORY_DAYS, Math.floor((past.now - past.hour) / past.load.day))
  const next = sameTime(past, days, out, from)
  const last = sameLoad(past, days, out, next)
  likeMoments(past, days, out, last)
}

/** How often an overload came within the hour after this time of day. */
function sameTime(past: Past, days: number, out: Float64Array, from: number): number {
  let over7 = 0
  let onset7 = 0
  let fading = 0
  let fadingAll = 0
  let weekly = 0
  let weeks = 0
  let quietOnset = 0
  let quietAll = 0
  let classOver = 0
  let classDays = 0
  let row = HISTORY_DAYS
  let overWeight = 1
  let onsetWeight = 1
  for (let d = 1; d <= days; d++) {
    const then = past.now - past.load.dayLag(d)
    const over = grew(past.overs, past, then)
    const onset = grew(past.onsets, past, then)
    overWeight *= FADE_OVER
    onsetWeight *= FADE_ONSET
    fading += overWeight * over
    fadingAll += overWeight
    if (d <= WEEK_DAYS) over7 += over
    if (d <= WEEK_DAYS) onset7 += onset
    if (d % WEEK_DAYS === 0) weekly += onset
    if (d % WEEK_DAYS === 0) weeks++
    if (past.quiet[then % past.size] === 1) {
      quietOnset += onsetWeight * onset
      quietAll += onsetWeight
    }
    if (classDays < CLASS_DAYS && sameClass(past.dayOfWeek, d)) {
      classOver += over
      classDays++
    }
    if (over === 0 && row === HISTORY_DAYS) row = d
  }
  const week = Math.max(1, Math.min(WEEK_DAYS, days))
  let i = from
  out[i++] = over7 / week
  out[i++] = fadingAll > 0 ? fading / fadingAll : Number.NaN
  out[i++] = onset7 / week
  out[i++] = weeks > 0 ? weekly / weeks : Number.NaN
  out[i++] = (quietOnset + 0.01) / (quietAll + 0.1)
  out[i++] = classDays > 0 ? classOver / classDays : Number.NaN
  out[i++] = row
  out[i++] = days >= 1 ? stepsToOnset(past, past.now - past.load.dayLag(1)) : Number.NaN
  return i
}

/** What the load was in the hour after this time of day, and how today differs so far. */
function sameLoad(past: Past, days: number, out: Float64Array, from: number): number {
  const { load, hour } = past
  const mosts: number[] = []
  let before = 0
  for (let d = 1; d <= Math.min(WEEK_DAYS, days); d++) {
    const lag = load.dayLag(d)
    let most = 0
    for (let h = 1; h <= hour; h++) most = Math.max(most, load.back(lag - h))
    mosts.push(most)
    before += meanBack(load, lag, hour)
  }
  const now = meanBack(load, 0, hour)
  let i = from
  out[i++] = mosts[0] ?? Number.NaN
  out[i++] = [...mosts].sort((a, b) => a - b)[mosts.length >> 1] ?? Number.NaN
  out[i++] = mosts[WEEK_DAYS - 1] ?? Number.NaN
  out[i++] = days >= 1 ? now - meanBack(load, load.dayLag(1), hour) : Number.NaN
  out[i++] = mosts.length > 0 ? now - before / mosts.length : Number.NaN
  return i
}

/** The share of moments like this one, around this time of past days, that an onset followed. */
function likeMoments(past: Past, days: number, out: Float64Array, from: number): void {
  const { load, raw, now, size, hour } = past
  const level = load.back(0)
  const fresh = raw.back(0)
  const since = past.sinceOnset[now % size] ?? 0
  const busy = overOf(past, now)
  const weights = new Float64Array(4)
  const hits = new Float64Array(4)
  let fade = 1
  for (let d = 1; d <= days; d++) {
    fade *= FADE_LIKE
    const lag = load.dayLag(d)
    for (const shift of SHIFTS) {
      const then = now - lag + shift
      if (then < 6 * hour || past.quiet[then % size] !== 1) continue
      const onset = grew(past.onsets, past, then)
      const levelGap = load.back(lag - shift) - level
      const rawGap = raw.back(lag - shift) - fresh
      const both = (levelGap * levelGap + rawGap * rawGap) / 0.3
      weigh(weights, hits, 3, fade * (1 - Math.abs(shift) / SHIFT_FADE) * exp(-both), onset)
      if (Math.abs(shift) !== hour / 2 && shift !== 0) continue
      const near = fade * (shift === 0 ? 1 : HALF_SHIFT)
      const sinceGap = (past.sinceOnset[then % size] ?? 0) - since
      weigh(weights, hits, 0, near * exp(-(sinceGap * sinceGap) / 0.18), onset)
      weigh(weights, hits, 1, near * exp(-(levelGap * levelGap) / 0.18), onset)
      weigh(weights, hits, 2, near * exp(-Math.abs(overOf(past, then) - busy) / 6), onset)
    }
  }
  for (let i = 0; i < weights.length; i++) {
    out[from + i] = ((hits[i] ?? 0) + 0.05) / ((weights[i] ?? 0) + 0.5)
  }
}

function weigh(
  weights: Float64Array,
  hits: Float64Array,
  i: number,
  weight: number,
  onset: number
): void {
  weights[i] = (weights[i] ?? 0) + weight
  hits[i] = (hits[i] ?? 0) + weight * onset
}

/** 1 if the count grew within the hour after a step. */
function grew(counts: Uint32Array, past: Past, then: number): number {
  if (then < 0) return 0
  const after = counts[Math.min(past.now, then + past.hour) % past.size] ?? 0
  return after > (counts[then % past.size] ?? 0) ? 1 : 0
}

/** Steps over in the six hours up to a step. */
function overOf({ overs, size, hour, now }: Past, then: number): number {
  const from = Math.max(0, now - size + 1, then - 6 * hour)
  return (overs[then % size] ?? 0) - (overs[from % size] ?? 0)
}

function stepsToOnset({ onsets, size, now }: Past, then: number): number {
  if (then < 0) return Number.NaN
  const known = onsets[then % size] ?? 0
  for (let steps = 1; steps < FAR_ONSET && then + steps <= now; steps++) {
    if ((onsets[(then + steps) % size] ?? 0) > known) return steps - 1
  }
  return FAR_ONSET
}

function meanBack(load: History, lag: number, count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += load.back(lag + i)
  return sum / count
}

/** Whether the day `days` before is a weekend day like this one, or neither is. */
function sameClass(dayOfWeek: number, days: number): boolean {
  const then = (((dayOfWeek - days) % 7) + 7) % 7
  return then >= 5 === dayOfWeek >= 5
}
