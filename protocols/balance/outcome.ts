/**
 * What really happened in the hour after a move, from minutes that were measured: at the source, as
 * it was and with the moved load put back, and at the target.
 *
 *   minutes from the end of the move on --> steps of 5 minutes --> above a threshold or not
 *
 * The source is looked at as if of all its moves none had taken place from this one's end on: what
 * moved later within the hour is put back too, so that each of several moves against one overload
 * has its part in it. Pure. Invariant: minutes in which something is not known count for nothing;
 * without half of the hour there is no verdict.
 */
import { assert } from '../assert.ts'
import type { Outcome } from './receipt.ts'
import { JUDGED_MS, JUDGED_STEP_MINUTES } from './receipt-limits.ts'

/** Loads of minutes, the first of which is the one in which the move ended; NaN: not known. */
export type Minutes = ArrayLike<number>

export interface Aftermath {
  readonly judgedAt: number
  readonly source: Minutes
  readonly sourceThreshold: number
  /** What this move took away. */
  readonly moved: Minutes
  /** What later moves took away within the hour: zero in the minutes before their end. */
  readonly movedLater: readonly Minutes[]
  readonly target: Minutes
  readonly targetThreshold: number
  readonly longestPauseMs?: number | undefined
}

export const JUDGED_STEPS = JUDGED_MS / 60_000 / JUDGED_STEP_MINUTES
const LEAST_STEPS = JUDGED_STEPS / 2

/** Undefined: too little was measured. */
export function outcomeOf(after: Aftermath): Outcome | undefined {
  const { source, moved, movedLater, target, sourceThreshold, targetThreshold } = after
  const steps = Array.from({ length: JUDGED_STEPS }, (_, step) => ({
    source: meanOf(source, step),
    // What is not known of a later move is not put back; of this one it is what is asked about.
    back: movedLater.reduce((sum, one) => sum + (meanOf(one, step) || 0), meanOf(moved, step)),
    target: meanOf(target, step)
  }))
  const known = steps.filter(step => !Number.isNaN(step.source + step.back + step.target))
  if (known.length < LEAST_STEPS) return undefined
  const isOver = (load: number) => load > sourceThreshold
  const would = known.filter(step => isOver(step.source + step.back))
  const avoided = would.filter(step => !isOver(step.source))
  const suffered = known.filter(step => isOver(step.source) || step.target > targetThreshold)
  const { longestPauseMs } = after
  const outcome: Outcome = {
    judgedAt: after.judgedAt,
    wasNeeded: would.length > 0,
    sourcePeak: peakOf(known.map(step => step.source)),
    sourcePeakWithout: peakOf(known.map(step => step.source + step.back)),
    sourceThreshold,
    targetPeak: peakOf(known.map(step => step.target)),
    targetThreshold,
    targetStayedWell: known.every(step => step.target <= targetThreshold),
    avoidedMinutes: avoided.length * JUDGED_STEP_MINUTES,
    sufferedMinutes: suffered.length * JUDGED_STEP_MINUTES,
    ...(longestPauseMs === undefined ? {} : { longestPauseMs })
  }
  assert(outcome.sourcePeakWithout >= outcome.sourcePeak, 'what is put back is not negative')
  return outcome
}

/** Of a step of 5 minutes, over its minutes that are known; NaN if none is. */
export function meanOf(minutes: Minutes, step: number): number {
  let sum = 0
  let count = 0
  for (let i = step * JUDGED_STEP_MINUTES; i < (step + 1) * JUDGED_STEP_MINUTES; i++) {
    const load = minutes[i] ?? Number.NaN
    if (!(load >= 0)) continue
    sum += load
    count++
  }
  return count === 0 ? Number.NaN : sum / count
}

function peakOf(loads: readonly number[]): number {
  return loads.reduce((most, load) => Math.max(most, load), 0)
}
