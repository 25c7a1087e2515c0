/**
 * A few maps in one process over memory network and memory disks, under one simulated clock.
 * Time passes only in `settle`: it runs what is due, step by step, until nothing is left to do for
 * the given stretch.
 */
import type { MapOptions } from '../../node/map/map.ts'
import { createMap } from '../../node/map/map.ts'
import type { ShardMap } from '../../node/map/types.ts'
import type { Clock, Log, Random } from '../../node/ports.ts'
import { createRpc } from '../../node/rpc/rpc.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { MapDisk } from './map-disk.ts'
import { nodeIdOf } from './map-records.ts'
import type { MemoryMember } from './memory-network.ts'
import { MemoryMesh } from './memory-network.ts'
import { SeededRandom } from './process-random.ts'

const WALL_MS = 1_700_000_000_000

/** Monotonic time moves only by `run`. */
export class StepClock implements Clock {
  #nowMs = 0
  #wallMs = WALL_MS
  #timers: Array<{ atMs: number; task: () => void }> = []

  now(): number {
    return this.#wallMs + this.#nowMs
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, task: () => void): { cancel: () => void } {
    const timer = { atMs: this.#nowMs + delayMs, task }
    this.#timers.push(timer)
    return { cancel: () => this.#drop(timer) }
  }

  soon(task: () => void): void {
    setImmediate(task)
  }

  /** The machine slept: wall time passed, and nothing ran. */
  sleep(ms: number): void {
    this.#wallMs += ms
  }

  /** Lets `ms` pass, with everything that becomes due and what follows from it. */
  async run(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    await turns()
    for (;;) {
      const next = this.#timers.sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined || next.atMs > endMs) break
      this.#nowMs = next.atMs
      this.#drop(next)
      next.task()
      await turns()
    }
    this.#nowMs = endMs
  }

  #drop(timer: { atMs: number; task: () => void }): void {
    this.#timers = this.#timers.filter(other => other !== timer)
  }
}

/** Lets pending promises, streams and immediates run out. */
async function turns(): Promise<void> {
  for (let i = 0; i < 60; i++) await new Promise(resolve => setImmediate(resolve))
}

export interface TestNode {
  readonly id: NodeId
  readonly map: ShardMap
  readonly disk: MapDisk
  readonly member: MemoryMember
  readonly hosted: Set<VolumeId>
  readonly logged: string[]
}

export class MapMesh {
  readonly clock = new StepClock()
  readonly network = new MemoryMesh()
  readonly nodes: TestNode[] = []
  readonly #random: SeededRandom

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
  }

  /** Starts node `n`: a new one, or again on what its disk holds. */
  async start(
    n: number,
    options: Partial<MapOptions> & { disk?: MapDisk } = {}
  ): Promise<TestNode> {
    const disk = options.disk ?? new MapDisk()
    const member = this.network.join(nodeIdOf(n))
    const { clock } = this
    const logged: string[] = []
    const note = (fields: object, message: string) =>
      logged.push(`${message} ${JSON.stringify(fields)}`)
    const log: Log = { debug: () => {}, info: () => {}, warn: note, error: note }
    const hosted = new Set<VolumeId>()
    const random: Random = {
      bytes: length => new Uint8Array(this.#random.bytes(length)),
      fraction: () => this.#random.fraction()
    }
    const rpc = createRpc({ network: member, clock, log })
    const hostsVolume = (id: VolumeId) => hosted.has(id)
    const wiring = { network: member, rpc, clock, random, log, hostsVolume }
    const map = await createMap({ ...wiring, ...options, disk })
    const node = { id: member.self, map, disk, member, hosted, logged }
    this.nodes[n] = node
    return node
  }

  /** The process dies; its disk stays. */
  kill(n: number): void {
    const node = this.nodes[n]
    if (node === undefined) return
    this.network.leave(node.id)
    delete this.nodes[n]
  }

  /** Stops it in good order. */
  async stop(n: number): Promise<void> {
    const closing = this.nodes[n]?.map.close()
    this.kill(n)
    await closing
  }

  split(left: readonly number[], right: readonly number[]): void {
    for (const a of left) for (const b of right) this.network.cut(nodeIdOf(a), nodeIdOf(b))
  }

  heal(left: readonly number[], right: readonly number[]): void {
    for (const a of left) for (const b of right) this.network.heal(nodeIdOf(a), nodeIdOf(b))
  }

  settle(ms = 120_000): Promise<void> {
    return this.clock.run(ms)
  }
}
