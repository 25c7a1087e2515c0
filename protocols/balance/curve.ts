/**
 * Loads to come by their first two moments, step by step on one grid: what adding, taking away and
 * comparing many of them is cheap on. A LoadPath is the same as people and messages read it.
 *
 *   LoadPath --curveOf--> Curve --plus/minus a part--> Curve --excess--> units, chance
 *
 * Invariants: curves that are put together have one grid; no mean or variance is negative.
 */
import { assert } from '../assert.ts'
import { ln1p } from '../forecast/numeric.ts'
import { momentsOf, normal } from './excess.ts'
import { MAX_PATH_STEPS } from './limits.ts'
import { loadAt } from './paths.ts'
import type { LoadPath } from './types.ts'

export interface Grid {
  readonly fromMs: number
  readonly stepMs: number
  readonly steps: number
}

export interface Curve {
  readonly mean: Float64Array
  readonly variance: Float64Array
}

/** The steps from one instant to another; of at most MAX_PATH_STEPS. */
export function gridOf(fromMs: number, toMs: number, stepMs: number): Grid {
  // An instant that is no whole millisecond must not make a step of its rounding.
  const wanted = Math.ceil((toMs - fromMs) / stepMs - 1e-9)
  return { fromMs, stepMs, steps: Math.max(1, Math.min(MAX_PATH_STEPS, wanted)) }
}

/** What the path says of the middle of each step; its last word stands for what comes after. */
export function curveOf(path: LoadPath, { fromMs, stepMs, steps }: Grid): Curve {
  const mean = new Float64Array(steps)
  const variance = new Float64Array(steps)
  for (let i = 0; i < steps; i++) {
    const moments = momentsOf(loadAt(path, fromMs + (i + 0.5) * stepMs))
    mean[i] = moments.mean
    variance[i] = moments.variance
  }
  return { mean, variance }
}

/** What a move does to one of its ends, from the step on that it is finished by. */
export interface Shift {
  /** -1: the moved load leaves. 1: it comes. */
  readonly way: -1 | 1
  /** Copying is over before this step. */
  readonly from: number
}

/** Part of the moved load that copying it costs on top, at either end. */
export const COPY_PART = 0.1
/** Its variance: on a load that is already there, and on another. */
const COPY_VARIANCE = { [-1]: 2 * COPY_PART + COPY_PART * COPY_PART, 1: COPY_PART * COPY_PART }

/**
 * How bad an overload is: the load above the threshold, and this part of the threshold for being
 * above it at all. Without it small excesses are never worth a move, and last.
 */
const OVER_PART = 0.08

/** Sum over the steps of the expected harm, in units, with the move. */
export function excessWith(
  own: Curve,
  moved: Curve,
  threshold: number,
  grid: Grid,
  shift: Shift
): number {
  assert(own.mean.length === moved.mean.length, 'curves have one grid')
  let sum = 0
  for (let i = 0; i < grid.steps; i++) sum += stepWith(own, moved, threshold, i, shift)
  return (sum * grid.stepMs) / 1000
}

/** Of one step, in units per second. */
export function stepWith(
  own: Curve,
  moved: Curve,
  threshold: number,
  i: number,
  { way, from }: Shift
): number {
  const mean = (own.mean[i] ?? 0) + (i < from ? COPY_PART : way) * (moved.mean[i] ?? 0)
  const more = i < from ? COPY_VARIANCE[way] : way
  const variance = (own.variance[i] ?? 0) + more * (moved.variance[i] ?? 0)
  return harmOf(Math.max(0, mean), Math.max(0, variance), threshold)
}

/** The sum after the move, for what is decided on it next; the same curve, changed. */
export function shiftCurve(own: Curve, moved: Curve, { way, from }: Shift): void {
  for (let i = 0; i < own.mean.length; i++) {
    const part = i < from ? COPY_PART : way
    const more = i < from ? COPY_VARIANCE[way] : way
    own.mean[i] = Math.max(0, (own.mean[i] ?? 0) + part * (moved.mean[i] ?? 0))
    own.variance[i] = Math.max(0, (own.variance[i] ?? 0) + more * (moved.variance[i] ?? 0))
  }
}

/** A part of a load, 0 to 1, as if its chunks rose and fell together. */
export function scaleCurve({ mean, variance }: Curve, part: number): Curve {
  return { mean: mean.map(x => x * part), variance: variance.map(x => x * part * part) }
}

/** The same without a move. */
export function excessOfCurve({ mean, variance }: Curve, threshold: number, grid: Grid): number {
  let sum = 0
  for (let i = 0; i < grid.steps; i++) {
    sum += harmOf(mean[i] ?? 0, variance[i] ?? 0, threshold)
  }
  return (sum * grid.stepMs) / 1000
}

function harmOf(mean: number, variance: number, threshold: number): number {
  const above = meanAboveOf(mean, variance, threshold)
  return above === 0 ? 0 : above + OVER_PART * threshold * chanceAboveOf(mean, variance, threshold)
}

/** Mean of max(0, load - threshold) of a load with these moments, as excess.ts takes it. */
export function meanAboveOf(mean: number, variance: number, threshold: number): number {
  const about = 1 + mean
  // Five deviations below: less than a millionth of it. Most nodes most of the time.
  const room = threshold - mean
  if (room > 0 && room * room > 400 * variance) return 0
  const square = ln1p(variance / (about * about))
  const spread = Math.sqrt(square)
  if (spread < 1e-9) return Math.max(0, mean - threshold)
  const far = (ln1p(mean) - ln1p(threshold) - square / 2) / spread
  return Math.max(0, about * normal(far + spread) - (1 + threshold) * normal(far))
}

export function chanceAboveOf(mean: number, variance: number, threshold: number): number {
  const about = 1 + mean
  const square = ln1p(variance / (about * about))
  const spread = Math.sqrt(square)
  if (spread < 1e-9) return mean > threshold ? 1 : 0
  return normal((ln1p(mean) - ln1p(threshold) - square / 2) / spread)
}
