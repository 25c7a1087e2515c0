/**
 * Whether a move that could wait had better begin now: because what the copying itself adds at the
 * source is least now, and by the time the move is due it would add more.
 *
 *   harm of copying   3  1  2  4  9 |          due at the fifth step: begins at the second
 *   start at step     0  1  2  3  4 due
 *
 * Invariant: never earlier than its benefit is worth its cost (policy.ts asks only then).
 */
import type { Choice, ChoiceTerms } from './choice.ts'
import { type Shift, scaleCurve, stepWith } from './curve.ts'

/** Of what makes a move due: windows that are alike may differ by so much. */
const ROUNDING = 1e-13

/**
 * What copying adds when the move falls due, less what it adds now; 0 if it adds less at some time
 * between. `due`: what a move saves within `soonMs` of its end when it is due. Units.
 */
export function troughGain(
  { moved, copyMs }: Choice,
  terms: Pick<ChoiceTerms, 'own' | 'threshold' | 'grid'>,
  { due, soonMs }: { readonly due: number; readonly soonMs: number }
): number {
  const { own, threshold, grid } = terms
  const none = scaleCurve(moved, 0)
  const differs = (i: number, shift: Shift): number =>
    ((stepWith(own, moved, threshold, i, shift) - stepWith(own, none, threshold, i, shift)) *
      grid.stepMs) /
    1000
  const length = Math.ceil(copyMs / grid.stepMs)
  const soon = Math.ceil(soonMs / grid.stepMs)
  const last = grid.steps - length - soon
  if (last < 1) return 0
  const copied = windows(grid.steps, length, i => differs(i, { way: -1, from: grid.steps }))
  const saved = windows(grid.steps, soon, i => -differs(i, { way: -1, from: 0 }))
  const now = copied(0)
  for (let start = 1; start <= last; start++) {
    const then = copied(start)
    if (then < now - ROUNDING * due) return 0
    if (saved(start + length) >= due) return then - now
  }
  return 0
}

/** Sums of `count` values from a step on; each value is asked for once, however many sums are. */
function windows(
  steps: number,
  count: number,
  value: (i: number) => number
): (from: number) => number {
  const sums = new Float64Array(steps + 1)
  for (let i = 0; i < steps; i++) sums[i + 1] = (sums[i] ?? 0) + value(i)
  return from => (sums[from + count] ?? 0) - (sums[from] ?? 0)
}
