/**
 * The setting of the balancing bench: active VMs as volumes on twelve nodes.
 *
 *   fill -> cut at 1.5 x q99.5 of weeks 1 to 4 -> over the mean of weeks 1 to 4 = what is measured
 *        -> mean of the last 3 steps -> cut at 0.4 x 1.6 x total mean / 12, three times = load
 *   capacity of a node = 1.6 x total mean / 12
 *
 * Loads are in units of LOAD_SCALE, as if a mean volume had so many requests per second.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { mean, quantile } from 'simple-statistics'
import { readActiveVms, trailingMean, WEEK } from './forecast-data.ts'

export const NODES = 12
export const LOAD_SCALE = 1_000
const LEARN_END = 4 * WEEK
const SECTOR_BYTES = 512
const UNIT_BYTES = 32 * 1024
/** Of a volume: all of it is copied in 15 minutes. */
export const VOLUME_BYTES = 64 * 1024 ** 3

export interface Setting {
  /** What each volume was measured at, before smoothing: what forecasts are made of. */
  readonly measured: readonly Float64Array[]
  readonly loads: readonly Float64Array[]
  readonly capacity: number
  /** What a volume can come to at most: its --max-iops. */
  readonly limit: number
  readonly steps: number
}

export function readSetting(directory: string): Setting {
  const measured = readActiveVms(directory).map(({ raw }) => {
    const most = 1.5 * quantile(Array.from(raw.subarray(0, LEARN_END)), 0.995)
    const cut = raw.map(load => Math.min(load, most))
    const unit = mean(Array.from(cut.subarray(0, LEARN_END))) || 1
    return cut.map(load => (LOAD_SCALE * load) / unit)
  })
  let loads = measured.map(load => trailingMean(load, 3))
  let limit = 0
  for (let i = 0; i < 3; i++) {
    limit = 0.4 * capacityOf(loads)
    const most = limit
    loads = loads.map(load => load.map(value => Math.min(value, most)))
  }
  const steps = Math.min(...loads.map(load => load.length))
  return { measured, loads, capacity: capacityOf(loads), limit, steps }
}

function capacityOf(loads: readonly Float64Array[]): number {
  return (1.6 * loads.reduce((sum, load) => sum + mean(Array.from(load)), 0)) / NODES
}

/** Shares of `parts` equal parts of a real disk in its load (requests, and one more per 32 KiB). */
export function readSkew(directory: string, parts: number): number[] {
  const file = join(directory, 'cloudphysics-sample', 'cloudPhysicsIO.csv.gz')
  const lines = gunzipSync(readFileSync(file)).toString('latin1').trim().split('\n').slice(1)
  const requests = lines.map(line => {
    const [, , , size = '0', block = '0'] = line.split(',')
    return { atByte: Number(block) * SECTOR_BYTES, units: 1 + Number(size) / UNIT_BYTES }
  })
  const end = 1 + requests.reduce((most, { atByte }) => Math.max(most, atByte), 0)
  const units = new Array<number>(parts).fill(0)
  for (const request of requests) {
    const part = Math.floor((request.atByte / end) * parts)
    units[part] = (units[part] ?? 0) + request.units
  }
  const total = units.reduce((sum, part) => sum + part, 0)
  return units.map(part => part / total).sort((a, b) => b - a)
}
