/**
 * The real loads that `npm run bench -- forecast` reads from `--data DIR`, as its README there
 * defines them. Nothing here is ever committed or cached.
 *
 *   bitbrains-rnd/vmNNN.csv.gz   read_kBps,write_kBps every 5 min, empty line = missing sample
 *   m4-hourly/Hourly-*.csv       id then values, ragged
 *   nab-cloudwatch/*.csv         timestamp,value
 *
 * Invariant: a filled series looks at nothing later than the sample that it fills.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

export const STEP_MINUTES = 5
export const DAY = (24 * 60) / STEP_MINUTES
export const WEEK = 7 * DAY
/** 2013-07-01 00:00 CEST, the first sample of every VM, and where its clocks stand. */
export const VM_START_MS = Date.UTC(2013, 5, 30, 22)
export const VM_ZONE = 'Europe/Amsterdam'
const ACTIVE_KBPS = 50
const NODES = 12

export interface Load {
  readonly name: string
  /** Filled, one value per step. */
  readonly raw: Float64Array
  /** The mean of the last 15 minutes: what "load" means in the overload tables. */
  readonly smooth: Float64Array
}

/** The active VMs by ascending number: `i` of the README is the index here. */
export function readActiveVms(directory: string): Load[] {
  const folder = join(directory, 'bitbrains-rnd')
  const files = readdirSync(folder).filter(name => /^vm\d+\.csv\.gz$/.test(name))
  return files
    .sort((a, b) => numberOf(a) - numberOf(b))
    .map(name => ({ name: name.slice(0, -7), raw: fillGaps(readVm(join(folder, name))) }))
    .filter(({ raw }) => meanOf(raw, raw.length) > ACTIVE_KBPS)
    .map(({ name, raw }) => ({ name, raw, smooth: trailingMean(raw, 3) }))
}

/** Twelve nodes: each the sum of the VMs with equal `i` mod 12, scaled to equal early means. */
export function nodesOf(vms: readonly Load[]): Load[] {
  return Array.from({ length: Math.min(NODES, vms.length) }, (_, node) => {
    const members = vms.filter((_, i) => i % NODES === node)
    const raw = new Float64Array(Math.max(...members.map(vm => vm.raw.length)))
    for (const vm of members) {
      const scale = meanOf(vm.raw, 4 * WEEK) || 1
      vm.raw.forEach((value, t) => {
        raw[t] = (raw[t] ?? 0) + value / scale
      })
    }
    return { name: `node${String(node).padStart(2, '0')}`, raw, smooth: trailingMean(raw, 3) }
  })
}

/** NaN is a gap: the value a day before, else the previous sample, else 0. */
export function fillGaps(values: Float64Array): Float64Array {
  const filled = Float64Array.from(values)
  for (let t = 0; t < filled.length; t++) {
    if (Number.isNaN(filled[t])) filled[t] = filled[t - DAY] ?? filled[t - 1] ?? 0
  }
  return filled
}

/** The mean of the last `width` values, of fewer at the start. */
export function trailingMean(values: Float64Array, width: number): Float64Array {
  return values.map((_, t) => meanOf(values.subarray(Math.max(0, t - width + 1), t + 1), width))
}

export interface M4Series {
  readonly id: string
  readonly train: Float64Array
  readonly test: Float64Array
}

export function readM4Hourly(directory: string): M4Series[] {
  const tests = readRagged(join(directory, 'm4-hourly', 'Hourly-test.csv'))
  return [...readRagged(join(directory, 'm4-hourly', 'Hourly-train.csv'))].map(([id, train]) => {
    const test = tests.get(id)
    if (test === undefined) throw new Error(`m4-hourly: ${id} has no test part`)
    return { id, train, test }
  })
}

export interface NabSeries {
  readonly name: string
  readonly values: Float64Array
}

export function readNab(directory: string): NabSeries[] {
  const folder = join(directory, 'nab-cloudwatch')
  return readdirSync(folder)
    .filter(name => name.endsWith('.csv'))
    .sort()
    .map(name => {
      const lines = readFileSync(join(folder, name), 'utf8').trim().split('\n').slice(1)
      return {
        name: name.slice(0, -4),
        values: Float64Array.from(lines, line => Number(line.split(',')[1]))
      }
    })
}

function readVm(file: string): Float64Array {
  const lines = gunzipSync(readFileSync(file)).toString('latin1').split('\n')
  if (lines.at(-1) === '') lines.pop()
  return Float64Array.from(lines.slice(1), line => {
    const [read, write] = line.split(',')
    return line === '' ? Number.NaN : Number(read) + Number(write)
  })
}

function readRagged(file: string): Map<string, Float64Array> {
  const lines = readFileSync(file, 'utf8').trim().split(/\r?\n/).slice(1)
  return new Map(
    lines.map(line => {
      const [id = '', ...cells] = line.replaceAll('"', '').split(',')
      return [id, Float64Array.from(cells.filter(cell => cell !== '' && cell !== 'NA').map(Number))]
    })
  )
}

function meanOf(values: Float64Array, length: number): number {
  const part = values.subarray(0, length)
  return part.length === 0 ? 0 : part.reduce((sum, value) => sum + value, 0) / part.length
}

function numberOf(name: string): number {
  return Number(name.slice(2, -7))
}
