/**
 * `npm run bench -- balance-scale [--quick] [--seed N] [--json FILE]`: meshes of 3 to 1,000 nodes that
 * balance themselves, in one process each, under simulated time and network: the shipped policy and
 * the shipped negotiation on every node. Loads are made (test/sim/balance/made-load.ts); forecasts are
 * a seasonal mean with the band of its errors, since the real forecaster is too slow for thousands of
 * volumes; gossip is as old as load-gossip makes it. Reactive: the same policy, with a forecast that
 * nothing changes. Bar: messages and CPU time of a node do not grow from 100 to 1,000 nodes by more
 * than 1.25; every invariant of test/sim/balance/checks.ts holds at every size.
 */
import { plot } from '../../cli/plot.ts'
import { GiB } from '../../protocols/limits.ts'
import type { BalanceOptions } from '../sim/balance/run.ts'
import { STEP_MS } from '../sim/balance/settings.ts'
import { type BalanceRun, runAll } from './balance-runs.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const SIZES = [1_000, 100, 12, 3] as const
const QUICK_SIZES = [100, 12, 3] as const
const MODES = ['predicted', 'reactive', 'none'] as const
/** Days of a run, and how many of them only teach. */
const DAYS = 2
const TAUGHT = 1
const REPEATING_DAYS = 6
const LARGE_REPEATING_DAYS = 4
const LARGE = 1_000
const CONSTANT_DAYS = 2
const MOST_GROWTH = 1.25
const PLOT = { width: 96, height: 9 }

const HEAD = [
  'nodes',
  'balancing',
  'overloaded %',
  'overload',
  'max/median',
  'moves',
  'GiB moved',
  'messages',
  'CPU ms'
]

type Row = Record<string, number | string>

export async function benchBalanceScale(options: BenchOptions): Promise<BenchResult> {
  const sizes = options.quick ? QUICK_SIZES : SIZES
  const plans = [...sizes.flatMap(nodes => plansOf(nodes, options.seed))]
  const runs = await runAll(plans, tell)
  const daily = runs.filter(run => run.options.load === 'daily').reverse()
  const rows = daily.map(run => rowOf(run, daily))
  console.log(
    '\nOf a node and a day: time over capacity, overload (capacities x hours), moves, GiB, ...'
  )
  printTable(
    HEAD,
    rows.map(row => HEAD.map(name => String(row[name] ?? '')))
  )
  const steady = runs.filter(run => run.options.load !== 'daily').reverse()
  console.log('\nMoves of each day, where every day is the same')
  const steadyRows = steady.map(steadyRowOf)
  printTable(
    ['nodes', 'load', 'moves by day'],
    steadyRows.map(row => Object.values(row).map(String))
  )
  for (const line of pictures(daily, sizes[0])) console.log(line)
  const ratios = ratiosOf(daily)
  const broken = runs.flatMap(({ result }) => result.broken)
  const isMet = report(ratios, broken, runs)
  if (!isMet) process.exitCode = 1
  const summary = { broken, isMet, days: DAYS, taught: TAUGHT }
  const versions = await versionsOf([])
  return { rows: [...rows, ...steadyRows], ratios, summary, seed: options.seed, versions }
}

function plansOf(nodes: number, seed: number): BalanceOptions[] {
  const repeating = nodes >= LARGE ? LARGE_REPEATING_DAYS : REPEATING_DAYS
  const usual = { nodes, seed, judgedFrom: TAUGHT, mode: 'predicted' } as const
  return [
    ...MODES.map((mode): BalanceOptions => ({ ...usual, days: DAYS, load: 'daily', mode })),
    { ...usual, days: repeating, load: 'repeating' },
    { ...usual, days: CONSTANT_DAYS, load: 'constant' }
  ]
}

function tell({ options: { nodes, load, mode, days }, result }: BalanceRun): void {
  const seconds = round(result.cpuMs / 1000, 1)
  console.error(`${nodes} nodes, ${load}, ${mode}: ${days} days, ${seconds} s of CPU`)
}

function rowOf({ options, result }: BalanceRun, all: readonly BalanceRun[]): Row {
  const { figures } = result
  const nodeDays = options.nodes * figures.days
  return {
    nodes: options.nodes,
    balancing: options.mode,
    'overloaded %': round(100 * figures.overloaded, 3),
    overload: round(figures.volume, 4),
    'max/median': round(figures.maxToMedian, 2),
    moves: round(figures.moves / nodeDays, 2),
    'GiB moved': round(figures.bytes / GiB / nodeDays, 1),
    messages: round(figures.messages / nodeDays, 1),
    'CPU ms': round(ownCpuMs(result.cpuMs, options.nodes, all) / nodeDays, 1)
  }
}

/** Without what the simulation itself takes. */
function ownCpuMs(cpuMs: number, nodes: number, all: readonly BalanceRun[]): number {
  const none = all.find(run => run.options.nodes === nodes && run.options.mode === 'none')
  return Math.max(0, cpuMs - (none?.result.cpuMs ?? 0))
}

function steadyRowOf({ options, result }: BalanceRun): Row {
  const { nodes, load } = options
  return { nodes, load, 'moves by day': result.figures.movesByDay.join(' ') }
}

/** 1,000 nodes against 100. */
function ratiosOf(daily: readonly BalanceRun[]): Record<string, number> {
  const at = (nodes: number): BalanceRun | undefined =>
    daily.find(run => run.options.nodes === nodes && run.options.mode === 'predicted')
  const [small, large] = [at(100), at(LARGE)]
  if (small === undefined || large === undefined) return {}
  const messages = (run: BalanceRun): number => run.result.figures.messages / run.options.nodes
  const cpu = (run: BalanceRun): number =>
    ownCpuMs(run.result.cpuMs, run.options.nodes, daily) / run.options.nodes
  return {
    'messages 1000/100': round(messages(large) / messages(small), 3),
    'CPU 1000/100': round(cpu(large) / cpu(small), 3)
  }
}

function pictures(daily: readonly BalanceRun[], nodes: number): string[] {
  const of = daily.filter(run => run.options.nodes === nodes)
  const most = Math.max(...of.flatMap(({ result }) => result.figures.course))
  return of.flatMap(({ options, result }) => [
    `\n${nodes} nodes, balancing ${options.mode}: % of them over capacity`,
    ...drawn(result.figures.course, most)
  ])
}

function drawn(course: readonly number[], most: number): string[] {
  return plot({
    ...PLOT,
    ascii: false,
    nowMs: (course.length + TAUGHT * 288) * STEP_MS,
    history: { stepMs: STEP_MS, values: course.map(part => 100 * part) },
    ahead: { stepMs: STEP_MS, q50: [], q90: [], q95: [] },
    threshold: 100 * most,
    offsetMinutes: () => 0,
    label: value => `${round(value, 1)}`
  })
}

function report(
  ratios: Record<string, number>,
  broken: readonly string[],
  runs: readonly BalanceRun[]
): boolean {
  const compared = runs.reduce((sum, { result }) => sum + result.compared, 0)
  console.log('')
  for (const [name, ratio] of Object.entries(ratios)) {
    const isMet = ratio <= MOST_GROWTH
    console.log(`${isMet ? 'met' : 'MISSED'}: ${name} is ${ratio}, at most ${MOST_GROWTH}`)
  }
  for (const what of broken) console.log(`BROKEN: ${what}`)
  if (broken.length === 0) {
    console.log(`met: all invariants, in ${runs.length} runs; ${compared} awards were compared`)
  }
  return broken.length === 0 && Object.values(ratios).every(ratio => ratio <= MOST_GROWTH)
}
