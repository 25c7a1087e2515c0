/**
 * Part 1 of the forecasting bench: M4 hourly, 48 steps ahead. sMAPE and MASE (season 24) as the
 * competition defines them, OWA against Naive2 of its official sheet. The milliseconds are CPU time
 * of one series from its first value to its forecast, without the LSTM.
 */
import { mean, quantileSorted } from 'simple-statistics'
import { Forecaster } from '../../protocols/forecast/forecaster.ts'
import type { LstmWeights } from '../../protocols/forecast/lstm.ts'
import type { ModelName } from '../../protocols/forecast/model.ts'
import { ln1p } from '../../protocols/forecast/numeric.ts'
import { type M4Series, readM4Hourly } from './forecast-data.ts'
import { cpuMs, type Section, trainLstm } from './forecast-report.ts'
import { round } from './report.ts'

const SEASON = 24
const HORIZON = 48
const NAIVE2 = { smape: 18.383, mase: 2.395 }
const MODELS: readonly ModelName[] = [
  'last value',
  'seasonal naive',
  'weekly naive',
  'weekly profile',
  'smoothing',
  'regression',
  'arima',
  'lstm'
]
const QUICK_SERIES = 60
const WARM_UP = 5

interface Score {
  readonly smape: number
  readonly mase: number
}

export function benchM4(directory: string, quick: boolean, seed: number): Section {
  const all = readM4Hourly(directory)
  const series = quick ? all.filter((_, i) => i % Math.ceil(all.length / QUICK_SERIES) === 0) : all
  const weights = trainLstm(
    series.map(({ train }) => Float32Array.from(train, ln1p)),
    { day: SEASON, seed, quick }
  )
  const scores = new Map<string, Score[]>()
  const times: number[] = []
  for (const one of series.slice(0, WARM_UP)) forecastOf(one, undefined)
  for (const one of series) {
    const started = cpuMs()
    const { path } = forecastOf(one, undefined)
    times.push(cpuMs() - started)
    add(scores, 'final', scoreOf(one, path))
    const withLstm = forecastOf(one, weights)
    add(scores, 'final with lstm', scoreOf(one, withLstm.path))
    for (const model of MODELS) {
      withLstm.forecaster.pathOf(model, path)
      add(scores, model, scoreOf(one, path))
    }
  }
  return report(scores, times, series.length)
}

function forecastOf(
  { train }: M4Series,
  weights: LstmWeights | undefined
): { forecaster: Forecaster; path: Float64Array } {
  const forecaster = new Forecaster({ day: SEASON, horizon: HORIZON })
  if (weights !== undefined) forecaster.adopt(weights)
  forecaster.replay(train)
  const path = new Float64Array(HORIZON)
  forecaster.path(path)
  return { forecaster, path }
}

export function scoreOf({ train, test }: Omit<M4Series, 'id'>, path: Float64Array): Score {
  let seasonal = 0
  for (let t = SEASON; t < train.length; t++) {
    seasonal += Math.abs((train[t] ?? 0) - (train[t - SEASON] ?? 0))
  }
  const scale = seasonal / (train.length - SEASON)
  let smape = 0
  let error = 0
  test.forEach((actual, i) => {
    const foretold = path[i] ?? 0
    const size = Math.abs(foretold) + Math.abs(actual)
    const missed = Math.abs(foretold - actual)
    smape += size === 0 ? 0 : (200 * missed) / size
    error += missed
  })
  return { smape: smape / test.length, mase: error / test.length / scale }
}

function add(scores: Map<string, Score[]>, name: string, score: Score): void {
  const known = scores.get(name)
  if (known === undefined) scores.set(name, [score])
  else known.push(score)
}

function report(scores: ReadonlyMap<string, Score[]>, times: number[], count: number): Section {
  const rows = [...scores].map(([model, all]) => {
    const smape = mean(all.map(score => score.smape))
    const mase = mean(all.map(score => score.mase))
    const owa = (smape / NAIVE2.smape + mase / NAIVE2.mase) / 2
    return { model, smape: round(smape, 2), mase: round(mase, 3), owa: round(owa, 4) }
  })
  const owaOf = (name: string): number =>
    rows.find(({ model }) => model === name)?.owa ?? Number.NaN
  times.sort((a, b) => a - b)
  const p95 = round(quantileSorted(times, 0.95), 2)
  const naive = owaOf('seasonal naive')
  return {
    title: `M4 hourly, ${count} series, 48 steps`,
    rows: rows.sort((a, b) => a.owa - b.owa),
    notes: [
      `ms of CPU per series, final without lstm: median ${round(quantileSorted(times, 0.5), 2)}, p95 ${p95}`
    ],
    bars: [
      { name: 'm4 final OWA', value: owaOf('final'), most: 0.42 },
      { name: 'm4 p95 ms per series', value: p95, most: 5 },
      { name: 'm4 arima OWA / seasonal naive', value: round(owaOf('arima') / naive, 3), below: 1 },
      { name: 'm4 lstm OWA / seasonal naive', value: round(owaOf('lstm') / naive, 3), below: 1 }
    ]
  }
}
