/** Load as tests see it of real daemons: a history that is made, and rows that are exported. */
import { writeFileSync } from 'node:fs'
import { Client } from '../../cli/client.ts'
import { LoadCsvReader, type LoadCsvRow } from '../../protocols/load/csv.ts'
import { formatIsoTime } from '../../protocols/load/iso-time.ts'
import { BYTES_PER_UNIT, loadOf } from '../../protocols/load/record.ts'
import type { ProcessNode } from './process-mesh.ts'
import { SeededRandom } from './process-random.ts'

const STEP_MS = 300_000
const DAY_MS = 86_400_000
/** Of the noise that lies on the pattern. */
const NOISE_PART = 0.05

/** A day that repeats: in units per second, at its mean at `originMs` and then rising. */
export class DailyLoad {
  readonly originMs: number
  readonly #mean: number

  constructor(originMs: number, mean: number) {
    this.originMs = originMs
    this.#mean = mean
  }

  at(timeMs: number): number {
    const turn = ((timeMs - this.originMs) / DAY_MS) * 2 * Math.PI
    return this.#mean * (1 + 0.8 * Math.sin(turn))
  }

  /** Rows of five minutes of the days before the origin, as a file that `shoal load import` takes. */
  writeCsv(file: string, { volume, days, seed }: { volume: string; days: number; seed: number }) {
    const random = new SeededRandom(seed)
    const lines = ['time,volume,reads,writes,read_bytes,written_bytes']
    const first = this.originMs - days * DAY_MS
    for (let timeMs = first; timeMs < this.originMs; timeMs += STEP_MS) {
      const noise = 1 + NOISE_PART * (2 * random.fraction() - 1)
      const load = this.at(timeMs + STEP_MS / 2) * noise
      // Half of a unit is the request, half of it are its bytes.
      const [reads, writes, bytes] = [load * 0.3, load * 0.2, load * 0.25 * BYTES_PER_UNIT]
      lines.push([formatIsoTime(timeMs), volume, reads, writes, bytes, bytes].join(','))
    }
    writeFileSync(file, `${lines.join('\n')}\n`)
  }
}

/** What `shoal load export` has of one volume, over the API: until now, by the load clock of the node. */
export async function exported(
  at: ProcessNode,
  volume: string,
  sinceMs: number,
  step: '1s' | '1m' | '1h' = '1m'
): Promise<readonly LoadCsvRow[]> {
  const query = new URLSearchParams({ volume, sinceMs: String(Math.floor(sinceMs)), step })
  const reader = new LoadCsvReader()
  const lines = []
  const { signal } = new AbortController()
  for await (const bytes of new Client(at.dir).download(`/v1/load/export?${query}`, signal)) {
    lines.push(...reader.push(bytes))
  }
  lines.push(...reader.end())
  return lines.map(line => {
    if ('refused' in line) throw new Error(`line ${line.line} of an export: ${line.refused}`)
    return line.row
  })
}

/** The load of all shards together, by time. */
export function totals(rows: readonly LoadCsvRow[]): ReadonlyMap<number, number> {
  const sums = new Map<number, number>()
  for (const { timeMs, record } of rows) {
    sums.set(timeMs, (sums.get(timeMs) ?? 0) + loadOf(record))
  }
  return sums
}
