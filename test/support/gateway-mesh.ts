/**
 * Storage nodes and gateways in one process, on memory: the real shard servers and the real gateway
 * over the memory network, with stores that can be killed and can lose power.
 */
import type { NodeEntry, VolumeView } from '../../crdt/types.ts'
import { systemClock } from '../../node/clock.ts'
import { createGateway, type GatewayOptions } from '../../node/gateway/gateway.ts'
import type { Gateway } from '../../node/gateway/types.ts'
import type { Clock, Random } from '../../node/ports.ts'
import { createRpc, type RpcNode } from '../../node/rpc/rpc.ts'
import { createShardServer } from '../../node/shard/server.ts'
import type { ShardServer } from '../../node/shard/types.ts'
import type { NodeId, PlacementEpoch, VolumeId, VolumeSpec } from '../../protocols/ids.ts'
import { KiB, MiB } from '../../protocols/limits.ts'
import { extentCount } from '../../protocols/stripe/map.ts'
import { MemoryMesh } from './memory-network.ts'
import { FIRST_EPOCH, FIRST_TOKEN, quietLog, volumeId } from './shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from './shard-memory-store.ts'

export type Death = 'kill' | 'power'

export function nodeId(name: string): NodeId {
  const base58 = name.replaceAll(/[^1-9A-HJ-NP-Za-km-z]/g, 'o')
  return `12D3KooW${base58.padEnd(40, '1')}` as NodeId
}

/** A generator with a seed (mulberry32). */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  const fraction = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
  return {
    fraction,
    bytes: length => Uint8Array.from({ length }, () => Math.floor(fraction() * 256))
  }
}

export class StorageNode {
  readonly id: NodeId
  readonly medium = new MemoryMedium()
  store: MemoryChunkStore
  server: ShardServer
  rpc: RpcNode
  isUp = true
  readonly #mesh: MemoryMesh
  readonly #clock: Clock

  constructor(id: NodeId, mesh: MemoryMesh, clock: Clock) {
    this.id = id
    this.#mesh = mesh
    this.#clock = clock
    const { store, server, rpc } = this.#boot()
    this.store = store
    this.server = server
    this.rpc = rpc
  }

  /** The process dies; with its host's power, what was not flushed goes too, but for `kept`. */
  stop(death: Death, kept = 0): void {
    if (!this.isUp) return
    this.isUp = false
    this.#mesh.leave(this.id)
    this.store.hold() // the dead process settles nothing more
    if (death === 'kill') this.medium.crash()
    else this.medium.losePower(kept)
  }

  start(): void {
    if (this.isUp) return
    this.isUp = true
    Object.assign(this, this.#boot())
  }

  #boot(): { store: MemoryChunkStore; server: ShardServer; rpc: RpcNode } {
    const network = this.#mesh.join(this.id)
    const store = new MemoryChunkStore(this.medium)
    const clock = this.#clock
    const rpc = createRpc({ network, clock, log: quietLog })
    const server = createShardServer({
      store,
      network,
      rpc,
      clock,
      log: quietLog,
      self: this.id,
      holderTimeoutMs: FAST.holderTimeoutMs
    })
    return { store, server, rpc }
  }
}

export interface TestVolume {
  readonly spec: VolumeSpec
  readonly sizeBytes: number
}

export const FAST: GatewayOptions = {
  ioTimeoutMs: 5_000,
  linkResetMs: 1_000,
  keepAliveMs: 200,
  holderTimeoutMs: 400,
  sweepMs: 20
}

export class GatewayMesh {
  readonly mesh = new MemoryMesh()
  readonly nodes: StorageNode[]
  readonly views = new Map<VolumeId, VolumeView>()
  readonly revocations = new Map<NodeId, Uint8Array>()
  /** What the map says of nodes; nothing unless a test puts it here. */
  readonly entries = new Map<NodeId, NodeEntry>()
  readonly clock: Clock
  readonly #listeners: Array<(id: VolumeId, view: VolumeView) => void> = []

  constructor(nodes: number, clock: Clock = systemClock) {
    this.clock = clock
    this.nodes = Array.from(
      { length: nodes },
      (_, i) => new StorageNode(nodeId(`Storage${i}`), this.mesh, clock)
    )
  }

  node(index: number): StorageNode {
    const node = this.nodes[index]
    if (node === undefined) throw new Error('no such node')
    return node
  }

  async createVolume(number: number, sizeBytes: number, shape = {}): Promise<VolumeId> {
    const id = volumeId(number)
    const spec: VolumeSpec = {
      id,
      extentBytes: MiB,
      stripeUnitBytes: 16 * KiB,
      columns: this.nodes.length,
      copies: 1,
      generation: 0,
      ...shape
    }
    const to = extentCount(spec, sizeBytes)
    for (let column = 0; column < spec.columns; column++) {
      const run = { from: 0, to, generation: 0, column, replica: 0, epoch: FIRST_EPOCH }
      const answer = await this.node(column % this.nodes.length).server.control({
        call: 'create',
        token: FIRST_TOKEN,
        spec,
        sizeBytes,
        runs: [run]
      })
      if (answer.is !== 'state') throw new Error(`create was answered ${answer.is}`)
    }
    const nodes = Array.from({ length: spec.columns }, (_, c) => [
      this.node(c % this.nodes.length).id
    ])
    this.views.set(id, {
      spec,
      sizeBytes,
      sizeEpoch: FIRST_EPOCH,
      layout: [{ from: 0, to, generation: 0, nodes, epoch: FIRST_EPOCH }],
      claims: [],
      holder: undefined,
      expectedIops: undefined,
      near: undefined,
      zone: undefined,
      patterns: [],
      policy: { isOn: true }
    })
    return id
  }

  /** A gateway on a member of its own, or on a storage node (then with its local shard). */
  gateway(
    name: string,
    options: GatewayOptions = FAST,
    random = seededRandom(1),
    on?: StorageNode
  ): Gateway & { id: NodeId } {
    const id = on?.id ?? nodeId(name)
    const network = this.mesh.reach(id, id) ?? this.mesh.join(id)
    const { clock } = this
    const rpc = on?.rpc ?? createRpc({ network, clock, log: quietLog })
    const gateway = createGateway({
      network,
      rpc,
      map: this.#map(),
      localShard: on === undefined ? undefined : () => on.server.connectLocal(),
      clock,
      random,
      log: quietLog,
      self: { id, host: name },
      options
    })
    return Object.assign(gateway, { id })
  }

  /** The map comes to say it of the volume. */
  setPolicy(id: VolumeId, policy: VolumeView['policy']): void {
    const view = this.views.get(id)
    if (view === undefined) throw new Error('no such volume')
    this.views.set(id, { ...view, policy })
    for (const listener of this.#listeners) listener(id, { ...view, policy })
  }

  #map(): Parameters<typeof createGateway>[0]['map'] {
    const change = (id: VolumeId, part: Partial<VolumeView>): void => {
      const view = this.views.get(id)
      if (view !== undefined) this.views.set(id, { ...view, ...part })
    }
    const epoch = (counter: number): PlacementEpoch => ({ token: FIRST_TOKEN, counter })
    return {
      mesh: () => ({
        nodes: this.entries,
        volumes: new Map(),
        ambiguousNames: new Map(),
        tombstones: new Map(),
        revocations: this.revocations,
        links: []
      }),
      volume: id => this.views.get(id),
      onVolume: listener => void this.#listeners.push(listener),
      fetchVolume: async id => {
        const view = this.views.get(id)
        if (view === undefined) throw new Error('no such volume')
        return view
      },
      announceHolder: (id, token, node, since) => change(id, { holder: { token, node, since } }),
      announceSize: (id, sizeBytes, sizeEpoch = epoch(1)) => change(id, { sizeBytes, sizeEpoch }),
      announceLayout: (id, run) => {
        const layout = this.views.get(id)?.layout ?? []
        change(id, { layout: [...layout, { ...run, generation: 0 }] })
      }
    }
  }
}

/** Waits for a state of the world, at most `timeoutMs`. */
export async function eventually(condition: () => boolean, timeoutMs = 5_000): Promise<void> {
  const startedAt = systemClock.monotonicMs()
  while (!condition()) {
    if (systemClock.monotonicMs() - startedAt > timeoutMs) {
      throw new Error('the awaited state never came')
    }
    await new Promise(resolve => setImmediate(resolve))
  }
}

export function joined(parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}
