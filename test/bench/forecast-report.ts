/** What the parts of the forecasting bench share: sections with bars, training, CPU time. */
import type { LstmWeights } from '../../protocols/forecast/lstm.ts'
import { LstmTrainer } from '../../protocols/forecast/lstm-trainer.ts'
import { printTable } from './report.ts'

export interface Bar {
  readonly name: string
  readonly value: number
  readonly least?: number
  readonly most?: number
  /** Must be strictly below. */
  readonly below?: number
}

export type Row = Readonly<Record<string, string | number>>

export interface Section {
  readonly title: string
  readonly rows: readonly Row[]
  readonly notes: readonly string[]
  readonly bars: readonly Bar[]
}

const LSTM_CELLS = 16
const LSTM_SLICES = 1500
const QUICK_SLICES = 200

export function trainLstm(
  series: readonly Float32Array[],
  options: { readonly day: number; readonly seed: number; readonly quick: boolean }
): LstmWeights {
  const { day, seed, quick } = options
  const slices = quick ? QUICK_SLICES : LSTM_SLICES
  const trainer = new LstmTrainer({ series, day, seed, cells: LSTM_CELLS, slices })
  while (!trainer.done) trainer.slice()
  return trainer.weights
}

/** CPU time of this process so far. Other programs on the machine do not add to it. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}

export function holds({ value, least, most, below }: Bar): boolean {
  return (
    !Number.isNaN(value) &&
    (least === undefined || value >= least) &&
    (most === undefined || value <= most) &&
    (below === undefined || value < below)
  )
}

export function printSection({ title, rows, notes }: Section): void {
  console.log(`\n${title}`)
  const head = Object.keys(rows[0] ?? {})
  printTable(
    head,
    rows.map(row => head.map(name => String(row[name] ?? '')))
  )
  for (const note of notes) console.log(note)
}

export function printBars(bars: readonly Bar[]): void {
  console.log('\nBars')
  printTable(
    ['bar', 'value', 'wanted', ''],
    bars.map(bar => [bar.name, String(bar.value), wantedOf(bar), holds(bar) ? 'pass' : 'MISS'])
  )
}

function wantedOf({ least, most, below }: Bar): string {
  const parts = [
    least === undefined ? '' : `>= ${least}`,
    most === undefined ? '' : `<= ${most}`,
    below === undefined ? '' : `< ${below}`
  ]
  return parts.filter(part => part !== '').join(' ')
}
