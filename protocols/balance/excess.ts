/**
 * How much of a load to come is expected above a threshold.
 *
 * A load x is taken as ln(1 + x) ~ normal with its median at `expected` and its 0.9 quantile at
 * `high`. Then the chance and the mean of what exceeds a threshold are closed forms (those of Black
 * and Scholes), on functions of numeric.ts alone: the same on every version of Node.
 *
 * Loads that add up: means add, variances add, and the sum is taken as such a load again, by its
 * first two moments (Fenton and Wilkinson). What is taken away is the same, with minus.
 *
 * Invariants: nothing is negative or not a number; high is never below expected.
 */
import { exp, expm1, ln1p } from '../forecast/numeric.ts'

/** The 0.9 quantile of the normal distribution. */
export const Z90 = 1.2815515655446004
/** Steeper than this a band says no more than that nothing is known. */
const MOST_SPREAD = 2.5

export interface Load {
  readonly expected: number
  readonly high: number
}

export interface Moments {
  readonly mean: number
  readonly variance: number
}

/** Deviation of ln(1 + load). */
export function spreadOf({ expected, high }: Load): number {
  return Math.min(MOST_SPREAD, Math.max(0, (ln1p(high) - ln1p(expected)) / Z90))
}

/** Mean of max(0, load - threshold). */
export function meanAbove(load: Load, threshold: number): number {
  const spread = spreadOf(load)
  if (spread < 1e-9) return Math.max(0, load.expected - threshold)
  const far = (ln1p(load.expected) - ln1p(threshold)) / spread
  const above = expm1(ln1p(load.expected) + (spread * spread) / 2) + 1
  return Math.max(0, above * normal(far + spread) - (1 + threshold) * normal(far))
}

/** The chance that the load exceeds the threshold. */
export function chanceAbove(load: Load, threshold: number): number {
  const spread = spreadOf(load)
  if (spread < 1e-9) return load.expected > threshold ? 1 : 0
  return normal((ln1p(load.expected) - ln1p(threshold)) / spread)
}

export function momentsOf(load: Load): Moments {
  const spread = spreadOf(load)
  const square = spread * spread
  const mean = expm1(ln1p(load.expected) + square / 2)
  return { mean, variance: expm1(square) * (1 + mean) * (1 + mean) }
}

export function loadOfMoments({ mean, variance }: Moments): Load {
  const known = Math.max(0, mean)
  const square = ln1p(Math.max(0, variance) / ((1 + known) * (1 + known)))
  const spread = Math.min(MOST_SPREAD, Math.sqrt(square))
  const center = Math.max(0, ln1p(known) - (spread * spread) / 2)
  return { expected: expm1(center), high: expm1(center + Z90 * spread) }
}

/** The standard normal distribution function, to 1e-14 (Hart; West 2005). */
export function normal(x: number): number {
  const far = Math.abs(x)
  if (!(far < 37)) return x > 0 ? 1 : 0
  const tail = far < 7.07106781186547 ? near(far) : distant(far)
  return x > 0 ? 1 - tail : tail
}

const OVER = [
  3.52624965998911e-2, 0.700383064443688, 6.37396220353165, 33.912866078383, 112.079291497871,
  221.213596169931, 220.206867912376
]
const UNDER = [
  8.83883476483184e-2, 1.75566716318264, 16.064177579207, 86.7807322029461, 296.564248779674,
  637.333633378831, 793.826512519948, 440.413735824752
]

function near(far: number): number {
  let over = 0
  for (const term of OVER) over = over * far + term
  let under = 0
  for (const term of UNDER) under = under * far + term
  return (exp((-far * far) / 2) * over) / under
}

function distant(far: number): number {
  const fraction = far + 1 / (far + 2 / (far + 3 / (far + 4 / (far + 0.65))))
  return exp((-far * far) / 2) / fraction / 2.506628274631
}
