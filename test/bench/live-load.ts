/**
 * The load of the live bench: a past for every volume, and clients that replay a part of it. Real
 * VMs (bitbrains-rnd, scaled) where their data is given, else a seeded day with noise.
 */
import { writeFileSync } from 'node:fs'
import { KiB } from '../../protocols/limits.ts'
import { formatIsoTime } from '../../protocols/load/iso-time.ts'
import { ask } from '../support/process-control.ts'
import type { ProcessNode } from '../support/process-mesh.ts'
import { connectDisk } from '../support/process-nbd.ts'
import { SeededRandom } from '../support/process-random.ts'
import { SteadyClient } from '../support/process-steady.ts'
import { DAY, readActiveVms } from './forecast-data.ts'

const STEP_MS = 300_000
const REQUEST_BYTES = 8 * KiB
const READ_PART = 0.7
/** Requests per second of a volume on average, and at most. */
const MEAN_RATE = 12
const MOST_RATE = 60
/** A step of the data is replayed in so much time. */
const REPLAYED_STEP_MS = 5_000

/** Requests per second, one series per volume, a value each five minutes. */
export function ratesOf(
  count: number,
  { days, data, seed }: { days: number; data: string | undefined; seed: number }
): Float64Array[] {
  const length = days * DAY
  const vms = data === undefined ? [] : readActiveVms(data)
  const random = new SeededRandom(seed)
  return Array.from({ length: count }, (_, i) => {
    const raw = vms[i % Math.max(1, vms.length)]?.raw
    // Volumes of the same VM begin on different days of it.
    const first = Math.floor(i / Math.max(1, vms.length)) * DAY + DAY
    const rates = raw === undefined ? madeDay(length, random) : raw.slice(first, first + length)
    const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length || 1
    return rates.map(rate => Math.min(MOST_RATE, (rate * MEAN_RATE) / mean))
  })
}

function madeDay(length: number, random: SeededRandom): Float64Array {
  const phase = random.below(DAY)
  return Float64Array.from({ length }, (_, step) => {
    const day = 1 + 0.7 * Math.sin((2 * Math.PI * (step + phase)) / DAY)
    const burst = random.below(200) === 0 ? 4 : 1
    return day * burst * (0.6 + 0.8 * random.fraction())
  })
}

/** What `shoal load import` reads; the rows end at `endMs`. */
export function writePast(
  file: string,
  volumes: ReadonlyArray<{ readonly name: string; readonly rates: Float64Array }>,
  endMs: number
): void {
  const pieces = ['time,volume,reads,writes,read_bytes,written_bytes\n']
  for (const { name, rates } of volumes) {
    const firstMs = endMs - rates.length * STEP_MS
    const lines = Array.from(rates, (rate, i) => {
      const [reads, writes] = [rate * READ_PART, rate * (1 - READ_PART)]
      const numbers = [reads, writes, reads * REQUEST_BYTES, writes * REQUEST_BYTES]
      const shown = numbers.map(value => value.toFixed(2)).join(',')
      return `${formatIsoTime(firstMs + i * STEP_MS)},${name},${shown}\n`
    })
    pieces.push(lines.join(''))
  }
  writeFileSync(file, pieces.join(''))
}

export class Replay {
  readonly #clients: ReadonlyArray<{ client: SteadyClient; rates: Float64Array }>
  readonly #timer: NodeJS.Timeout
  #step = 0

  private constructor(clients: ReadonlyArray<{ client: SteadyClient; rates: Float64Array }>) {
    this.#clients = clients
    this.#timer = setInterval(() => this.#turn(), REPLAYED_STEP_MS)
    this.#turn()
  }

  static async start(
    gate: ProcessNode,
    volumes: ReadonlyArray<{ readonly name: string; readonly rates: Float64Array }>,
    seed: number
  ): Promise<Replay> {
    const clients: Array<{ client: SteadyClient; rates: Float64Array }> = []
    for (const [i, { name, rates }] of volumes.entries()) {
      const path = `/v1/volumes/${name}/attach`
      const { uri } = await ask<{ uri: string }>(gate.dir, 'POST', path, {})
      const disk = await connectDisk(uri)
      const wish = { readsPerSecond: 0, writesPerSecond: 0, sizeBytes: REQUEST_BYTES }
      clients.push({ client: new SteadyClient(disk, { ...wish, seed: seed + i }), rates })
    }
    return new Replay(clients)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    for (const { client } of this.#clients) await client.stop()
  }

  #turn(): void {
    for (const { client, rates } of this.#clients) {
      const rate = rates[this.#step % rates.length] ?? 0
      client.turnTo({ readsPerSecond: rate * READ_PART, writesPerSecond: rate * (1 - READ_PART) })
    }
    this.#step++
  }
}
