/**
 * `npm run bench -- peak [--quick] [--json FILE] [--seed N]`: what it is worth to see a peak coming.
 * Real daemons, real I/O: a volume on one of three nodes, each of which serves at most so many units
 * a second, and an application whose afternoon needs a quarter more. One day after the other, at a
 * clock of load that makes a day of 27 s, in each of three modes:
 *
 *   predictive   as shipped        reactive   moves only what is overloaded now        off   never
 *
 * All modes have the same days (by the seed), and every day begins with all of the volume on the same
 * node: `shoal move` brings it back in the night, or a day would be another experiment than the one
 * before it. The night after the peak is longer than the six hours in which no chunk returns to a
 * node that it left. The peak is the time in which all of the load on one node would be above its
 * threshold. The first two days are for learning: they are shown, and count for nothing.
 */
import { median } from 'simple-statistics'
import { bringHome } from '../../cli/day-home.ts'
import { DAY_MS } from '../../cli/day-pattern.ts'
import { type DayResult, reached, runDay } from '../../cli/day-run.ts'
import { THRESHOLD_PART } from '../../cli/day-setting.ts'
import { type DayEvent, DayWatch } from '../../cli/day-watch.ts'
import type { ReceiptDocument } from '../../node/control/balance-documents.ts'
import { startDayMesh, VOLUME } from '../support/day-mesh.ts'
import { type Bar, holds, printBars } from './forecast-report.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const MODES = ['predictive', 'reactive', 'off'] as const
type Mode = (typeof MODES)[number]

const RATE = 3200
const MAX_LOAD = 800
const PEAK = 1000
const THRESHOLD = THRESHOLD_PART * MAX_LOAD
const DAYS = 12
const QUICK_DAYS = 4
const LEARNING_DAYS = 2
/** Of the load clock: when a day ends, and what moved goes home. */
const EVENING_MS = 21.5 * 3_600_000
/** Before the first midnight. */
const STARTS_AT_MS = 22 * 3_600_000
/** What takes a second of time takes 53 minutes of this clock: nodes look further ahead than by default. */
const HORIZON_MINUTES = 240
const MINUTE_MS = 60_000
const BOUND_MS = 20 * 60_000
/** Of the days that count, those in which the predicted move was done before the peak. */
const BAR_DONE = 0.9

interface Day extends DayResult {
  readonly mode: Mode
  readonly number: number
  /** Load minutes from the beginning of the peak, negative before it; NaN: nothing moved. */
  readonly beganMinutes: number
  readonly endedMinutes: number
  readonly moves: number
  readonly reasons: string
}

export async function benchPeak(options: BenchOptions): Promise<BenchResult> {
  const startedMs = performance.now()
  const count = options.quick ? QUICK_DAYS : DAYS
  const days: Day[] = []
  for (const mode of MODES) days.push(...(await daysOf(mode, count, options.seed, startedMs)))
  const seconds = (performance.now() - startedMs) / 1000
  return report(days, seconds, options, await versionsOf([]))
}

async function daysOf(mode: Mode, count: number, seed: number, startedMs: number): Promise<Day[]> {
  const words = ['--balance', mode]
  const setting = { rate: RATE, maxLoad: MAX_LOAD, peak: PEAK, seed }
  const wish = { ...setting, pastDays: 0, startsAtMs: STARTS_AT_MS, words }
  const running = await startDayMesh(wish)
  const { mesh, api, vm, clock, pattern, midnightMs, home, close } = running
  const days: Day[] = []
  try {
    await api.post('/v1/balance', { horizonMinutes: HORIZON_MINUTES })
    for (let number = 1; number <= count; number++) {
      if (performance.now() - startedMs > BOUND_MS) throw new Error('the bench is too slow: 20 min')
      const startMs = midnightMs + number * DAY_MS
      await reached(clock, startMs)
      const ended: ReceiptDocument[] = []
      const watch = new DayWatch(api, startMs, event => note(event, ended))
      const loadAt = (timeMs: number) => pattern.loadAt(timeMs)
      const day = { startMs, endMs: startMs + EVENING_MS, client: vm, watch, clock, loadAt }
      const result = await runDay({ ...day, threshold: THRESHOLD })
      days.push({ ...result, ...movesOf(ended, result.peak.fromMs), mode, number })
      console.error(said(days.at(-1)))
      await bringHome(api, VOLUME, home)
    }
    await vm.stop()
    const wrong = await vm.check()
    if (wrong > 0) throw new Error(`${wrong} blocks are not as they were written last`)
    return days
  } catch (error) {
    mesh.report()
    throw error
  } finally {
    await close()
  }
}

function note(event: DayEvent, ended: ReceiptDocument[]): void {
  if (event.is === 'ended' && event.receipt.state === 'done') ended.push(event.receipt)
}

/** Those before the peak was over; what begins later is of the night. */
function movesOf(
  all: readonly ReceiptDocument[],
  peakMs: number
): Pick<Day, 'beganMinutes' | 'endedMinutes' | 'moves' | 'reasons'> {
  const moves = all.filter(({ reason }) => reason === 'predicted' || reason === 'reactive')
  const minutes = (atMs: number): number => (atMs - peakMs) / MINUTE_MS
  if (moves.length === 0) {
    return { beganMinutes: Number.NaN, endedMinutes: Number.NaN, moves: 0, reasons: '' }
  }
  const began = Math.min(...moves.map(({ startedAt, decidedAt }) => startedAt ?? decidedAt))
  // Of those that began before the peak all must be done before it; else it is the first one.
  const before = moves.filter(({ decidedAt }) => decidedAt < peakMs)
  const counted = before.length > 0 ? before : moves.slice(0, 1)
  const ended = Math.max(...counted.map(({ endedAt }) => endedAt ?? Number.POSITIVE_INFINITY))
  const reasons = [...new Set(moves.map(({ reason }) => reason))].join(', ')
  const found = { beganMinutes: minutes(began), endedMinutes: minutes(ended) }
  return { ...found, moves: moves.length, reasons }
}

function said(day: Day | undefined): string {
  if (day === undefined) return ''
  const { mode, number, peakP99, restP99, overMs, moves, beganMinutes, endedMinutes } = day
  const moved = moves === 0 ? 'nothing moved' : `${moves} moves (${day.reasons})`
  const when = moves === 0 ? '' : ` from ${round(beganMinutes, 0)} to ${round(endedMinutes, 0)} min`
  return (
    `${mode} day ${number}: p99 in the peak ${round(peakP99, 1)} ms, else ${round(restP99, 1)} ms, ` +
    `overloaded ${round(overMs / MINUTE_MS, 0)} min, ${moved}${when}`
  )
}

function report(
  days: readonly Day[],
  seconds: number,
  { seed, quick }: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const counted = days.filter(({ number }) => number > LEARNING_DAYS)
  const of = (mode: Mode, value: (day: Day) => number): number => {
    const values = counted
      .filter(day => day.mode === mode)
      .map(value)
      .filter(Number.isFinite)
    return values.length === 0 ? Number.NaN : median(values)
  }
  const rows = MODES.map(mode => ({
    mode,
    p99InPeakMs: round(
      of(mode, day => day.peakP99),
      1
    ),
    p99ElseMs: round(
      of(mode, day => day.restP99),
      1
    ),
    overMinutes: round(
      of(mode, day => day.overMs / MINUTE_MS),
      0
    ),
    beganMinutes: round(
      of(mode, day => day.beganMinutes),
      0
    ),
    endedMinutes: round(
      of(mode, day => day.endedMinutes),
      0
    )
  }))
  const predicted = counted.filter(({ mode }) => mode === 'predictive')
  const done = predicted.filter(day => day.reasons.includes('predicted') && day.endedMinutes <= 0)
  const bars: Bar[] = [
    {
      name: 'days in which the predicted move was done before the peak',
      value: round(done.length / Math.max(1, predicted.length), 2),
      least: BAR_DONE
    }
  ]
  console.log(
    `\nmedians of ${predicted.length} days after the first ${LEARNING_DAYS}, each ${round(DAY_MS / RATE / 1000, 0)} s ` +
      `long; minutes are of load time, and moves are told from the beginning of the peak`
  )
  printTable(
    ['', 'p99 in peak ms', 'p99 else ms', 'overloaded min', 'move began', 'move ended'],
    rows.map(row => Object.values(row).map(String))
  )
  printBars(bars)
  const ratio = (mode: Mode, value: (day: Day) => number): number =>
    round(of(mode, value) / of('off', value), 3)
  const ratios = Object.fromEntries(
    (['predictive', 'reactive'] as const).flatMap(mode => [
      [`${mode}: p99 in the peak against no balancing`, ratio(mode, day => day.peakP99)],
      [`${mode}: time overloaded against no balancing`, ratio(mode, day => day.overMs)]
    ])
  )
  for (const [name, value] of Object.entries(ratios)) console.log(`${name}: ${value}`)
  const missed = bars.filter(bar => !holds(bar)).map(({ name }) => name)
  const setting = {
    ...{ rate: RATE, maxLoad: MAX_LOAD, peak: PEAK, threshold: THRESHOLD },
    horizonMinutes: HORIZON_MINUTES
  }
  const summary = { ...setting, medians: rows, missed, seconds: round(seconds, 0), quick }
  return { rows: days.map(day => ({ ...day })), ratios, summary, seed, versions }
}
