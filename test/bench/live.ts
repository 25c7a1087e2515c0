/**
 * `npm run bench -- live [--quick] [--data DIR] [--json FILE]`: what it costs a real daemon to keep
 * and foretell the load of 1,000 shards, each with a week behind it, while clients use some of them.
 *
 *   create, import -> models trained -> kill -9, up: time to warm -> minutes, one by one
 *
 * The cost of a shard and minute is the CPU of the keeper's thread, and the time that the pieces of
 * the load service held the daemon's own thread. Five minutes in a row have one step of forecasts;
 * of fewer the minute with it counts once, and the others four times. Training is no part of it (the
 * issue allows it 5 % of a core): the measured minutes begin when the models are there. With --quick
 * there are 100 shards, too young to train on. A daemon without shards stands beside it.
 */
import { join } from 'node:path'
import { MiB } from '../../protocols/limits.ts'
import { ask } from '../support/process-control.ts'
import { ProcessMesh, type ProcessNode } from '../support/process-mesh.ts'
import { until } from '../support/process-spawn.ts'
import { type Bar, holds, printBars } from './forecast-report.ts'
import { Replay, ratesOf, writePast } from './live-load.ts'
import { residentBytes, type ThreadCpu, threadCpu } from './live-threads.ts'
import { type BenchOptions, type BenchResult, printTable, round, versionsOf } from './report.ts'

const PLANS = [
  { name: 'store', region: 'a', capacity: '64G' },
  { name: 'gate', region: 'a', capacity: '0' },
  { name: 'bare', region: 'a', capacity: '0' }
] as const
const IN_PARALLEL = 8
const VOLUMES_PER_FILE = 50
const MINUTE_MS = 60_000
const STEP_MINUTES = 5
/** Into a minute, when the work of the last one is done. */
const SETTLED_MS = 10_000
const TRAINED_MS = 30 * MINUTE_MS
/** CPU per shard and minute; the longest pieces of the daemon's thread; training, of a core. */
const BARS = { us: 50, pieceMs: 10, training: 0.05 } as const

interface Scale {
  readonly shards: number
  readonly driven: number
  readonly days: number
  readonly isTrained: boolean
}

interface Keeping {
  readonly pieces: { count: number; totalMs: number; p50Us: number; p999Us: number }
  readonly warming?: { left: number; all: number }
  readonly seriesBytes?: number
  readonly trainedAt?: number
}

interface Volume {
  readonly name: string
  readonly rates: Float64Array
}

/** One minute of the daemon with the shards, and of the one without. */
interface Minute {
  readonly hasForecasts: boolean
  readonly store: ThreadCpu
  readonly bare: ThreadCpu
  readonly piecesMs: number
}

interface Measured {
  readonly minutes: readonly Minute[]
  readonly keeping: Keeping
  readonly warmSeconds: number
  readonly training: { readonly seconds: number; readonly part: number } | undefined
  readonly residentBytes: number
  readonly bareResidentBytes: number
}

export async function benchLive(options: BenchOptions): Promise<BenchResult> {
  const scale: Scale = options.quick
    ? { shards: 100, driven: 24, days: 2, isTrained: false }
    : { shards: 1000, driven: 40, days: 8, isTrained: true }
  const mesh = await ProcessMesh.start(PLANS)
  try {
    return report(await measure(mesh, scale, options), scale, options, await versionsOf([]))
  } catch (error) {
    mesh.report()
    throw error
  } finally {
    await mesh.close()
  }
}

async function measure(mesh: ProcessMesh, scale: Scale, options: BenchOptions): Promise<Measured> {
  const { data, seed, quick } = options
  const { shards, days, driven, isTrained } = scale
  const store = mesh.node('store')
  const bare = mesh.node('bare')
  const rates = ratesOf(shards, { days, data, seed })
  const volumes = rates.map((own, i) => ({ name: `v${i}`, rates: own }))
  await createAll(store, volumes)
  await importAll(store, volumes, mesh.dir)
  await warm(store, shards)
  const training = isTrained ? await trained(store) : undefined
  const warmSeconds = await restart(store, shards)
  await mesh.converged()
  say(`warm again after ${round(warmSeconds, 1)} s`)
  const replay = await Replay.start(mesh.node('gate'), volumes.slice(0, driven), seed)
  const minutes = await watch(store, bare, quick ? 1 : STEP_MINUTES)
  const keeping = await keepingOf(store)
  const memory = {
    residentBytes: residentBytes(store.pid),
    bareResidentBytes: residentBytes(bare.pid)
  }
  await replay.stop()
  return { minutes, keeping, warmSeconds, training, ...memory }
}

async function createAll(store: ProcessNode, volumes: readonly Volume[]): Promise<void> {
  let next = 0
  const lane = async (): Promise<void> => {
    for (let volume = volumes[next++]; volume !== undefined; volume = volumes[next++]) {
      const wish = { name: volume.name, sizeBytes: 16 * MiB, shards: 1, zone: 'UTC' }
      await ask(store.dir, 'POST', '/v1/volumes', wish)
    }
  }
  await Promise.all(Array.from({ length: IN_PARALLEL }, lane))
  say(`${volumes.length} volumes are made`)
}

async function importAll(
  store: ProcessNode,
  volumes: readonly Volume[],
  dir: string
): Promise<void> {
  const endMs = Math.floor(Date.now() / MINUTE_MS / STEP_MINUTES) * MINUTE_MS * STEP_MINUTES
  for (let at = 0; at < volumes.length; at += VOLUMES_PER_FILE) {
    const file = join(dir, 'past.csv')
    writePast(file, volumes.slice(at, at + VOLUMES_PER_FILE), endMs)
    await store.json('load', 'import', file)
    say(`past of ${Math.min(volumes.length, at + VOLUMES_PER_FILE)} volumes is imported`)
  }
}

async function keepingOf(store: ProcessNode): Promise<Keeping> {
  return (await ask<{ load: Keeping }>(store.dir, 'GET', '/v1/self')).load
}

function warm(store: ProcessNode, shards: number): Promise<Keeping> {
  const isWarm = async () => {
    const keeping = await keepingOf(store)
    const { left, all } = keeping.warming ?? { left: 1, all: 0 }
    // The node itself is one more.
    return left === 0 && all === shards + 1 ? keeping : undefined
  }
  return until('every past is read', isWarm, 10 * MINUTE_MS, 100)
}

/** Until the models are there; how long it took, and what part of a core. */
async function trained(store: ProcessNode): Promise<Measured['training']> {
  const startMs = performance.now()
  const before = threadCpu(store.pid).keeperMs
  const isTrained = async () => (await keepingOf(store)).trainedAt !== undefined
  await until('the models are trained', isTrained, TRAINED_MS, 1000)
  const wallMs = performance.now() - startMs
  const part = (threadCpu(store.pid).keeperMs - before) / wallMs
  say(`trained in ${round(wallMs / 1000, 0)} s`)
  return { seconds: wallMs / 1000, part }
}

async function restart(store: ProcessNode, shards: number): Promise<number> {
  await store.kill()
  const startMs = performance.now()
  await store.up()
  await warm(store, shards)
  return (performance.now() - startMs) / 1000
}

/**
 * Minutes one by one, after a first step of forecasts: code that has just started costs several times
 * as much. Of only one minute, the next that has a step of forecasts if that is not far.
 */
async function watch(store: ProcessNode, bare: ProcessNode, count: number): Promise<Minute[]> {
  const minutes: Minute[] = []
  const intoStep = (Date.now() / MINUTE_MS) % STEP_MINUTES
  const isNear = count === 1 && intoStep > STEP_MINUTES - 3
  const toStep = STEP_MINUTES - intoStep
  const first = count > 1 ? toStep : isNear ? toStep - 1 : 1 - (intoStep % 1)
  const firstMs = first * MINUTE_MS
  let nextMs = Date.now() + firstMs + SETTLED_MS
  await reached(nextMs)
  for (let i = 0; i < count; i++) {
    const before = [threadCpu(store.pid), threadCpu(bare.pid), await keepingOf(store)] as const
    nextMs += MINUTE_MS
    await reached(nextMs)
    const after = [threadCpu(store.pid), threadCpu(bare.pid), await keepingOf(store)] as const
    minutes.push({
      hasForecasts: Math.floor(nextMs / MINUTE_MS) % STEP_MINUTES === 0,
      store: used(before[0], after[0]),
      bare: used(before[1], after[1]),
      piecesMs: after[2].pieces.totalMs - before[2].pieces.totalMs
    })
    say(`minute ${i + 1} of ${count}`)
  }
  return minutes
}

function reached(atMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, Math.max(0, atMs - Date.now())))
}

function used(before: ThreadCpu, after: ThreadCpu): ThreadCpu {
  return {
    keeperMs: after.keeperMs - before.keeperMs,
    mainMs: after.mainMs - before.mainMs,
    allMs: after.allMs - before.allMs
  }
}

/** Of a minute, where one of five has a step of forecasts. */
function perMinute(minutes: readonly Minute[], of: (minute: Minute) => number): number {
  const mean = (some: readonly Minute[]): number =>
    some.reduce((sum, minute) => sum + of(minute), 0) / some.length
  const [with_, without] = [true, false].map(has => minutes.filter(m => m.hasForecasts === has))
  if (with_ === undefined || with_.length === 0) return mean(without ?? [])
  if (without === undefined || without.length === 0) return mean(with_)
  return (mean(with_) + (STEP_MINUTES - 1) * mean(without)) / STEP_MINUTES
}

function report(
  measured: Measured,
  { shards, driven, days }: Scale,
  options: BenchOptions,
  versions: Record<string, string>
): BenchResult {
  const { minutes, keeping, warmSeconds, training } = measured
  const us = (of: (minute: Minute) => number): number =>
    round((perMinute(minutes, of) * 1000) / shards, 1)
  const keeperUs = us(({ store }) => store.keeperMs)
  const piecesUs = us(({ piecesMs }) => piecesMs)
  const rows = [
    { what: 'keeper, us per shard and minute', value: keeperUs },
    { what: "in the daemon's thread, us per shard and minute", value: piecesUs },
    { what: 'pieces there, p50 us', value: round(keeping.pieces.p50Us, 0) },
    { what: 'pieces there, p99.9 us', value: round(keeping.pieces.p999Us, 0) },
    { what: 'pieces there since the start', value: keeping.pieces.count },
    {
      what: 'daemon, CPU ms per minute',
      value: round(
        perMinute(minutes, m => m.store.allMs),
        0
      )
    },
    {
      what: 'of which its own thread',
      value: round(
        perMinute(minutes, m => m.store.mainMs),
        0
      )
    },
    {
      what: 'without shards, CPU ms per minute',
      value: round(
        perMinute(minutes, m => m.bare.allMs),
        0
      )
    },
    { what: 'memory, MiB', value: round(measured.residentBytes / MiB, 0) },
    { what: 'memory without shards, MiB', value: round(measured.bareResidentBytes / MiB, 0) },
    { what: 'series on disk, MiB', value: round((keeping.seriesBytes ?? 0) / MiB, 1) },
    { what: 'warm after a restart, s', value: round(warmSeconds, 1) },
    ...(training === undefined
      ? []
      : [
          { what: 'training, s', value: round(training.seconds, 0) },
          { what: 'training, part of a core', value: round(training.part, 3) }
        ])
  ]
  const bars: Bar[] = [
    { name: 'us of CPU per shard and minute', value: round(keeperUs + piecesUs, 1), most: BARS.us },
    {
      name: 'p99.9 of the pieces, ms',
      value: round(keeping.pieces.p999Us / 1000, 2),
      most: BARS.pieceMs
    },
    ...(training === undefined
      ? []
      : [{ name: 'training, of a core', value: round(training.part, 3), most: BARS.training }])
  ]
  const source = options.data === undefined ? 'seeded days' : 'bitbrains-rnd'
  console.log(
    `\n${shards} shards with ${days} days of ${source}, ${driven} of them used by clients`
  )
  printTable(
    ['', ''],
    rows.map(({ what, value }) => [what, String(value)])
  )
  const hasForecasts = minutes.some(minute => minute.hasForecasts)
  if (!hasForecasts) console.log('no step of forecasts fell into what was measured')
  printBars(bars)
  const missed = bars.filter(bar => !holds(bar)).map(({ name }) => name)
  const summary = { shards, driven, days, source, hasForecasts, missed, quick: options.quick }
  return {
    rows: [...rows, ...minutes.map(minute => ({ ...minute }))],
    ratios: Object.fromEntries(bars.map(({ name, value, most = 1 }) => [name, value / most])),
    summary,
    seed: options.seed,
    versions
  }
}

function say(words: string): void {
  console.error(words)
}
