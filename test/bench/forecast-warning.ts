/**
 * The scores that the overload tables judge: of each step, how likely an overload is to start within
 * the hour, by the reactive rule, by every model of load (most of its next hour over capacity), and
 * by the direct model, which learns on weeks 1 to 4 and is then left as it is.
 */
import { Calendar } from '../../protocols/forecast/calendar.ts'
import { Chance } from '../../protocols/forecast/chance.ts'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import { FEATURES, type Moment, OverloadState } from '../../protocols/forecast/overload-state.ts'
import { TrainingSet } from '../../protocols/forecast/training-set.ts'
import { TREE_OPTIONS, TreeTrainer } from '../../protocols/forecast/tree-trainer.ts'
import type { Trees } from '../../protocols/forecast/trees.ts'
import { DAY, type Load, STEP_MINUTES, VM_START_MS, VM_ZONE, WEEK } from './forecast-data.ts'
import { HORIZON, overWithin, type Subject } from './forecast-overload.ts'

const LEARN_FROM = 3 * DAY
const LEARN_END = 4 * WEEK
const MOST_ROWS = 100_000
const STEP_MS = STEP_MINUTES * 60_000

/** What a subject's loads are measured against where its capacity is 0. */
export function unitOf(subject: Subject): number {
  let sum = 0
  for (let t = 0; t < LEARN_END; t++) sum += subject.load[t] ?? 0
  return sum > 0 ? sum / LEARN_END : 1
}

export function reactiveScores(subject: Subject): Float64Array {
  const unit = subject.capacity > 0 ? subject.capacity : unitOf(subject)
  return subject.load.map(load => load / unit)
}

/** The direct model of all subjects together, from weeks 1 to 4. */
export function learnTrees(
  loads: readonly Load[],
  subjects: readonly Subject[],
  seed: number
): Trees {
  const calendar = new Calendar(VM_ZONE)
  const set = new TrainingSet(FEATURES.length)
  const row = new Float64Array(FEATURES.length)
  const quiet = subjects.reduce((sum, subject) => sum + countQuiet(subject), 0)
  const stride = Math.ceil(quiet / MOST_ROWS)
  loads.forEach((load, index) => {
    const subject = subjects[index]
    if (subject === undefined) return
    const state = stateOf(subject)
    const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
    for (let t = 0; t < LEARN_END - HORIZON; t++) {
      state.push(load.raw[t] ?? 0, momentAt(calendar, t))
      forecaster.push(load.smooth[t] ?? 0, 0, false)
      if (t < LEARN_FROM || !state.quiet || (t + index) % stride !== 0) continue
      state.features(forecaster.foretold(), row)
      set.add(row, overWithin(subject, t))
    }
  })
  const trainer = new TreeTrainer(set, { ...TREE_OPTIONS, seed })
  while (!trainer.done) trainer.slice()
  return trainer.trees
}

/** Chance and warning at every quiet step after learning; 0 elsewhere. */
export function directScores(
  load: Load,
  subject: Subject,
  trees: Trees
): { readonly chance: Float64Array; readonly warning: Float64Array } {
  const calendar = new Calendar(VM_ZONE)
  const state = stateOf(subject)
  const outlooks = new Chance(DAY)
  const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
  const chance = new Float64Array(load.raw.length)
  const warning = new Float64Array(load.raw.length)
  for (let t = 0; t < load.raw.length; t++) {
    state.push(load.raw[t] ?? 0, momentAt(calendar, t))
    forecaster.push(load.smooth[t] ?? 0, 0, false)
    if (t < LEARN_END) continue
    const outlook = outlooks.update(state, trees, () => forecaster.foretold())
    chance[t] = outlook?.chance ?? 0
    warning[t] = outlook?.warning ?? 0
  }
  return { chance, warning }
}

export function stateOf(subject: Subject): OverloadState {
  return new OverloadState({ day: DAY, capacity: subject.capacity, unit: unitOf(subject) })
}

export function momentAt(calendar: Calendar, t: number): Moment {
  const timeMs = VM_START_MS + t * STEP_MS
  const { minuteOfDay, dayOfWeek } = calendar.localTime(timeMs)
  return {
    stepOfDay: Math.floor(minuteOfDay / STEP_MINUTES),
    dayOfWeek,
    offset: calendar.offsetMinutes(timeMs) / STEP_MINUTES,
    patternNow: 0,
    patternNext: 0
  }
}

function countQuiet(subject: Subject): number {
  let count = 0
  for (let t = LEARN_FROM; t < LEARN_END; t++) count += subject.quiet[t] ?? 0
  return count
}
