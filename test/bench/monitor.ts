/**
 * `npm run bench -- monitor`: what the measuring of load costs the data path, in CPU seconds per
 * million requests. Shard servers with the monitor and without serve the same real store, in one
 * process and thus in the same compiled code, each through its local connection: 4 KiB random
 * requests, seven reads to three writes, 32 in flight, on data that the page cache has.
 *
 * A pair is one measurement with and one without; both are cut into slices that take turns
 * (on off off on ...), so that whatever the machine does meanwhile hits both alike, and the order
 * alternates from pair to pair. There are two servers of each kind, made in the order on off off on,
 * because one that is made first was seen to cost a little more, whatever it does. The monitor is turned once a second, as the daemon does. Without it
 * nothing of shards and chunks is counted, their heat included; the sums that pace moves
 * (client-load.ts) stay, they are older than the monitor and not a part of it.
 *
 * The store applies and checkpoints what was written whenever it is due, in the middle of whoever's
 * slice that is: most of the noise. A second ratio leaves out the couples of slices that cost most,
 * chosen by the sum of both, so that neither side is favoured.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median } from 'simple-statistics'
import { systemClock, systemRandom } from '../../node/clock.ts'
import type { ShardServer } from '../../node/shard/types.ts'
import { openDisk } from '../../node/storage/real-disk.ts'
import { openStore } from '../../node/storage/store.ts'
import { GiB } from '../../protocols/limits.ts'
import { SeededRandom } from '../support/process-random.ts'
import { quietLog } from '../support/shard-harness.ts'
import { countingNs, TURN_SHARDS, turningMs } from './monitor-alone.ts'
import { Client, fill, makeRequests, serve } from './monitor-load.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const PAIRS = 7
/** Of seven measurements the least and the greatest enclose the median with this confidence. */
const CONFIDENCE_PERCENT = round(100 * (1 - 2 / 2 ** PAIRS), 1)
const BAR = 1.02
const CALM_PART = 0.95
const WARM_UP = 100_000
const TURN_MS = 1000

interface Size {
  /** Of each side of a pair. */
  readonly slices: number
  readonly sliceRequests: number
}

/** One of the two servers, and what it was measured at. */
interface Side {
  readonly server: ShardServer
  readonly client: Client
  readonly isOn: boolean
}

export async function benchMonitor(options: BenchOptions): Promise<BenchResult> {
  const size = { slices: options.quick ? 100 : 2_000, sliceRequests: 200 }
  const scratch = mkdtempSync(join(tmpdir(), 'shoal-bench-monitor-'))
  const log = quietLog
  const ports = { clock: systemClock, random: systemRandom, log }
  const store = await openStore({ disk: openDisk(scratch), capacityBytes: 4 * GiB, ...ports })
  const servers: ShardServer[] = []
  try {
    const requests = makeRequests(new SeededRandom(options.seed))
    const sides: Side[] = []
    for (const isOn of [true, false, false, true]) {
      const server = serve(store, isOn)
      servers.push(server)
      if (sides.length === 0) await fill(store, server)
      sides.push({ server, client: await Client.connect(server, requests), isOn })
    }
    const pairs = await measure(sides, size)
    const alone = { countNs: countingNs(requests), turnMs: turningMs() }
    return report(pairs, alone, size, options, await versionsOf([]))
  } finally {
    for (const server of servers) await server.close()
    await store.close()
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** CPU seconds of some requests with and without the monitor. */
interface Cost {
  readonly on: number
  readonly off: number
}

interface Pair {
  readonly all: Cost
  /** Without the few couples of slices that cost most, both together: there the store caught up. */
  readonly calm: Cost
}

async function measure(sides: readonly Side[], size: Size): Promise<Pair[]> {
  const meter = new CpuMeter(size.sliceRequests)
  for (const side of sides) await side.client.run(WARM_UP)
  const pairs: Pair[] = []
  for (let pair = 0; pair < PAIRS; pair++) {
    const couples: Cost[] = []
    for (let slice = 0; slice < size.slices; slice++) {
      const cost = { on: 0, off: 0 }
      // Either couple of servers in turn, and each of them in both orders.
      const couple = slice % 2 === 0 ? sides.slice(0, 2) : sides.slice(2).reverse()
      if ((pair + (slice >> 1)) % 2 === 1) couple.reverse()
      for (const side of couple) cost[side.isOn ? 'on' : 'off'] = await meter.slice(side)
      couples.push(cost)
    }
    couples.sort((a, b) => a.on + a.off - b.on - b.off)
    const calm = couples.slice(0, Math.round(couples.length * CALM_PART))
    pairs.push({
      all: perMillion(couples, size.sliceRequests),
      calm: perMillion(calm, size.sliceRequests)
    })
    console.error(`pair ${pair + 1}/${PAIRS}`)
  }
  return pairs
}

function perMillion(couples: readonly Cost[], sliceRequests: number): Cost {
  const millions = (couples.length * sliceRequests) / 1e6
  const sum = (side: 'on' | 'off') => couples.reduce((total, cost) => total + cost[side], 0)
  return { on: sum('on') / millions, off: sum('off') / millions }
}

class CpuMeter {
  readonly #requests: number
  /** Time spent in slices with the monitor since its last turn: only they are to pay for it. */
  #sinceTurnMs = 0
  #second = 0

  constructor(requests: number) {
    this.#requests = requests
  }

  /** CPU seconds. */
  async slice({ client, server, isOn }: Side): Promise<number> {
    const startedAtMs = performance.now()
    const before = process.cpuUsage()
    await client.run(this.#requests)
    if (isOn) this.#turn(server, performance.now() - startedAtMs)
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1e6
  }

  #turn(server: ShardServer, spentMs: number): void {
    this.#sinceTurnMs += spentMs
    if (this.#sinceTurnMs < TURN_MS) return
    this.#sinceTurnMs = 0
    this.#second += 1
    server.monitor.turn(this.#second)
  }
}

function report(
  pairs: readonly Pair[],
  alone: { readonly countNs: number; readonly turnMs: number },
  size: Size,
  options: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const ratioOf = ({ on, off }: Cost) => on / off
  const rows = pairs.map(({ all, calm }, index) => ({
    pair: index + 1,
    first: index % 2 === 0 ? 'on' : 'off',
    onSecondsPerMillion: round(all.on, 3),
    offSecondsPerMillion: round(all.off, 3),
    ratio: round(ratioOf(all), 4),
    calmRatio: round(ratioOf(calm), 4)
  }))
  printTable(
    ['pair', 'first', 'on CPU s/M', 'off CPU s/M', 'ratio', 'calm ratio'],
    rows.map(row => [
      `${row.pair}`,
      row.first,
      row.onSecondsPerMillion.toFixed(3),
      row.offSecondsPerMillion.toFixed(3),
      row.ratio.toFixed(4),
      row.calmRatio.toFixed(4)
    ])
  )
  const all = medianOf(pairs.map(pair => ratioOf(pair.all)))
  const calm = medianOf(pairs.map(pair => ratioOf(pair.calm)))
  const isPassed = all.median < BAR
  const verdict = isPassed ? 'pass' : 'MISS'
  console.log(`median ratio ${textOf(all)}; bar ${BAR} ${verdict}`)
  console.log(`without the dearest ${100 - 100 * CALM_PART} % of slices ${textOf(calm)}`)
  const { countNs, turnMs } = alone
  console.log(
    `counting alone ${countNs} ns per request; a turn of ${TURN_SHARDS} shards ${turnMs} ms`
  )
  console.log(`interval: least to greatest of ${PAIRS}, ${CONFIDENCE_PERCENT} % for the median`)
  const requestsPerSide = size.slices * size.sliceRequests
  const confidence = { interval: all.interval, confidencePercent: CONFIDENCE_PERCENT }
  return {
    rows,
    ratios: { cpu: all.median, calmCpu: calm.median },
    summary: {
      ...{ bar: BAR, isPassed, ...confidence, calmInterval: calm.interval, requestsPerSide },
      ...alone,
      quick: options.quick
    },
    seed: options.seed,
    versions
  }
}

interface Middle {
  readonly median: number
  readonly interval: readonly [number, number]
}

function medianOf(ratios: readonly number[]): Middle {
  const interval = [round(Math.min(...ratios), 4), round(Math.max(...ratios), 4)] as const
  return { median: round(median([...ratios]), 4), interval }
}

function textOf({ median, interval }: Middle): string {
  return `${median.toFixed(4)} (${interval.map(end => end.toFixed(4)).join(' to ')})`
}
