/**
 * Whether a node will be quiet when a new volume is busy: what it foretells of itself, the volume's
 * expected load on top, against what it should do at most.
 *
 *   high  ‾‾\___/‾‾‾   the node's high quantile, a step of five minutes after the other
 *   load  ____/‾\___   what one column of the volume brings; where it is busy counts
 *
 * Units per second (load/record.ts). Invariants: nothing here is worse than OVER_MS + BUSY_MS, so
 * that a forecast outweighs so much distance at most; a node of which nothing is known costs nothing.
 */
import { calendarOf } from '../forecast/calendar.ts'
import { type Pattern, patternLoad } from '../forecast/patterns.ts'
import { KiB } from '../limits.ts'
import { BYTES_PER_UNIT } from '../load/record.ts'

/** Of a node's capacity; above it a node counts as overloaded. */
const THRESHOLD_PART = 0.8
/** A step counts as busy from this part of the greatest load on. */
const BUSY_PART = 0.5
/** Cost of a node that is at its threshold, and of one that is above it whenever the volume is busy. */
const BUSY_MS = 5
const OVER_MS = 40
/** Expected requests are taken to be of 16 KiB, as where capacity is said. */
const UNITS_PER_REQUEST = 1 + (16 * KiB) / BYTES_PER_UNIT

export const AHEAD_STEP_MS = 300_000
export const AHEAD_STEPS = 288

/** What a node foretells of itself. */
export interface Ahead {
  readonly from: 'outlook' | 'gossip'
  /** Wall ms at which the first step begins. */
  readonly atMs: number
  /** High quantile of each step; beyond the last it stays as it is. At least one. */
  readonly high: readonly number[]
  /** Units per second that the node can do. */
  readonly capacity: number
}

/** What people expect of a new volume. */
export interface Demand {
  readonly expectedIops: number | undefined
  readonly patterns: readonly Pattern[]
  /** In which the times of patterns are read. */
  readonly zone: string
}

/** Of a node, with a column of the volume. */
export interface Quiet {
  readonly from: Ahead['from']
  /** Greatest part of the threshold that is used while the volume is busy. */
  readonly peakPart: number
  /** Within the next day, while the volume is busy: above the threshold; and all of that time. */
  readonly overMinutes: number
  readonly busyMinutes: number
}

/** Load of the whole volume at the steps of the next day; undefined if nothing is expected. */
export function demandFrom(demand: Demand, atMs: number): readonly number[] | undefined {
  const { expectedIops = 0, patterns, zone } = demand
  if (expectedIops === 0 && patterns.length === 0) return undefined
  const calendar = calendarOf(zone)
  const base = expectedIops * UNITS_PER_REQUEST
  return Array.from(
    { length: AHEAD_STEPS },
    (_, step) => base + patternLoad(patterns, calendar, atMs + step * AHEAD_STEP_MS)
  )
}

/** `load`: of one column at the steps of `ahead`; without it every step counts as busy. */
export function quietOf(ahead: Ahead, load: readonly number[] | undefined): Quiet {
  const threshold = Math.max(1, ahead.capacity * THRESHOLD_PART)
  const busyFrom = Math.max(...(load ?? [0])) * BUSY_PART
  const minutes = AHEAD_STEP_MS / 60_000
  let peak = 0
  let overSteps = 0
  let busySteps = 0
  for (let step = 0; step < (load?.length ?? ahead.high.length); step++) {
    const own = load?.[step] ?? 0
    if (own < busyFrom) continue
    busySteps += 1
    const all = own + (ahead.high[step] ?? ahead.high.at(-1) ?? 0)
    peak = Math.max(peak, all)
    if (all > threshold) overSteps += 1
  }
  return {
    from: ahead.from,
    peakPart: peak / threshold,
    overMinutes: overSteps * minutes,
    busyMinutes: busySteps * minutes
  }
}

/** In milliseconds of round trip, as the other terms of a placement. */
export function quietMs(quiet: Quiet | undefined): number {
  if (quiet === undefined || quiet.busyMinutes === 0) return 0
  const { peakPart, overMinutes, busyMinutes } = quiet
  return BUSY_MS * Math.min(1, peakPart) ** 2 + (OVER_MS * overMinutes) / busyMinutes
}
