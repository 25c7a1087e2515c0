/**
 * Forecasts as the policy wants them: one path as far as the horizon reaches, and the rest of the day.
 *
 *   |-- standing: an hour, made each step --|-- asked for, older: up to the horizon --|-- the day --
 *   '------------------------------ path ---------------------------------------------'
 */
import { outlookOf } from '../../protocols/balance/outlook.ts'
import type { LoadPath } from '../../protocols/balance/types.ts'
import { type Published, STEP_MS } from '../../protocols/forecast/subject.ts'
import { MAX_OFFER_HOURS, MAX_UNITS } from '../../protocols/negotiate/limits.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

export interface Ahead {
  readonly path: LoadPath
  readonly day?: LoadPath
}

/** `most`: what the load can come to at all. Undefined: nothing is foretold yet. */
export function standingPath(published: Published, most?: number): LoadPath | undefined {
  const last = published.bands.at(-1)?.minutes ?? 0
  // Bands of a young forecast may end before its path does.
  const steps = Math.floor((last * MINUTE_MS) / published.stepMs)
  const path = published.path.slice(0, steps)
  return path.length === 0 ? undefined : outlookOf({ ...published, path }, most)
}

/** What is now, as if it went on. */
export function unchanged(load: number, nowMs: number, minutes: number): LoadPath {
  const loads = new Array<number>(Math.ceil((minutes * MINUTE_MS) / STEP_MS)).fill(load)
  const atMs = Math.floor(nowMs / STEP_MS) * STEP_MS
  return { atMs, stepMs: STEP_MS, expected: loads, high: loads }
}

export function aheadOf(standing: LoadPath, long: LoadPath | undefined, minutes: number): Ahead {
  const endMs = standing.atMs + standing.expected.length * standing.stepMs
  const rest = long?.stepMs === standing.stepMs ? between(long, endMs, Infinity) : undefined
  if (rest === undefined) return { path: standing }
  const toMs = standing.atMs + minutes * MINUTE_MS
  const near = between(rest, endMs, toMs)
  const day = between(rest, Math.max(endMs, toMs), Infinity)
  const path: LoadPath = {
    ...standing,
    expected: [...standing.expected, ...(near?.expected ?? [])],
    high: [...standing.high, ...(near?.high ?? [])]
  }
  return { path, ...(day !== undefined && { day }) }
}

/** Hour by hour: the means, and of what is high the greatest. Undefined: it ends before `nowMs`. */
export function hourly(path: LoadPath, nowMs: number): LoadPath | undefined {
  const left = between(path, nowMs, Infinity)
  const steps = Math.max(1, Math.round(HOUR_MS / path.stepMs))
  if (left === undefined) return undefined
  const expected: number[] = []
  const high: number[] = []
  for (let at = 0; at < left.expected.length && expected.length < MAX_OFFER_HOURS; at += steps) {
    const loads = left.expected.slice(at, at + steps)
    const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length
    expected.push(Math.min(MAX_UNITS, mean))
    high.push(Math.min(MAX_UNITS, Math.max(mean, ...left.high.slice(at, at + steps))))
  }
  return { atMs: left.atMs, stepMs: steps * path.stepMs, expected, high }
}

/** When it is expected to be greatest. */
export function peakMs({ atMs, stepMs, expected }: LoadPath): number {
  let peak = 0
  for (const [i, load] of expected.entries()) if (load > (expected[peak] ?? 0)) peak = i
  return atMs + peak * stepMs
}

/** The steps that are not over at `fromMs` and begin before `toMs`. */
function between(path: LoadPath, fromMs: number, toMs: number): LoadPath | undefined {
  const { atMs, stepMs, expected, high } = path
  const from = Math.max(0, Math.floor((fromMs - atMs) / stepMs))
  const to = Math.max(from, Math.min(expected.length, Math.ceil((toMs - atMs) / stepMs)))
  if (to === from) return undefined
  const at = atMs + from * stepMs
  return { atMs: at, stepMs, expected: expected.slice(from, to), high: high.slice(from, to) }
}
