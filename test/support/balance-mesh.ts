/**
 * Whole nodes in one process that foretell their load and balance it: store, shard server, map,
 * gateway, handoffs and moves on the real clock; load and balancing on a clock that the test turns.
 * Loads come from imported history, so that what is foretold is known.
 */
import type { NodeEntry } from '../../crdt/types.ts'
import { openBalance } from '../../node/balance/open.ts'
import { openSettings, type Settings } from '../../node/balance/settings-file.ts'
import type { Balance } from '../../node/balance/types.ts'
import { systemClock } from '../../node/clock.ts'
import { NODE_KEY } from '../../node/load/keeper-messages.ts'
import { Load } from '../../node/load/load.ts'
import { serveLoad } from '../../node/load/serve.ts'
import type { Log } from '../../node/ports.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { GiB, KiB, MiB } from '../../protocols/limits.ts'
import { IDLE } from '../../protocols/load/record.ts'
import { seededRandom } from './gateway-mesh.ts'
import { chunkAt, HandoffMesh, type HandoffNode } from './handoff-mesh.ts'
import { TurnedClock } from './load-clock.ts'
import { keeperHere } from './load-keeper.ts'
import { ScriptedMonitor } from './scripted-monitor.ts'
import { MemorySeriesFiles } from './series-memory-files.ts'
import { quietLog as silent } from './shard-harness.ts'

/** Keeps what nodes tell people. */
function hearing(said: string[]): Log {
  return {
    ...quietLog,
    info: (fields, message) => {
      quietLog.info(fields, message)
      said.push(message)
    }
  }
}

const show = (what: string) => (f: object, m: string) =>
  console.log(what, m, JSON.stringify(f).slice(0, 600))
const quietLog: Log =
  process.env.LOUD === '1'
    ? { debug: show('debug'), info: show('info'), warn: show('warn'), error: show('error') }
    : silent

/** Units per second that a node of these meshes can do; it counts as overloaded above 0.8 of it. */
export const CAPACITY = 1_000
const CHUNK_DATA_BYTES = 64 * KiB
export const CHUNKS = 8
/** On a Monday, while the pattern rises to its peak at ten. */
const START_MS = Date.UTC(2026, 2, 9, 8, 10)
const LEARNED_DAYS = 3
const DAY_MINUTES = 1_440
const MINUTE_MS = 60_000

export class BalanceNode {
  readonly node: HandoffNode
  readonly mesh: BalanceMesh
  readonly region: string
  readonly files = new MemorySeriesFiles()
  capacity: number | undefined = CAPACITY
  #running: { load: Load; balance: Balance; settings: Settings } | undefined
  #starts = 0

  constructor(mesh: BalanceMesh, node: HandoffNode, region: string) {
    this.mesh = mesh
    this.node = node
    this.region = region
  }

  get id(): NodeId {
    return this.node.id
  }

  get name(): string {
    return this.node.name
  }

  get load(): Load {
    return this.#parts.load
  }

  get balance(): Balance {
    return this.#parts.balance
  }

  get moves() {
    const { moves } = this.node.parts
    if (moves === undefined) throw new Error(`${this.name} has no store`)
    return moves
  }

  get #parts() {
    if (this.#running === undefined) throw new Error(`${this.name} is down`)
    return this.#running
  }

  /** Once its services run. */
  async begin(): Promise<void> {
    const { parts, network } = this.node
    const { store, shards, moves } = parts
    if (!store || !shards || !moves) throw new Error('a node with a store')
    const disk = this.node.mapDisk
    const settings = await openSettings(disk, quietLog)
    const random = seededRandom(this.mesh.handoffs.nextSeed())
    const basics = { ...parts, random, log: hearing(this.mesh.said), network, clock: systemClock }
    const load = new Load({
      ...basics,
      shards: {
        monitor: new ScriptedMonitor(second => this.#loads(second)),
        replicas: shards.replicas
      },
      region: this.region,
      start: ++this.#starts,
      loadClock: this.mesh.clock,
      zone: 'UTC',
      capacity: () => this.capacity,
      shareOf: () => undefined,
      thresholdPart: () => settings.now.thresholdPart,
      runKeeper: keeperHere(this.files, this.mesh.clock)
    })
    serveLoad(load)
    this.node.passed = (chunk, to) => load.passed(chunk, to)
    const { id, region } = this
    const balance = await openBalance({
      ...basics,
      ...{ self: { id, region, host: `host-${this.name}` }, loadClock: this.mesh.clock },
      clock: this.mesh.time,
      ...{ store, shards, moves, load, disk, settings }
    })
    this.#running = { load, balance, settings }
    parts.map.announceNode(this.#entry())
  }

  /** The process dies. Nothing of it goes on, and what it writes goes to a disk that nobody has. */
  die(): void {
    this.node.die('kill')
    void this.close()
  }

  /** A new one starts on what it kept. */
  async restart(): Promise<void> {
    if (this.node.isUp) this.die()
    await this.node.start()
    await this.begin()
  }

  async close(): Promise<void> {
    const running = this.#running
    this.#running = undefined
    await running?.balance.close()
    await running?.load.close()
  }

  /** Three days in which the shard of the volume had this load, up to now; and so it goes on. */
  async learn(volume: VolumeId, load: (minuteOfDay: number) => number): Promise<void> {
    this.mesh.loads.set(volume, load)
    const now = Math.floor(this.mesh.clock.now() / MINUTE_MS)
    const rows = Array.from({ length: LEARNED_DAYS * DAY_MINUTES }, (_, i) => {
      const slot = now - LEARNED_DAYS * DAY_MINUTES + i
      return { slot, record: { ...IDLE, reads: load(slot % DAY_MINUTES) } }
    })
    this.load.subjects.look()
    await this.load.ask({ ask: 'import', key: volume, rows })
    await untilReal(() => this.load.state()?.warming.left === 0)
  }

  /** Of what it holds of each volume its part. */
  #loads(second: number): Map<VolumeId, number> | undefined {
    if (!this.mesh.isMeasured) return undefined
    const loads = new Map<VolumeId, number>()
    for (const [volume, load] of this.mesh.loads) {
      const held = this.holds(volume)
      if (held > 0) loads.set(volume, (load(Math.floor(second / 60) % DAY_MINUTES) * held) / CHUNKS)
    }
    return loads
  }

  holds(volume: VolumeId): number {
    const runs = this.node.parts.shards?.replicas.head(volume)?.runs ?? []
    return runs.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  #entry(): NodeEntry {
    const { id, region, name } = this
    const { incarnation } = this.node.parts
    const what = { role: 'admin', capacityBytes: GiB, addresses: [], version: '0' } as const
    return { id, name, region, host: `host-${name}`, incarnation, ...what }
  }
}

export class BalanceMesh {
  /** Of load. */
  readonly clock = new TurnedClock(START_MS)
  readonly handoffs = new HandoffMesh()
  /** Of what negotiations wait for: whoever does not answer costs no real time. */
  readonly time = new TurnedClock(0)
  readonly nodes: BalanceNode[] = []
  /** Of each volume, by the minute of the day. */
  readonly loads = new Map<VolumeId, (minuteOfDay: number) => number>()
  /** What nodes told people, in the words of their logs. */
  readonly said: string[] = []
  /** From `settle` on. */
  isMeasured = false

  static async start(names: readonly string[]): Promise<BalanceMesh> {
    const mesh = new BalanceMesh()
    for (const name of names) await mesh.add(name)
    return mesh
  }

  async add(name: string): Promise<BalanceNode> {
    const node = new BalanceNode(this, await this.handoffs.add(name), `region-${name}`)
    this.nodes.push(node)
    await node.begin()
    await untilReal(() =>
      this.nodes.every(one => one.node.parts.map.mesh().nodes.size >= this.nodes.length)
    )
    return node
  }

  node(index: number): BalanceNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error('no such node')
    return node
  }

  /** All of it on one node, with data in each chunk. */
  async createVolume(number: number, on: BalanceNode, chunks = CHUNKS): Promise<VolumeId> {
    const { handoffs } = this
    const id = await handoffs.createVolume(number, chunks * MiB, 1, on.node)
    for (let extent = 0; extent < chunks; extent++) {
      const data = new Uint8Array(CHUNK_DATA_BYTES).fill(extent + 1)
      await on.node.parts.store?.write(chunkAt(id, extent), 0, data, blockChecksums(data))
    }
    await untilReal(() => on.node.parts.map.volume(id) !== undefined)
    return id
  }

  /** Everybody foretells something, and has heard of the load of everybody. */
  async settle(): Promise<void> {
    this.isMeasured = true
    const all = this.nodes.filter(({ node }) => node.isUp)
    const isForetold = () => all.every(({ load }) => load.forecast(NODE_KEY) !== undefined)
    const isHeard = () =>
      all.every(one => all.every(({ id }) => one.load.gossip.known(id) !== undefined))
    for (let minute = 0; minute < 30 && !(isForetold() && isHeard()); minute++) await this.pass(60)
    if (!isForetold()) throw new Error('somebody foretells nothing')
    if (!isHeard()) throw new Error('somebody was not heard')
  }

  /** Load time passes; what it starts on the real clock gets turns in between. */
  turn(ms: number): Promise<void> {
    return this.clock.turn(ms)
  }

  /**
   * Both clocks go on, a few seconds at a time, until the state comes about. What then still goes on
   * in real time (chunks that are copied) is waited for.
   */
  async until(condition: () => boolean, withinSeconds = 300): Promise<void> {
    for (let passed = 0; passed < withinSeconds && !condition(); passed += 2) await this.pass(2)
    await untilReal(condition)
  }

  async pass(seconds: number): Promise<void> {
    await this.turn(seconds * 1_000)
    await this.time.turn(seconds * 1_000)
    await isIdle()
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.close()
    await this.handoffs.close()
  }
}

/** Rises from a tenth at six to `peak` at ten, and falls again: the same each day. */
export function morning(peak: number): (minuteOfDay: number) => number {
  return minute => {
    const away = Math.abs(minute / 60 - 10)
    return peak * Math.max(0.1, 1 - away / 4)
  }
}

/** What was begun on the memory network has had turns enough. */
async function isIdle(): Promise<void> {
  for (let turn = 0; turn < 30; turn++) await new Promise(resolve => setImmediate(resolve))
}

/** Waits for a state of the world. */
export async function untilReal(condition: () => boolean, withinMs = 5_000): Promise<void> {
  const endMs = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > endMs) throw new Error('the awaited state never came')
    await new Promise(resolve => setImmediate(resolve))
  }
}
