/**
 * `npm run bench -- balance --data DIR [--json FILE] [--quick]`: what balancing is worth on real load,
 * by mode, with the bars of the project (docs/balancing.md).
 *
 * Everything is a function of the data and --seed. Constants were chosen on weeks 5 and 6; the rest,
 * which is what is measured, decided nothing. `--quick`: weeks 5 and 6, whole volumes only.
 */
import { type Foreseer, lastValue, perfect, seasonalNaive, shipped } from './balance-forecasts.ts'
import { atRandom, greedy, nothing } from './balance-greedy.ts'
import { LOAD_SCALE, readSetting, readSkew, type Setting } from './balance-setting.ts'
import { shippedPlanner } from './balance-shipped.ts'
import {
  type Outcome,
  type Piece,
  type Planner,
  piecesOf,
  type Span,
  simulate
} from './balance-sim.ts'
import { WEEK } from './forecast-data.ts'
import {
  type Bar,
  holds,
  printBars,
  printSection,
  type Row,
  type Section
} from './forecast-report.ts'
import type { BenchOptions, BenchResult } from './report.ts'
import { round, versionsOf } from './report.ts'

const CHUNKS = 8

type Outcomes = ReadonlyMap<string, Outcome>

export async function benchBalance(options: BenchOptions): Promise<BenchResult> {
  const { data, quick, seed } = options
  if (data === undefined) {
    throw new Error('bench balance needs --data DIR or SHOAL_DATA: the folder of real load data')
  }
  const setting = readSetting(data)
  const span = quick ? { from: 4 * WEEK, to: 6 * WEEK } : { from: 6 * WEEK, to: setting.steps }
  const foresee = shipped(setting, span.from, span.to)
  const whole = measure(setting, piecesOf(setting, [1]), foresee, span, seed)
  const sections = [sectionOf('Whole volumes move', whole, barsOf(whole))]
  if (!quick) {
    const shares = readSkew(data, CHUNKS)
    const chunks = measure(setting, piecesOf(setting, shares), foresee, span, seed)
    const title = `Single chunks move: ${CHUNKS} a volume, shares ${shares.map(x => round(x, 3)).join(' ')}`
    sections.push(sectionOf(title, chunks, []))
  }
  for (const section of sections) printSection(section)
  const bars = sections.flatMap(section => section.bars)
  printBars(bars)
  if (quick)
    console.log('--quick: weeks 5 and 6, on which constants were chosen; the bars are for the rest')
  return {
    rows: sections.flatMap(({ title, rows }) => rows.map(row => ({ table: title, ...row }))),
    ratios: Object.fromEntries(bars.map(({ name, value }) => [name, value])),
    summary: { quick, bars: bars.map(bar => ({ ...bar, pass: holds(bar) })) },
    seed,
    versions: await versionsOf([])
  }
}

function measure(
  setting: Setting,
  pieces: readonly Piece[],
  foresee: Foreseer,
  span: Span,
  seed: number
): Outcomes {
  const modes: ReadonlyArray<readonly [string, Planner]> = [
    ['no moves', nothing],
    ['random', atRandom(seed)],
    ['reactive', greedy(lastValue(setting))],
    ['seasonal naive', greedy(seasonalNaive(setting))],
    ['ours', shippedPlanner(foresee, seed)],
    ['perfect forecast, same policy', shippedPlanner(perfect(setting), seed)],
    ['perfect forecast, greedy', greedy(perfect(setting))]
  ]
  return new Map(modes.map(([name, planner]) => [name, simulate(setting, pieces, planner, span)]))
}

function sectionOf(title: string, outcomes: Outcomes, bars: readonly Bar[]): Section {
  const base = outcomes.get('reactive')
  const rows = [...outcomes].map(([mode, outcome]): Row => {
    const { timePercent, volumePerDay, movesPerDay, unneededPercent, bytesPerDay } = outcome
    return {
      mode,
      'overload time %': round(timePercent, 2),
      'volume/day': round(volumePerDay / LOAD_SCALE, 1),
      'moves/day': round(movesPerDay, 1),
      'unneeded %': round(unneededPercent, 1),
      'GB/day': round(bytesPerDay / 1e9, 0),
      'time / reactive': round(timePercent / (base?.timePercent ?? 1), 3),
      'volume / reactive': round(volumePerDay / (base?.volumePerDay ?? 1), 3)
    }
  })
  const notes = ['volume: load above capacity, in mean loads of a volume times steps']
  return { title, rows, notes, bars }
}

function barsOf(outcomes: Outcomes): Bar[] {
  const ours = outcomes.get('ours')
  const reactive = outcomes.get('reactive')
  const best = outcomes.get('perfect forecast, same policy')
  if (ours === undefined || reactive === undefined || best === undefined) return []
  const time = ours.timePercent / reactive.timePercent
  const half = (1 + best.timePercent / reactive.timePercent) / 2
  return [
    { name: 'overload time %', value: round(ours.timePercent, 2), most: 3.4 },
    { name: 'overload volume a day', value: round(ours.volumePerDay / LOAD_SCALE, 1), most: 50 },
    { name: 'time / reactive', value: round(time, 3), most: 0.7 },
    {
      name: 'volume / reactive',
      value: round(ours.volumePerDay / reactive.volumePerDay, 3),
      most: 0.57
    },
    { name: 'moves / reactive', value: round(ours.movesPerDay / reactive.movesPerDay, 3), most: 1 },
    { name: 'unneeded moves %', value: round(ours.unneededPercent, 1), most: 25 },
    {
      name: 'aim: time / reactive, half way to perfect',
      value: round(time, 3),
      most: round(half, 3)
    }
  ]
}
