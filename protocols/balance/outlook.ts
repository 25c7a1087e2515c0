/**
 * The load to come of a shard as balancing reads it, made of what its forecast publishes.
 *
 *   direct: mean and variance as learned, cut at a limit -------------> LoadPath with these moments
 *   until that is learned:
 *   path, bands at 15 and 60 min --> spread of every step --> mean and variance, cut at a limit
 *                variance of the last day ----------------\-> LoadPath with these moments
 *
 * A band at q90 says little of what lies beyond it, and a shard that is quiet today bursts like it
 * did in the last day: of the errors of forecasts on real disks (docs/balancing.md) a part is as the
 * band says and a part as the last day varied, by how far ahead they look.
 *
 * Invariants: `high` is never below `expected`, which is never above the limit that is set. Of what was
 * learned, mean and variance keep within the limit; the `high` that stands for them may lie above it.
 */
import type { Direct } from '../forecast/direct.ts'
import { expm1, ln1p } from '../forecast/numeric.ts'
import type { Published } from '../forecast/subject.ts'
import { loadOfMoments, Z90 } from './excess.ts'
import type { LoadPath } from './types.ts'

/** Middles of the ten parts of equal chance of the normal distribution. */
const MIDDLES = [-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645]
const MINUTE_MS = 60_000
/**
 * Steps after the path that are said too: what a move saves is looked at until an hour after its end.
 * They are drawn towards the last day, as loads are that far ahead.
 */
const BEYOND_STEPS = 3
const DRAWN = 0.3
const BEYOND_VARIED = 0.1

export interface LastDay {
  /** Mean load of its steps, and their variance about it. */
  readonly mean: number
  readonly variance: number
}

export type Foretold = Pick<Published, 'atMs' | 'stepMs' | 'path' | 'bands'> & {
  readonly lastDay?: LastDay | undefined
  readonly direct?: Direct | undefined
}

/** `most`: what the load can come to at all (--max-iops); absent: no limit. */
export function outlookOf(foretold: Foretold, most = Number.POSITIVE_INFINITY): LoadPath {
  const { atMs, stepMs, path, lastDay } = foretold
  // Nothing between 0 and a limit varies more: the last day may have been one without it.
  const varied = Math.min(lastDay?.variance ?? 0, (most * most) / 4)
  const expected: number[] = []
  const high: number[] = []
  const put = (mean: number, variance: number, cut = most): void => {
    const load = loadOfMoments({ mean, variance })
    expected.push(Math.min(most, load.expected))
    high.push(Math.min(cut, Math.max(load.expected, load.high)))
  }
  if (foretold.direct !== undefined) {
    const { mean, variance } = foretold.direct
    mean.slice(0, path.length + BEYOND_STEPS).forEach((load, i) => {
      // A cut here would lose variance, which sums over the shards of a node stand on.
      put(Math.min(most, load), Math.min((most * most) / 4, variance[i] ?? 0), Infinity)
    })
    return { atMs, stepMs, expected, high }
  }
  let last = { mean: 0, variance: 0 }
  path.forEach((median, i) => {
    const { mean, variance } = cutMoments(median, spreadAt(foretold, i + 1), most)
    last = { mean, variance: bandPart(i) * variance + dayPart(i) * varied }
    put(last.mean, last.variance)
  })
  const usual = Math.min(most, lastDay?.mean ?? last.mean)
  for (let i = 0; i < BEYOND_STEPS && path.length > 0; i++) {
    put((1 - DRAWN) * last.mean + DRAWN * usual, last.variance + BEYOND_VARIED * varied)
  }
  return { atMs, stepMs, expected, high }
}

/** How much of the variance of the band, and of that of the last day, comes true `i` steps ahead. */
function bandPart(i: number): number {
  return 0.58 + 1.1 / (i + 1)
}

function dayPart(i: number): number {
  return 0.27 - 0.16 / (1 + i / 5)
}

/** Deviation of ln(1 + load): between two horizons in proportion. */
function spreadAt({ path, bands, stepMs }: Foretold, steps: number): number {
  let before = 0
  let from = 0
  for (const { minutes, q90 } of bands) {
    const to = Math.round((minutes * MINUTE_MS) / stepMs)
    const spread = Math.max(0, (ln1p(q90) - ln1p(path[to - 1] ?? 0)) / Z90)
    if (steps <= to) return before + ((spread - before) * (steps - from)) / (to - from)
    before = spread
    from = to
  }
  return before
}

function cutMoments(
  median: number,
  spread: number,
  most: number
): { readonly mean: number; readonly variance: number } {
  const center = ln1p(Math.max(0, median))
  let sum = 0
  let squares = 0
  for (const middle of MIDDLES) {
    const load = Math.min(most, Math.max(0, expm1(center + spread * middle)))
    sum += load
    squares += load * load
  }
  const mean = sum / MIDDLES.length
  return { mean, variance: Math.max(0, squares / MIDDLES.length - mean * mean) }
}
