/**
 * Parts 2 to 4 of the forecasting bench on the loads of the VMs and of the twelve nodes: warnings
 * by model, calibration of quantiles, and no harm where there is no daily pattern.
 */
import { mean, sampleCorrelation } from 'simple-statistics'
import { QuantileBand } from '../../protocols/forecast/conformal.ts'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import type { LstmWeights } from '../../protocols/forecast/lstm.ts'
import type { ModelName } from '../../protocols/forecast/model.ts'
import { ln1p, round6 } from '../../protocols/forecast/numeric.ts'
import { DAY, type Load, WEEK } from './forecast-data.ts'
import { HORIZON, type Subject, subjectOf, TEST_START, Warnings } from './forecast-overload.ts'
import type { Row, Section } from './forecast-report.ts'
import { directScores, learnTrees, reactiveScores, unitOf } from './forecast-warning.ts'
import { round } from './report.ts'

const THRESHOLD_FROM = 4 * WEEK
const PRECISION = 0.8
const MODELS: readonly ModelName[] = [
  'seasonal naive',
  'weekly naive',
  'smoothing',
  'regression',
  'arima',
  'lstm'
]
const LEVELS = [0.9, 0.95]
const AHEAD = [3, 12]
const FLAT = 0.3

export interface Loads {
  readonly title: string
  readonly loads: readonly Load[]
  readonly subjects: readonly Subject[]
}

/** Scores by model, then by subject. */
export type Scores = ReadonlyMap<string, readonly Float64Array[]>

export function loadsOf(title: string, loads: readonly Load[]): Loads {
  return { title, loads, subjects: loads.map(({ name, smooth }) => subjectOf(name, smooth)) }
}

/** What every model says of every step from week 5 on. */
export function scoresOf({ loads, subjects }: Loads, weights: LstmWeights, seed: number): Scores {
  const trees = learnTrees(loads, subjects, seed)
  const scores = new Map<string, Float64Array[]>()
  const add = (name: string, list: Float64Array): void => {
    const known = scores.get(name)
    if (known === undefined) scores.set(name, [list])
    else known.push(list)
  }
  subjects.forEach((subject, index) => {
    const load = loads[index]
    if (load === undefined) return
    add('reactive', reactiveScores(subject))
    for (const [model, list] of pathScores(subject, weights)) add(model, list)
    const { chance, warning } = directScores(load, subject, trees)
    add('direct chance', chance)
    add('final: confirmed warning', warning)
  })
  return scores
}

/** The most of the next hour over capacity, by model, and of their combination. */
function pathScores(subject: Subject, weights: LstmWeights): Map<string, Float64Array> {
  const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
  forecaster.adopt(weights)
  const unit = subject.capacity > 0 ? subject.capacity : unitOf(subject)
  const path = new Float64Array(HORIZON)
  const names = [...MODELS, 'combined path']
  const scores = new Map(names.map(name => [name, new Float64Array(subject.load.length)]))
  subject.load.forEach((load, t) => {
    forecaster.push(load, 0, t >= THRESHOLD_FROM - 2 * DAY)
    if (t < THRESHOLD_FROM || subject.quiet[t] !== 1) return
    for (const model of MODELS) {
      forecaster.pathOf(model, path)
      put(scores.get(model), t, Math.max(...path) / unit)
    }
    forecaster.path(path)
    put(scores.get('combined path'), t, Math.max(...path) / unit)
  })
  return scores
}

export function warningSection({ title, subjects }: Loads, scores: Scores, least: number): Section {
  let final = { ap: Number.NaN, p: Number.NaN, r: Number.NaN, wrong: Number.NaN }
  const rows = [...scores].map(([model, lists]): Row => {
    const early = new Warnings({ subjects, scores: lists, from: THRESHOLD_FROM, to: TEST_START })
    const test = new Warnings({ subjects, scores: lists, from: TEST_START, to: Number.MAX_VALUE })
    const threshold = early.operatingThreshold(PRECISION)
    const { precision, recall, falsePerDay } = test.operating(threshold)
    const ap = test.averagePrecision()
    final = { ap: round(ap, 4), p: precision, r: recall, wrong: falsePerDay }
    return {
      model,
      'AP weeks 5-6': round(early.averagePrecision(), 3),
      AP: round(ap, 3),
      'P %': round(100 * precision, 1),
      'R %': round(100 * recall, 1),
      'false/day': round(falsePerDay, 2)
    }
  })
  const name = title.split(' ')[0] ?? ''
  return {
    title: `Overload warning, ${title}`,
    rows,
    notes: [
      'P, R, false alarms: on the test at the threshold of highest R with P >= 80 % on weeks 5-6'
    ],
    bars: [
      { name: `${name} warning AP`, value: final.ap, least },
      { name: `${name} R % at the operating point`, value: round(100 * final.r, 1), least: 40 },
      { name: `${name} P % at the operating point`, value: round(100 * final.p, 1), least: 80 },
      { name: `${name} false alarms per shard and day`, value: round(final.wrong, 3), most: 0.4 }
    ]
  }
}

/** Pooled AP on VMs whose 30-min load has little daily pattern, against the reactive rule. */
export function noHarmSection({ loads, subjects }: Loads, scores: Scores): Section {
  const flat = loads.map(({ smooth }) => dailyAutocorrelation(smooth) < FLAT)
  const only = <T>(list: readonly T[]): T[] => list.filter((_, i) => flat[i] === true)
  const chosen = only(subjects)
  const rows = [...scores].map(([model, lists]) => {
    const judged = { subjects: chosen, scores: only(lists), from: TEST_START, to: Number.MAX_VALUE }
    return { model, AP: round(new Warnings(judged).averagePrecision(), 4) }
  })
  const reactive = rows[0]?.AP ?? Number.NaN
  const final = rows.at(-1)?.AP ?? Number.NaN
  return {
    title: `No harm: ${chosen.length} VMs with daily autocorrelation under ${FLAT}`,
    rows,
    notes: [],
    bars: [
      {
        name: 'no harm: AP over that of the reactive rule',
        value: round(final - reactive, 4),
        least: 0
      }
    ]
  }
}

export function dailyAutocorrelation(smooth: Float64Array): number {
  const half = DAY / 48
  const values: number[] = []
  for (let t = 0; t + half <= THRESHOLD_FROM; t += half) {
    values.push(ln1p(mean(Array.from(smooth.subarray(t, t + half)))))
  }
  const now = values.slice(48)
  const before = values.slice(0, -48)
  const correlation = sampleCorrelation(now, before)
  return Number.isNaN(correlation) ? 0 : correlation
}

/** Coverage at exactly t+15 and t+60 min, of the 15-min mean and of the single 5-min sample. */
export function calibrationSection({ loads }: Loads): Section {
  const rows: Row[] = []
  const bars: Section['bars'][number][] = []
  for (const kind of ['smooth', 'raw'] as const) {
    const covered = loads.map(load => coverageOf(load[kind]))
    AHEAD.forEach((steps, a) => {
      LEVELS.forEach((level, l) => {
        const shares = covered.map(
          of => of[a * LEVELS.length + l] ?? { share: 0, loss: 0, plain: 0 }
        )
        const pooled = 100 * mean(shares.map(({ share }) => share))
        const name = `q${100 * level} at t+${5 * steps} min`
        const against = shares
          .map(({ loss, plain }) => (loss + 1e-9) / (plain + 1e-9))
          .map(Math.log)
        rows.push({
          load: kind === 'smooth' ? '15-min mean' : '5-min sample',
          quantile: name,
          'covered %': round(pooled, 2),
          'least decile %': round(100 * worstDecile(shares.map(({ share }) => share)), 2),
          'loss / trailing quantile': round(Math.exp(mean(against)), 3)
        })
        const [least, most] = level === 0.9 ? [88, 92] : [93.5, 96.5]
        const of = kind === 'smooth' ? '' : ' (5-min sample)'
        bars.push({ name: `${name}${of} covers %`, value: round(pooled, 2), least, most })
      })
    })
  }
  return {
    title: `Calibration, ${loads.length} VMs, test steps pooled`,
    rows,
    notes: [
      'a load equal to its quantile counts in proportion; loss is pinball loss, geometric mean over VMs,',
      'against the quantile of the last week without a model'
    ],
    bars
  }
}

interface Coverage {
  readonly share: number
  readonly loss: number
  readonly plain: number
}

/** By horizon then level. */
function coverageOf(load: Float64Array): Coverage[] {
  const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
  const path = new Float64Array(HORIZON)
  const tallies = AHEAD.map(steps => new Tally(steps))
  load.forEach((value, t) => {
    const judged = t >= TEST_START - 10 * DAY
    forecaster.push(value, 0, judged)
    for (const tally of tallies) tally.observe(t, value)
    if (!judged) return
    forecaster.path(path)
    for (const tally of tallies) tally.foretell(t, path)
  })
  return tallies.flatMap(tally => tally.coverage())
}

/** Counts of one horizon, for quantiles around the forecast and around nothing. */
class Tally {
  readonly #steps: number
  readonly #band: QuantileBand
  readonly #plain: QuantileBand
  readonly #given: Float64Array[]
  readonly #counts = LEVELS.map(() => ({ steps: 0, below: 0, equal: 0, loss: 0, plain: 0 }))

  constructor(steps: number) {
    this.#steps = steps
    this.#band = new QuantileBand(steps, LEVELS)
    this.#plain = new QuantileBand(steps, LEVELS)
    this.#given = Array.from({ length: steps }, () => new Float64Array(2 * LEVELS.length))
  }

  observe(t: number, value: number): void {
    this.#band.observe(value)
    this.#plain.observe(value)
    const given = this.#given[t % this.#steps]
    if (given === undefined || t - this.#steps < TEST_START) return
    const actual = round6(value)
    LEVELS.forEach((level, l) => {
      const counts = this.#counts[l]
      const quantile = given[l] ?? 0
      if (counts === undefined) return
      counts.steps++
      if (actual < quantile) counts.below++
      if (actual === quantile) counts.equal++
      counts.loss += pinball(level, actual, quantile)
      counts.plain += pinball(level, actual, given[LEVELS.length + l] ?? 0)
    })
  }

  foretell(t: number, path: Float64Array): void {
    const given = this.#given[t % this.#steps]
    if (given === undefined) return
    this.#band.quantiles(path[this.#steps - 1] ?? 0, given.subarray(0, LEVELS.length))
    this.#plain.quantiles(0, given.subarray(LEVELS.length))
  }

  coverage(): Coverage[] {
    return this.#counts.map(({ steps, below, equal, loss, plain }, l) => ({
      share: inProportion(LEVELS[l] ?? 0, below / steps, equal / steps),
      loss: loss / steps,
      plain: plain / steps
    }))
  }
}

/** Ties count as far as they are needed: a shard that stands at its quantile is covered as promised. */
export function inProportion(level: number, below: number, equal: number): number {
  return Math.min(below + equal, Math.max(below, level))
}

/** The mean coverage of the tenth of all VMs that is covered least. */
function worstDecile(shares: readonly number[]): number {
  const ascending = [...shares].sort((a, b) => a - b)
  return mean(ascending.slice(0, Math.max(1, Math.round(shares.length / 10))))
}

function pinball(level: number, actual: number, quantile: number): number {
  return actual > quantile ? level * (actual - quantile) : (1 - level) * (quantile - actual)
}

function put(list: Float64Array | undefined, at: number, value: number): void {
  if (list !== undefined) list[at] = value
}
