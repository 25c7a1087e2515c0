/**
 * `npm run bench -- forecast --data DIR [--json FILE] [--quick]`: what the forecasting models are
 * worth on real load, by model and for the final choice, with the bars of the project.
 *
 * One setting for all sets. Settings were chosen on weeks 1 to 6, on the training parts of M4 and on
 * the first week of NAB; the test parts only measure. Everything is a function of the data and of
 * --seed, but the times.
 */
import { ln1p } from '../../protocols/forecast/numeric.ts'
import { ShardForecast } from '../../protocols/forecast/shard-forecast.ts'
import type { Trees } from '../../protocols/forecast/trees.ts'
import {
  DAY,
  nodesOf,
  readActiveVms,
  STEP_MINUTES,
  VM_START_MS,
  VM_ZONE,
  WEEK
} from './forecast-data.ts'
import {
  calibrationSection,
  type Loads,
  loadsOf,
  noHarmSection,
  scoresOf,
  warningSection
} from './forecast-loads.ts'
import { longSection } from './forecast-long.ts'
import { benchM4 } from './forecast-m4.ts'
import { benchNab } from './forecast-nab.ts'
import {
  cpuMs,
  holds,
  printBars,
  printSection,
  type Section,
  trainLstm
} from './forecast-report.ts'
import { learnTrees } from './forecast-warning.ts'
import type { BenchOptions, BenchResult } from './report.ts'
import { round, versionsOf } from './report.ts'

const QUICK_VMS = 12
const COST_DAYS = 35

export async function benchForecast(options: BenchOptions): Promise<BenchResult> {
  const { data, quick, seed } = options
  if (data === undefined) {
    throw new Error('bench forecast needs --data DIR or SHOAL_DATA: the folder of real load data')
  }
  const sections: Section[] = []
  const show = (section: Section): void => {
    printSection(section)
    sections.push(section)
  }
  show(benchM4(data, quick, seed))
  const active = readActiveVms(data)
  const vms = loadsOf('VMs', quick ? active.slice(0, QUICK_VMS) : active)
  const nodes = loadsOf('nodes', nodesOf(active))
  const weights = trainLstm(
    vms.loads.map(({ smooth }) => Float32Array.from(smooth.subarray(0, 4 * WEEK), ln1p)),
    { day: DAY, seed, quick }
  )
  const scores = scoresOf(vms, weights, seed)
  show(warningSection(vms, scores, 0.66))
  if (!quick) show(warningSection(nodes, scoresOf(nodes, weights, seed), 0.65))
  show(calibrationSection(vms))
  show(benchNab(data))
  show(noHarmSection(vms, scores))
  show(longSection(vms))
  show(costSection(vms, learnTrees(vms.loads, vms.subjects, seed)))
  const bars = sections.flatMap(section => section.bars)
  printBars(bars)
  if (quick)
    console.log('--quick: a part of the data and of the training; the bars are for the whole')
  return {
    rows: sections.flatMap(({ title, rows }) => rows.map(row => ({ table: title, ...row }))),
    ratios: Object.fromEntries(bars.map(({ name, value }) => [name, value])),
    summary: {
      quick,
      held: bars.filter(holds).length,
      bars: bars.map(bar => ({ ...bar, pass: holds(bar) }))
    },
    seed,
    versions: await versionsOf([])
  }
}

/** CPU of keeping and forecasting a shard as the daemon would: every model, bands and warning. */
function costSection({ loads, subjects }: Loads, trees: Trees): Section {
  const load = loads[0]
  const subject = subjects[0]
  if (load === undefined || subject === undefined) throw new Error('no load to measure with')
  const before = process.memoryUsage()
  const shard = new ShardForecast({
    stepMs: STEP_MINUTES * 60_000,
    horizonsMinutes: [15, 60],
    zone: VM_ZONE,
    capacity: subject.capacity,
    patterns: []
  })
  shard.adopt(trees, undefined)
  const after = process.memoryUsage()
  const times: number[] = []
  let from = 0
  for (let t = 0; t < COST_DAYS * DAY; t++) {
    if (t === (COST_DAYS - 7) * DAY) from = cpuMs()
    const started = cpuMs()
    shard.sample(VM_START_MS + t * STEP_MINUTES * 60_000, load.raw[t])
    times.push(cpuMs() - started)
  }
  const perStep = ((cpuMs() - from) * 1000) / (7 * DAY)
  const perMinute = round(perStep / STEP_MINUTES, 2)
  const slow = round(times.sort((a, b) => a - b)[Math.floor(times.length * 0.999)] ?? 0, 3)
  const held = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed
  return {
    title: 'Cost of one shard, all models but the LSTM, bands and warning',
    rows: [
      {
        'us CPU per 5-min step': round(perStep, 1),
        'us per 1-min step': perMinute,
        'p99.9 of a step, ms CPU': slow,
        'KiB held': Math.round(held / 1024)
      }
    ],
    notes: [],
    bars: [
      { name: 'us CPU per shard and 1-min step', value: perMinute, most: 50 },
      { name: 'p99.9 of one step, ms CPU', value: slow, most: 10 }
    ]
  }
}
