/**
 * Part 4 of the forecasting bench, first half: no harm on NAB CloudWatch. After 7 days of learning
 * every step is an origin; the error 12 steps ahead against that of the last value.
 */
import { geometricMean } from 'simple-statistics'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import type { ModelName } from '../../protocols/forecast/model.ts'
import { DAY, type NabSeries, readNab } from './forecast-data.ts'
import type { Section } from './forecast-report.ts'
import { round } from './report.ts'

const HORIZON = 12
const LEARN = 7 * DAY
const MODELS: readonly ModelName[] = [
  'seasonal naive',
  'level of 30 min',
  'level of 1 h',
  'level of 2 h',
  'level of 3 h',
  'level of 6 h',
  'smoothing',
  'regression',
  'arima'
]

export function benchNab(directory: string): Section {
  const all = readNab(directory)
  const long = all.filter(({ values }) => values.length > LEARN + HORIZON)
  const left = all.filter(series => !long.includes(series)).map(({ name }) => name)
  const ratios = new Map<string, number[]>(['final', ...MODELS].map(name => [name, []]))
  const worst: Array<{ name: string; ratio: number }> = []
  for (const series of long) {
    const errors = errorsOf(series)
    const last = errors.get('last value') ?? 0
    for (const [name, list] of ratios) list.push((errors.get(name) ?? 0) / last)
    worst.push({ name: series.name, ratio: (errors.get('final') ?? 0) / last })
  }
  const rows = [...ratios].map(([model, list]) => ({
    model,
    'MAE / last value': round(geometricMean(list), 4)
  }))
  worst.sort((a, b) => b.ratio - a.ratio)
  const value = rows[0]?.['MAE / last value'] ?? Number.NaN
  return {
    title: `NAB CloudWatch, ${long.length} series, 12 steps of 5 min ahead, geometric mean`,
    rows,
    notes: [
      `left out, too short: ${left.join(', ') || 'none'}`,
      `worst: ${worst
        .slice(0, 3)
        .map(({ name, ratio }) => `${name} ${round(ratio, 2)}`)
        .join(', ')}`
    ],
    bars: [{ name: 'nab MAE / last value', value, most: 0.75 }]
  }
}

function errorsOf({ values }: NabSeries): Map<string, number> {
  const forecaster = new Forecaster({ day: DAY, horizon: HORIZON })
  const path = new Float64Array(HORIZON)
  const errors = new Map<string, number>()
  const add = (name: string, foretold: number, actual: number): void => {
    errors.set(name, (errors.get(name) ?? 0) + Math.abs(foretold - actual))
  }
  for (let t = 0; t + HORIZON < values.length; t++) {
    forecaster.push(Math.max(0, values[t] ?? 0))
    if (t < LEARN) continue
    const actual = values[t + HORIZON] ?? 0
    forecaster.path(path)
    add('final', path[HORIZON - 1] ?? 0, actual)
    add('last value', values[t] ?? 0, actual)
    for (const model of MODELS) {
      forecaster.pathOf(model, path)
      add(model, path[HORIZON - 1] ?? 0, actual)
    }
  }
  return errors
}
