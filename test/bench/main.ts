/** `npm run bench -- NAME [--quick] [--json FILE] [--seed N] [--data DIR]`: `BENCHES` has the names. */
import { parseArgs } from 'node:util'
import { messageOf } from '../../protocols/fault.ts'
import { benchBalance } from './balance.ts'
import { benchBalanceScale } from './balance-scale.ts'
import { benchForecast } from './forecast.ts'
import { benchForecastCost } from './forecast-cost.ts'
import { benchIo } from './io.ts'
import { benchLive } from './live.ts'
import { benchLoadGossip } from './load-gossip.ts'
import { benchMonitor } from './monitor.ts'
import { benchMove } from './move.ts'
import { benchPeak } from './peak.ts'
import { type BenchOptions, type BenchResult, writeResult } from './report.ts'
import { benchSeries } from './series.ts'

const BENCHES: Readonly<Record<string, (options: BenchOptions) => Promise<BenchResult>>> = {
  io: benchIo,
  move: benchMove,
  balance: benchBalance,
  forecast: benchForecast,
  'forecast-cost': benchForecastCost,
  'load-gossip': benchLoadGossip,
  'balance-scale': benchBalanceScale,
  live: benchLive,
  monitor: benchMonitor,
  peak: benchPeak,
  series: benchSeries
}
const USAGE = `usage: npm run bench -- ${Object.keys(BENCHES).join('|')} [--quick] [--json FILE] [--seed N] [--data DIR]`

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      seed: { type: 'string', default: '1' },
      data: { type: 'string' }
    }
  })
  const [name = ''] = positionals
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined
  const seed = Number(values.seed)
  if (bench === undefined || positionals.length !== 1) throw new Error(USAGE)
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`--seed: not a whole number`)
  const data = values.data ?? process.env.SHOAL_DATA
  const result = await bench({ quick: values.quick, json: values.json, seed, data })
  writeResult(result, values.json)
} catch (error) {
  console.error(messageOf(error))
  process.exitCode = 1
}
