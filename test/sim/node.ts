/**
 * A simulated node: a machine with two disks (store and map) on which the shipped service of a node
 * runs, dies, and runs again.
 *
 *   off --start--> starting --service open--> up --kill, power--> off
 */
import { foundCopy } from '../../node/copy-watch.ts'
import type { Log } from '../../node/ports.ts'
import { createRpc, type RpcNode } from '../../node/rpc/rpc.ts'
import { openService, openStorage, type Service, type Storage } from '../../node/service.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { NodeId, Run, VolumeId } from '../../protocols/ids.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { MemoryDisk } from '../support/memory-disk.ts'
import { SimDisk } from './disk.ts'
import type { SimMember } from './network.ts'
import { SimProcess } from './process.ts'
import { randomPort, type SimRandom, streamOf } from './random.ts'
import type { Simulation } from './simulation.ts'

/** Small, so that a short run rotates, applies and checkpoints. */
const LIMITS = { journalBytes: 2 * MiB, segmentBytes: 256 * KiB, reserveBytes: 64 * KiB }
const PARTIAL_KEEP_MS = 3_000
const GATEWAY_OPTIONS = {
  ioTimeoutMs: 6_000,
  linkResetMs: 2_000,
  keepAliveMs: 1_000,
  holderTimeoutMs: 3_000,
  sweepMs: 250,
  replayBytes: MiB
}

/** What runs while the node is up. */
export interface Running extends Storage, Service {
  readonly process: SimProcess
  readonly member: SimMember
  readonly rpc: RpcNode
}

export class SimNode {
  readonly id: NodeId
  readonly name: string
  readonly capacityBytes: number
  readonly random: SimRandom
  running: Running | undefined
  process: SimProcess | undefined
  store = new MemoryDisk()
  map = new MemoryDisk()
  starts = 0
  /** What its shards held when it was last up. */
  #lastRuns = new Map<VolumeId, readonly Run[]>()
  readonly #sim: Simulation
  #disks: SimDisk[] = []

  constructor(sim: Simulation, name: string, id: NodeId, capacityBytes: number) {
    this.#sim = sim
    this.name = name
    this.id = id
    this.capacityBytes = capacityBytes
    this.random = streamOf(sim.seed, `node ${name}`)
  }

  get isUp(): boolean {
    return this.running !== undefined
  }

  /** The store ended itself after an error of its disk: only a new start helps. */
  get isBroken(): boolean {
    return this.running?.store?.failure !== undefined
  }

  /** What its shard of the volume holds, or held when the node died. */
  runsOf(volume: VolumeId): readonly Run[] {
    const { shards } = this.running ?? {}
    if (shards === undefined) return this.#lastRuns.get(volume) ?? []
    return shards.replicas.head(volume)?.runs ?? []
  }

  start(): void {
    if (this.process !== undefined) return
    const process = new SimProcess(this.name, this.#sim.timeline)
    this.process = process
    this.starts++
    this.#sim.note(this.name, `starts for the ${this.starts}. time`)
    this.#boot(process).then(
      running => {
        if (!process.isAlive) return
        this.running = running
        this.#sim.note(this.name, `is up, incarnation ${running.incarnation.number}`)
        this.#sim.nodeUp(this)
      },
      (error: unknown) => {
        if (!process.isAlive) return
        this.#sim.note(this.name, `could not start: ${messageOf(error)}`)
        this.#sim.startFailed(this, error)
        this.kill()
      }
    )
  }

  /** The process dies: what was written stays, a write under way stays in part. */
  kill(): void {
    const { process } = this
    if (process === undefined) return
    process.die()
    this.#sim.network.died(this.id, false)
    for (const disk of this.#disks.splice(0)) void disk.tear(this.random)
    this.#gone()
  }

  /** The host loses power: of what was not synced all, something or nothing stays. */
  losePower(): void {
    const loss = this.random.chance(0.5) ? 'some' : 'all'
    this.#sim.note(this.name, `loses power, and of what was not synced ${loss}`)
    this.process?.die()
    this.#sim.network.died(this.id, true)
    this.#disks = []
    const seed = this.random.below(2 ** 31)
    this.store = this.store.crashImage({ loss, seed })
    this.map = this.map.crashImage({ loss, seed: seed + 1 })
    this.#gone()
  }

  #gone(): void {
    const wasRunning = this.running !== undefined
    const { shards } = this.running ?? {}
    if (shards !== undefined) {
      const held = shards.volumes().map(id => [id, shards.replicas.head(id)?.runs ?? []] as const)
      this.#lastRuns = new Map(held)
    }
    this.running = undefined
    this.process = undefined
    if (wasRunning) this.#sim.nodeDown(this)
  }

  async #boot(process: SimProcess): Promise<Running> {
    const sim = this.#sim
    const { clock } = process
    const log = this.#log(process)
    const random = randomPort(streamOf(sim.seed, `start ${this.starts} of ${this.name}`))
    const observe = (step: string) => {
      if (process.isAlive) sim.observed(this, step)
    }
    const diskRandom = streamOf(sim.seed, `disk ${this.starts} of ${this.name}`)
    const disk = new SimDisk(this.store, process, diskRandom, observe)
    const mapDisk = new SimDisk(this.map, process, diskRandom, observe)
    this.#disks = [disk, mapDisk]
    const { capacityBytes } = this
    const basics = { clock, random, log }
    const storage = await openStorage({ ...basics, disk, capacityBytes, limits: LIMITS }, [])
    const member = sim.network.join(this.id, process)
    const rpc = createRpc({ network: member, clock, log })
    const service = await openService(
      {
        ...basics,
        self: { id: this.id, host: this.name },
        store: storage.store,
        dataDisk: mapDisk,
        network: member,
        rpc,
        acceptsRevocation: () => false,
        gatewayOptions: GATEWAY_OPTIONS,
        partialKeepMs: PARTIAL_KEEP_MS,
        observe
      },
      []
    )
    if (service.shards !== undefined) sim.serving.local(this.name, service.shards)
    this.#announce(storage, service, process)
    return { ...storage, ...service, process, member, rpc }
  }

  #announce({ incarnation }: Storage, { map }: Service, process: SimProcess): void {
    map.announceNode({
      id: this.id,
      name: this.name,
      region: 'sim',
      host: this.name,
      role: 'node',
      capacityBytes: this.capacityBytes,
      addresses: [],
      incarnation,
      version: '0'
    })
    map.onMesh(view => {
      const why = foundCopy(view, this.id, incarnation)
      if (why !== undefined && process.isAlive) this.#sim.fail(`${this.name}: ${why}`)
    })
  }

  #log({ name }: SimProcess): Log {
    const note = (level: string) => (fields: object, message: string) => {
      const text = `${level}: ${message} ${JSON.stringify(fields)}`
      this.#sim.note(name, text)
      if (text.includes('broken invariant')) this.#sim.fail(`${name}: ${text}`)
    }
    return { debug: () => {}, info: () => {}, warn: note('warn'), error: note('error') }
  }
}
