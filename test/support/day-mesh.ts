/**
 * A mesh of real daemons whose clock of load goes faster than time: three storage nodes, each limited
 * in what it serves, and a gateway; a volume that is on one of them, with a made-up past.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '../../cli/client.ts'
import { DayClient } from '../../cli/day-client.ts'
import { homesOf } from '../../cli/day-home.ts'
import { DAY_MS, DayPattern } from '../../cli/day-pattern.ts'
import { type DaySetting, demoNodeWords } from '../../cli/day-setting.ts'
import { systemClock } from '../../node/clock.ts'
import { connectNbd } from '../../node/nbd/client.ts'
import type { Clock } from '../../node/ports.ts'
import { scaledClock } from '../../node/scaled-clock.ts'
import { MiB } from '../../protocols/limits.ts'
import { PROGRAMS } from './process-cli.ts'
import { type NodePlan, ProcessMesh, type ProcessNode, THREE_AND_GATEWAY } from './process-mesh.ts'
import { freePort } from './process-spawn.ts'

export const VOLUME = 'day'
/** The daemon with a load clock that is faster than time. */
export const DEMO_NODE = join(PROGRAMS, 'demo-node.js')
const CHUNK_BYTES = 64 * MiB
const STEP_MS = 300_000

export interface DayMeshWish extends DaySetting {
  readonly pastDays: number
  /** By default three storage nodes; one of them all is called gate. */
  readonly nodes?: readonly NodePlan[]
  /** Time of day of the application when it starts: the midnights are counted from there. */
  readonly startsAtMs: number
  /** Before anything is measured: nothing moves until somebody resumes it. */
  readonly isPaused?: boolean
  /** Further words for each daemon. */
  readonly words?: readonly string[]
}

export interface DayMesh {
  readonly mesh: ProcessMesh
  readonly gate: ProcessNode
  readonly api: Client
  readonly clock: Clock
  readonly pattern: DayPattern
  /** Of the load clock: the midnight before the application started. */
  readonly midnightMs: number
  /** The node that holds all of the volume. */
  readonly home: string
  /** At work. */
  readonly vm: DayClient
  readonly close: () => Promise<void>
}

export async function startDayMesh(wish: DayMeshWish): Promise<DayMesh> {
  const { nodes = THREE_AND_GATEWAY } = wish
  const plans = nodes.map(async plan => ({ ...plan, port: await freePort() }))
  const mesh = await ProcessMesh.prepare(await Promise.all(plans))
  let stop = async (): Promise<void> => undefined
  const close = async (): Promise<void> => {
    await stop().catch(() => undefined)
    await mesh.close()
  }
  try {
    const { rate, maxLoad, peak, seed, pastDays, startsAtMs, words = [] } = wish
    const fromMs = Date.now()
    const scale = { rate, fromMs, startMs: fromMs }
    const clock = scaledClock(scale, systemClock)
    const args = [...demoNodeWords(scale, maxLoad), ...words]
    await Promise.all(mesh.nodes.map(node => node.up({ program: [DEMO_NODE], args })))
    await mesh.converged()
    const gate = mesh.node('gate')
    if (wish.isPaused === true) await gate.json('balance', 'pause')
    await gate.json('volume', 'create', VOLUME, '--size', '1G', '--shards', '1')
    const { socketPath, exportName } = await gate.json<Attached>('volume', 'attach', VOLUME)
    const nbd = await connectNbd({ socketPath, exportName })
    let pattern = new DayPattern(seed, peak)
    const loadAt = (timeMs: number) => pattern.loadAt(timeMs)
    const vm = new DayClient({ nbd, chunkBytes: CHUNK_BYTES, seed, now: clock.now, loadAt })
    stop = async () => {
      await vm.stop()
      await nbd.close()
    }
    await vm.fill()
    const midnightMs = Math.floor(clock.now() / STEP_MS) * STEP_MS - startsAtMs
    pattern = new DayPattern(seed, peak, midnightMs)
    vm.start()
    if (pastDays > 0) await importPast(mesh, pattern, clock, pastDays)
    const api = new Client(gate.dir)
    const [home = ''] = [...(await homesOf(api, VOLUME)).keys()]
    return { mesh, gate, api, clock, pattern, midnightMs, home, vm, close }
  } catch (error) {
    mesh.report()
    await close()
    throw error
  }
}

interface Attached {
  readonly socketPath: string
  readonly exportName: string
}

async function importPast(
  mesh: ProcessMesh,
  pattern: DayPattern,
  clock: Clock,
  days: number
): Promise<void> {
  const csv = join(mesh.dir, 'past.csv')
  const toMs = Math.floor(clock.now() / STEP_MS) * STEP_MS
  writeFileSync(csv, pattern.csv(VOLUME, toMs - days * DAY_MS, toMs))
  await mesh.node('gate').json('load', 'import', csv)
}
