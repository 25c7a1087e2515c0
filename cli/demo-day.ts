/**
 * `npm start -- --day`: one made-up day of the demo volume in about two minutes, as real I/O, in which
 * the nodes see an overload coming and move data out of its way; then the same day without balancing.
 *
 *   seven days of history (shoal load import) -> the day -> home again, paused -> the day again
 *
 * Invariant: only the clock of load, the limit of each node and the application are made up, and the
 * screen says so; what is decided is decided by the nodes.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '../node/clock.ts'
import type { VolumeDocument } from '../node/control/documents.ts'
import type { TopDocument } from '../node/control/load-documents.ts'
import { connectNbd, type NbdClient } from '../node/nbd/client.ts'
import type { Clock, ClockScale } from '../node/ports.ts'
import { scaledClock } from '../node/scaled-clock.ts'
import { Client } from './client.ts'
import { DayClient } from './day-client.ts'
import { bringHome, homesOf } from './day-home.ts'
import { DAY_MS, DayPattern } from './day-pattern.ts'
import { type DayHalf, type DayResult, reached, runDay } from './day-run.ts'
import { DEMO_DAY, demoNodeWords, PAST_DAYS, THRESHOLD_PART } from './day-setting.ts'
import { DayWatch } from './day-watch.ts'
import { DaySay } from './day-words.ts'
import { attachVolume, type DemoExport, type DemoMesh, type Say } from './demo-mesh.ts'
import { type Running, runShoal, startNode } from './demo-process.ts'

/** Before the first midnight, for the start of the nodes and the import. */
const EVENING_MS = 10_800_000
const EXTENT_BYTES = 64 * 1024 * 1024

export interface DemoDay {
  readonly mesh: DemoMesh
  readonly path: string
  readonly volume: string
  readonly sizeBytes: number
  readonly say: Say
  readonly out: Say
  readonly started: (node: Running) => void
}

/** How a daemon is started with a load clock: never by `shoal up`. */
const DEMO_NODE = fileURLToPath(new URL('./demo-node.js', import.meta.url))
const { rate, maxLoad, peak, seed } = DEMO_DAY
const THRESHOLD = THRESHOLD_PART * maxLoad

/** The mesh goes on by the load clock afterwards; the nodes are those that `started` was told of. */
export async function showDay(day: DemoDay): Promise<void> {
  const words = new DaySay(day.out, { ...DEMO_DAY, threshold: THRESHOLD })
  await checkColumns(new Client(day.mesh.gateway.place.dir), day.volume)
  words.introduce(day.volume)
  const fromMs = Date.now()
  const midnightMs = Math.ceil((fromMs + EVENING_MS) / DAY_MS) * DAY_MS
  const scale = { rate, fromMs, startMs: midnightMs - EVENING_MS }
  const mesh = await startAgain(day, scale)
  const clock = scaledClock(scale, systemClock)
  const pattern = new DayPattern(seed, peak)
  const client = new Client(mesh.gateway.place.dir)
  const [home] = [...(await homesOf(client, day.volume)).keys()]
  if (home === undefined) throw new Error(`nobody holds ${day.volume}`)
  const again = await attachVolume(mesh, day.volume, day.sizeBytes)
  await withNbd(again, async nbd => {
    await twoDays({ day, nbd, client, clock, pattern, home, words, firstMs: midnightMs }, mesh)
  })
}

/** One of an earlier demo may be spread over several nodes by its layout. */
async function checkColumns(client: Client, volume: string): Promise<void> {
  const { shards } = await client.get<VolumeDocument>(`/v1/volumes/${volume}`)
  if (shards.every(({ columns }) => columns.every(column => column === 0))) return
  throw new Error(`the volume ${volume} there is of a demo without --day: name another --dir`)
}

interface Days {
  readonly day: DemoDay
  readonly nbd: NbdClient
  readonly client: Client
  readonly clock: Clock
  readonly pattern: DayPattern
  readonly home: string
  readonly words: DaySay
  readonly firstMs: number
}

async function twoDays(days: Days, mesh: DemoMesh): Promise<void> {
  const { day, nbd, client, clock, pattern, home, words, firstMs } = days
  const first = pattern.dayOf(firstMs)
  // The second day is the first one again.
  const loadAt = (timeMs: number) => pattern.loadAt(timeMs, timeMs < firstMs ? first - 1 : first)
  const vm = new DayClient(clientOf(nbd, clock, loadAt))
  await vm.fill()
  vm.start()
  try {
    await importPast(day, mesh, pattern, clock)
    await reached(clock, firstMs)
    words.beginDay('the day, with balancing on (the default)')
    const on = await oneDay(days, vm, firstMs, loadAt)
    const receipts = [...words.receipts]
    const dir = mesh.gateway.place.dir
    await shoal(day, ['balance', 'pause', '--dir', dir])
    day.say(`moving all of ${day.volume} back to ${home}, as \`shoal move\` does`)
    await bringHome(client, day.volume, home)
    words.beginDay('the same day again, with balancing paused (shoal balance pause)')
    const off = await oneDay(days, vm, firstMs + DAY_MS, loadAt)
    await vm.stop()
    words.compare(on, off, await vm.check())
    for (const id of receipts) day.out(await words.explained(dir, id))
    await shoal(day, ['balance', 'resume', '--dir', dir])
  } finally {
    await vm.stop().catch(() => undefined)
  }
}

function oneDay(
  { client, clock, words, home }: Days,
  vm: DayClient,
  startMs: number,
  loadAt: (timeMs: number) => number
): Promise<DayResult> {
  const watch = new DayWatch(client, startMs, event => words.tell(event))
  const onHalf = (half: DayHalf): void => {
    client
      .get<TopDocument>('/v1/load')
      .then(({ nodes }) => words.half(half, home, nodes))
      .catch(() => undefined)
  }
  return runDay({ startMs, client: vm, watch, clock, loadAt, threshold: THRESHOLD, onHalf })
}

function clientOf(nbd: NbdClient, clock: Clock, loadAt: (timeMs: number) => number) {
  return { nbd, chunkBytes: EXTENT_BYTES, seed, now: clock.now, loadAt }
}

/** The same nodes on the same files and ports, with the clock and the limit of the day. */
async function startAgain(day: DemoDay, scale: ClockScale): Promise<DemoMesh> {
  const { mesh, say, started } = day
  say('starting the nodes again, with that clock and that limit ...')
  await mesh.gateway.stop()
  await Promise.all(mesh.storage.map(node => node.stop()))
  const up = async ({ place, port }: Running): Promise<Running> => {
    const launch = { script: DEMO_NODE, words: demoNodeWords(scale, maxLoad) }
    const node = await startNode(place, port, launch)
    started(node)
    return node
  }
  const storage = await Promise.all(mesh.storage.map(up))
  return { storage, gateway: await up(mesh.gateway) }
}

/** Until now, by the load clock. */
async function importPast(
  day: DemoDay,
  mesh: DemoMesh,
  pattern: DayPattern,
  clock: Clock
): Promise<void> {
  const file = join(day.path, 'past.csv')
  const toMs = Math.floor(clock.now() / 300_000) * 300_000
  writeFileSync(file, pattern.csv(day.volume, toMs - PAST_DAYS * DAY_MS, toMs))
  await shoal(day, ['load', 'import', file, '--dir', mesh.gateway.place.dir])
}

async function shoal({ say }: DemoDay, words: readonly string[]): Promise<void> {
  say(`$ shoal ${words.join(' ')}`)
  await runShoal(words)
}

async function withNbd(
  { socketPath, exportName }: DemoExport,
  work: (nbd: NbdClient) => Promise<void>
): Promise<void> {
  const nbd = await connectNbd({ socketPath, exportName })
  try {
    await work(nbd)
  } finally {
    await nbd.close()
  }
}
