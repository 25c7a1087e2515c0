/**
 * Whole nodes in one process (store, shard server, map, gateway, handoffs, as the daemon wires
 * them) over the memory network and memory disks, which can be killed and started again.
 */
import { systemClock } from '../../node/clock.ts'
import type { GatewayOptions } from '../../node/gateway/gateway.ts'
import type { HandoffEnd } from '../../node/handoff/types.ts'
import type { Clock } from '../../node/ports.ts'
import { createRpc, type RpcNode } from '../../node/rpc/rpc.ts'
import {
  type Cleanup,
  openService,
  openStorage,
  type Service,
  type Storage
} from '../../node/service.ts'
import type { HandoffStep } from '../../protocols/handoff/steps.ts'
import type { ChunkKey, NodeId, VolumeId, VolumeSpec } from '../../protocols/ids.ts'
import { GiB, KiB, MiB } from '../../protocols/limits.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import { FAST, nodeId, seededRandom } from './gateway-mesh.ts'
import { MemoryDisk } from './memory-disk.ts'
import { type MemoryMember, MemoryMesh } from './memory-network.ts'
import { FIRST_EPOCH, FIRST_TOKEN, quietLog, volumeId } from './shard-harness.ts'

const LIMITS = { journalBytes: 16 * MiB, segmentBytes: 4 * MiB, reserveBytes: MiB }

export class HandoffNode {
  readonly id: NodeId
  readonly name: string
  readonly mesh: HandoffMesh
  disk = new MemoryDisk()
  mapDisk = new MemoryDisk()
  /** Called at every step of a handoff here. */
  observe: (step: HandoffStep) => void = () => {}
  /** Called for every chunk that left. */
  passed: (chunk: ChunkKey, to: NodeId) => void = () => {}
  #parts: (Service & Storage & { readonly rpc: RpcNode }) | undefined
  #network: MemoryMember | undefined
  #cleanups: Cleanup[] = []

  constructor(mesh: HandoffMesh, name: string) {
    this.mesh = mesh
    this.name = name
    this.id = nodeId(name)
  }

  get parts(): Service & Storage & { readonly rpc: RpcNode } {
    if (this.#parts === undefined) throw new Error(`${this.name} is down`)
    return this.#parts
  }

  get network(): MemoryMember {
    if (this.#network === undefined) throw new Error(`${this.name} is down`)
    return this.#network
  }

  get isUp(): boolean {
    return this.#parts !== undefined
  }

  async start(capacityBytes = GiB): Promise<void> {
    const { clock, mesh, options } = this.mesh
    const random = seededRandom(this.mesh.nextSeed())
    const basics = { clock, random, log: quietLog }
    const network = mesh.join(this.id)
    this.#network = network
    const storage = await openStorage(
      { ...basics, disk: this.disk, capacityBytes, limits: LIMITS },
      this.#cleanups
    )
    const rpc = createRpc({ network, clock, log: quietLog })
    const service = await openService(
      {
        ...basics,
        self: { id: this.id, host: this.name },
        store: storage.store,
        dataDisk: this.mapDisk,
        network,
        rpc,
        acceptsRevocation: () => true,
        gatewayOptions: options,
        observe: step => this.observe(step),
        passed: (chunk, to) => this.passed(chunk, to)
      },
      this.#cleanups
    )
    this.#parts = { ...storage, ...service, rpc }
  }

  /** The process dies (`kill`), or its host loses power. Nothing of it acts any more. */
  die(how: 'kill' | 'power'): void {
    this.mesh.mesh.leave(this.id)
    this.#parts = undefined
    this.#cleanups = []
    this.observe = () => {}
    const loss = how === 'kill' ? 'none' : 'some'
    this.disk = this.disk.crashImage({ loss, seed: this.mesh.nextSeed() })
    this.mapDisk = this.mapDisk.crashImage({ loss: 'none' })
  }

  async close(): Promise<void> {
    this.#parts = undefined
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup()
    this.mesh.mesh.leave(this.id)
  }

  pass(chunk: ChunkKey, to: HandoffNode, signal = new AbortController().signal) {
    const { handoffs } = this.parts
    if (handoffs === undefined) throw new Error(`${this.name} has no store`)
    return handoffs.pass({ chunk, to: to.id, signal, onProgress: () => {} })
  }
}

export class HandoffMesh {
  readonly mesh = new MemoryMesh()
  readonly clock: Clock
  readonly options: GatewayOptions
  readonly nodes: HandoffNode[] = []
  #seed: number

  constructor(options: GatewayOptions = FAST, seed = 1, clock: Clock = systemClock) {
    this.options = options
    this.clock = clock
    this.#seed = seed
  }

  static async start(names: readonly string[], options: GatewayOptions = FAST, seed = 1) {
    const mesh = new HandoffMesh(options, seed)
    for (const name of names) await mesh.add(name)
    return mesh
  }

  nextSeed(): number {
    return ++this.#seed
  }

  async add(name: string, capacityBytes = GiB): Promise<HandoffNode> {
    const node = new HandoffNode(this, name)
    await node.start(capacityBytes)
    this.nodes.push(node)
    return node
  }

  node(index: number): HandoffNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error('no such node')
    return node
  }

  /** Spread over the first nodes, one column each, or all of it on one; and announced. */
  async createVolume(
    number: number,
    sizeBytes: number,
    columns = 1,
    on?: HandoffNode
  ): Promise<VolumeId> {
    const id = volumeId(number)
    const shape = { extentBytes: MiB, stripeUnitBytes: 16 * KiB, columns }
    const spec: VolumeSpec = { id, ...shape, copies: 1, generation: 0 }
    const to = extentCount(spec, sizeBytes)
    for (let column = 0; column < columns; column++) {
      const run = { from: 0, to, generation: 0, column, replica: 0, epoch: FIRST_EPOCH }
      const call = { call: 'create' as const, token: FIRST_TOKEN, spec, sizeBytes, runs: [run] }
      const answer = await (on ?? this.node(column)).parts.shards?.control(call)
      if (answer?.is !== 'state') throw new Error(`create was answered ${answer?.is}`)
    }
    const nodes = Array.from({ length: columns }, (_, c) => [(on ?? this.node(c)).id])
    ;(on ?? this.node(0)).parts.map.announceVolume({
      spec,
      name: `volume-${number}`,
      sizeBytes,
      nodes,
      epoch: FIRST_EPOCH,
      expectedIops: undefined,
      near: undefined
    })
    return id
  }

  /** Nodes that hold the chunk now. */
  holders(chunk: ChunkKey): HandoffNode[] {
    return this.nodes.filter(node => {
      if (!node.isUp) return false
      const runs = node.parts.shards?.replicas.head(chunk.volume)?.runs ?? []
      return runs.some(
        run => run.column === chunk.column && run.from <= chunk.extent && chunk.extent < run.to
      )
    })
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.close()
  }
}

export function chunkAt(volume: VolumeId, extent: number, column = 0): ChunkKey {
  return { volume, extent, generation: 0, column, replica: 0 }
}

export function passed(end: HandoffEnd): HandoffEnd & { is: 'passed' } {
  if (end.is !== 'passed') throw new Error(`the handoff failed: ${end.why}`)
  return end
}
