/**
 * What is said of every step between the horizons that have quantiles: the path plus a band that
 * grows from nothing now, linearly from one horizon to the next; and when a line first crosses.
 *
 * Invariants: at a horizon it is the band's own; quantiles of rising levels never cross; none is
 * negative.
 */
import { round6 } from './numeric.ts'
import type { Band } from './shard-forecast.ts'

export type Level = 'q50' | 'q90' | 'q95'

/** One quantile of every step of a path; `bands` are in order, the last at its end. */
export function quantilesAlong(
  path: readonly number[],
  bands: readonly Band[],
  level: Level,
  stepMinutes: number
): number[] {
  const all: number[] = []
  let from = 0
  let before = 0
  for (const band of bands) {
    const to = Math.min(path.length, Math.round(band.minutes / stepMinutes))
    const after = band[level] - (path[to - 1] ?? 0)
    for (let h = from + 1; h <= to; h++) {
      const part = (h - from) / (to - from)
      const wide = h === to ? after : before + part * (after - before)
      all.push(round6(Math.max(0, (path[h - 1] ?? 0) + wide)))
    }
    from = to
    before = after
  }
  return all
}

/** The first step, from 1, that is above a threshold. */
export function firstAbove(line: readonly number[], threshold: number): number | undefined {
  const at = line.findIndex(load => load > threshold)
  return at === -1 ? undefined : at + 1
}

/** When the expected load, and its high quantile (q90), are above the threshold first. */
export interface Crossing {
  readonly expectedAt: number | undefined
  readonly highAt: number | undefined
}

/** `atMs`: when the step before the path ended. */
export function crossingOf(
  path: readonly number[],
  high: readonly number[],
  threshold: number | undefined,
  { atMs, stepMs }: { readonly atMs: number; readonly stepMs: number }
): Crossing {
  const when = (line: readonly number[]): number | undefined => {
    const step = threshold === undefined ? undefined : firstAbove(line, threshold)
    return step === undefined ? undefined : atMs + step * stepMs
  }
  return { expectedAt: when(path), highAt: when(high) }
}
