/**
 * What really happened in the hour after a move, from minutes that were measured: at the source, as
 * it was and with the moved load put back, and at the target.
 *
 *   minutes from the end of the move on --> steps of 5 minutes --> above a threshold or not
 *
 * The source is looked at as if of all its moves none had taken place from this one's end on: what
 * moved later within the hour is put back too, so that each of several moves against one overload
 * has its part in it. History follows data: by the time of the verdict the source's minutes are
 * without what left later, also those in which it was still there; so as it was it had that too.
 * Pure. Invariant: steps of which most minutes are not known count for nothing; without half of the
 * hour there is no verdict.
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
  /** What later moves took away within the hour, all its minutes, and the first without it here. */
  readonly movedLater: ReadonlyArray<{ readonly loads: Minutes; readonly goneFrom: number }>
  readonly target: Minutes
  readonly targetThreshold: number
  readonly longestPauseMs?: number | undefined
}

export const JUDGED_STEPS = JUDGED_MS / 60_000 / JUDGED_STEP_MINUTES
const LEAST_STEPS = JUDGED_STEPS / 2
/** Of a step. */
const LEAST_MINUTES = Math.ceil(JUDGED_STEP_MINUTES / 2)

/** Undefined: too little was measured. */
export function outcomeOf(after: Aftermath): Outcome | undefined {
  const { moved, target, sourceThreshold, targetThreshold } = after
  const asItWas = sourceMinutes(after)
  const steps = Array.from({ length: JUDGED_STEPS }, (_, step) => ({
    source: meanOf(
      asItWas.map(one => one.source),
      step
    ),
    without: meanOf(
      asItWas.map((one, i) => one.source + one.later + (moved[i] ?? Number.NaN)),
      step
    ),
    target: meanOf(target, step)
  }))
  const known = steps.filter(step => !Number.isNaN(step.source + step.without + step.target))
  if (known.length < LEAST_STEPS) return undefined
  const isOver = (load: number) => load > sourceThreshold
  const would = known.filter(step => isOver(step.without))
  const avoided = would.filter(step => !isOver(step.source))
  const suffered = known.filter(step => isOver(step.source) || step.target > targetThreshold)
  const { longestPauseMs } = after
  const outcome: Outcome = {
    judgedAt: after.judgedAt,
    wasNeeded: would.length > 0,
    sourcePeak: peakOf(known.map(step => step.source)),
    sourcePeakWithout: peakOf(known.map(step => step.without)),
    sourceThreshold,
    targetPeak: peakOf(known.map(step => step.target)),
    targetThreshold,
    targetStayedWell: known.every(step => step.target <= targetThreshold),
    avoidedMinutes: avoided.length * JUDGED_STEP_MINUTES,
    sufferedMinutes: suffered.length * JUDGED_STEP_MINUTES,
    ...(longestPauseMs === undefined ? {} : { longestPauseMs })
  }
  return outcome
}

/** By the minute: the load of the source as it was, and what left it later and is put back. */
function sourceMinutes({
  source,
  movedLater
}: Aftermath): Array<{ source: number; later: number }> {
  return Array.from({ length: JUDGED_STEPS * JUDGED_STEP_MINUTES }, (_, i) => {
    let here = source[i] ?? Number.NaN
    let later = 0
    for (const { loads, goneFrom } of movedLater) {
      // What is not known of a later move is not put back; of this one it is what is asked about.
      const load = loads[i] || 0
      assert(load >= 0, 'what is put back is not negative')
      if (i < goneFrom) here += load
      else later += load
    }
    return { source: here, later }
  })
}

/** Of a step of 5 minutes, over its minutes that are known; NaN if those are fewer than most. */
export function meanOf(minutes: Minutes, step: number): number {
  let sum = 0
  let count = 0
  for (let i = step * JUDGED_STEP_MINUTES; i < (step + 1) * JUDGED_STEP_MINUTES; i++) {
    const load = minutes[i] ?? Number.NaN
    if (!(load >= 0)) continue
    sum += load
    count++
  }
  return count < LEAST_MINUTES ? Number.NaN : sum / count
}

function peakOf(loads: readonly number[]): number {
  return loads.reduce((most, load) => Math.max(most, load), 0)
}
