/** Made load for the forecasting tests: a day with noise, and a job every night at 02:00 local. */
import { Calendar } from '../../protocols/forecast/calendar.ts'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import type { LstmWeights } from '../../protocols/forecast/lstm.ts'
import { LstmTrainer } from '../../protocols/forecast/lstm-trainer.ts'
import { ln1p } from '../../protocols/forecast/numeric.ts'
import { FEATURES, type Moment, OverloadState } from '../../protocols/forecast/overload-state.ts'
import { Random } from '../../protocols/forecast/random.ts'
import { TrailingMean } from '../../protocols/forecast/samples.ts'
import { TrainingSet } from '../../protocols/forecast/training-set.ts'
import { TREE_OPTIONS, TreeTrainer } from '../../protocols/forecast/tree-trainer.ts'
import type { Trees } from '../../protocols/forecast/trees.ts'

export const STEP_MS = 300_000
/** 2024-07-01 00:00 in Berlin. */
export const START_MS = Date.UTC(2024, 5, 30, 22)
const DAY = 288
const JOB = 24
const HOUR = 12

/** Steps from midnight local time: ordinary load under 300, the job at 900. */
export function nightly(seed: number): (t: number) => number {
  const random = new Random(seed)
  return t => {
    const step = t % DAY
    const ordinary = 100 + 100 * Math.abs(1 - (2 * step) / DAY) + 20 * Math.abs(random.normal())
    return step >= JOB && step < JOB + 8 ? 900 : ordinary
  }
}

/** Trees that learned from five shards like that, of which two have no job. */
export function learnedTrees(): Trees {
  const calendar = new Calendar('Europe/Berlin')
  const set = new TrainingSet(FEATURES.length)
  const row = new Float64Array(FEATURES.length)
  for (const seed of [11, 12, 13, 14, 15]) {
    const state = new OverloadState({ day: DAY, capacity: 600, unit: 1 })
    const load = nightly(seed)
    const forecaster = new Forecaster({ day: DAY, horizon: HOUR })
    const smooth = new TrailingMean(3)
    for (let t = 0; t < 14 * DAY; t++) {
      const step = t % DAY
      const value = load(t)
      const measured = seed > 13 ? Math.min(value, 250) : value
      state.push(measured, momentAt(calendar, t))
      forecaster.push(smooth.take(measured), 0, false)
      if (t < 3 * DAY || !state.quiet || t % 4 !== seed % 4) continue
      state.features(forecaster.foretold(), row)
      set.add(row, seed <= 13 && step >= JOB + 1 - HOUR && step <= JOB)
    }
  }
  const trainer = new TreeTrainer(set, {
    ...TREE_OPTIONS,
    trees: 40,
    rate: 0.2,
    leastRows: 20,
    seed: 1
  })
  while (!trainer.done) trainer.slice()
  return trainer.trees
}

/** A small network that learned a little of two such shards. */
export function learnedNetwork(): LstmWeights {
  const series = [21, 22].map(seed => {
    const load = nightly(seed)
    return Float32Array.from({ length: 8 * DAY }, (_, t) => ln1p(load(t)))
  })
  const trainer = new LstmTrainer({ series, day: DAY, cells: 6, seed: 1, slices: 30 })
  while (!trainer.done) trainer.slice()
  return trainer.weights
}

function momentAt(calendar: Calendar, t: number): Moment {
  const timeMs = START_MS + t * STEP_MS
  const { minuteOfDay, dayOfWeek } = calendar.localTime(timeMs)
  const offset = calendar.offsetMinutes(timeMs) / 5
  return { stepOfDay: minuteOfDay / 5, dayOfWeek, offset, patternNow: 0, patternNext: 0 }
}
