/**
 * A mesh in one process for tests of volumes and of the control API: real shard servers on stores in
 * memory, the real map, the real gateway, the real API without its socket. Only the network, the
 * disks and the NBD server are stood in for, by their ports.
 */
import type { Hono } from 'hono'
import type { NodeEntry } from '../../crdt/types.ts'
import type { Journal } from '../../node/balance/journal.ts'
import { type NodeJournalParts, openNodeJournal } from '../../node/balance/open-journal.ts'
import { serveBalance } from '../../node/balance/serve.ts'
import { systemClock, systemRandom } from '../../node/clock.ts'
import type { DaemonContext } from '../../node/control/context.ts'
import { serveNodeStatus } from '../../node/control/node-status.ts'
import { RateMeter } from '../../node/control/rates.ts'
import { controlApp } from '../../node/control/server.ts'
import { createGateway } from '../../node/gateway/gateway.ts'
import { Load } from '../../node/load/load.ts'
import { openNodeLimit } from '../../node/load/node-limit.ts'
import { serveLoad } from '../../node/load/serve.ts'
import { createMap } from '../../node/map/map.ts'
import { openMoves } from '../../node/moves/moves.ts'
import { Pacer } from '../../node/moves/pace.ts'
import type { HotChunk, Moves, MovesParts } from '../../node/moves/types.ts'
import { createRpc } from '../../node/rpc/rpc.ts'
import { createShardServer } from '../../node/shard/server.ts'
import { type Reaper, startReaper } from '../../node/volumes/reaper.ts'
import type {
  AttachmentList,
  ExportPoint,
  ExportService,
  SavedAttachment
} from '../../node/volumes/types.ts'
import { Volumes } from '../../node/volumes/volumes.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { shareWithin } from '../../protocols/load/limit.ts'
import { FAST, nodeId } from './gateway-mesh.ts'
import { keeperHere } from './load-keeper.ts'
import { MapDisk } from './map-disk.ts'
import { MemoryBalance } from './memory-balance.ts'
import { MemoryHandoffMesh, MemoryHandoffs } from './memory-handoffs.ts'
import { MemoryMesh } from './memory-network.ts'
import { MemorySeriesFiles } from './series-memory-files.ts'
import { quietLog } from './shard-harness.ts'
import { MemoryChunkStore, MemoryMedium } from './shard-memory-store.ts'

export interface CliNode {
  readonly id: NodeId
  readonly name: string
  readonly context: DaemonContext
  readonly volumes: Volumes
  readonly app: Hono
  readonly store: MemoryChunkStore | undefined
  readonly reaper: Reaper | undefined
  /** Only on storage nodes. */
  readonly moves: Moves | undefined
  readonly journal: Journal | undefined
  /** What it says of its balancing is what a test tells it to. */
  readonly balance: MemoryBalance
  readonly handoffs: MemoryHandoffs
  /** What the daemon was asked to do. */
  readonly medium: MemoryMedium
  readonly asked: string[]
}

interface NodeState {
  readonly medium: MemoryMedium
  readonly disk: MapDisk
  readonly series: MemorySeriesFiles
  starts: number
  saved: readonly SavedAttachment[]
}

export class CliMesh {
  readonly network = new MemoryMesh()
  readonly handoffs = new MemoryHandoffMesh()
  /** What `--hottest` sees, by node. */
  readonly hot = new Map<string, readonly HotChunk[]>()
  readonly nodes = new Map<string, CliNode>()
  readonly #states = new Map<string, NodeState>()
  readonly #stops = new Map<string, () => Promise<void>>()

  /** Starts a node, or starts it again on what it kept. No capacity: a gateway. */
  async start(
    name: string,
    region: string,
    capacity: 'storage' | 'gateway',
    host = `host-${name}`
  ): Promise<CliNode> {
    const state = this.#states.get(name) ?? {
      medium: new MemoryMedium(),
      disk: new MapDisk(),
      series: new MemorySeriesFiles(),
      starts: 0,
      saved: []
    }
    this.#states.set(name, state)
    const id = nodeId(name)
    const network = this.network.join(id)
    const clocks = { clock: systemClock, loadClock: systemClock }
    const wiring = { network, ...clocks, random: systemRandom, log: quietLog }
    const rpc = createRpc(wiring)
    const store = capacity === 'storage' ? new MemoryChunkStore(state.medium) : undefined
    const { holderTimeoutMs } = FAST
    const shards = store && createShardServer({ ...wiring, store, rpc, self: id, holderTimeoutMs })
    const map = await createMap({
      ...wiring,
      disk: state.disk,
      rpc,
      hostsVolume: volume => store?.shard(volume) !== undefined
    })
    const gateway = createGateway({
      ...wiring,
      rpc,
      map,
      localShard: shards && (() => shards.connectLocal()),
      self: { id, host },
      options: FAST
    })
    map.announceNode(entryOf({ name, region, id, host }, store))
    const limit =
      shards &&
      (await openNodeLimit({
        disk: state.disk,
        log: quietLog,
        thisTime: undefined,
        apply: maxLoad => shards.limitLoad(maxLoad)
      }))
    const load = new Load({
      ...wiring,
      rpc,
      map,
      shards,
      store,
      region,
      start: ++state.starts,
      zone: 'UTC',
      capacity: () => limit?.maxLoad(),
      shareOf: record => shareWithin(undefined, record, limit?.maxLoad()),
      runKeeper: keeperHere(state.series, systemClock)
    })
    serveLoad(load)
    const handoffs = new MemoryHandoffs(id, this.handoffs)
    const moves = store && (await this.#openMoves(name, { ...wiring, rpc, map, store, handoffs }))
    const balance = new MemoryBalance(() => systemClock.now())
    const journal =
      moves &&
      store &&
      shards &&
      (await this.#openJournal({ ...wiring, rpc, map, load, store, shards, moves }, state, balance))
    const asked: string[] = []
    const context: DaemonContext = {
      ...wiring,
      rpc,
      map,
      gateway,
      store,
      load,
      outlookTimeoutMs: 60_000,
      limit,
      moves,
      self: {
        id,
        name,
        region,
        host,
        role: 'admin',
        mesh: 'test',
        dir: '/nowhere',
        version: '0.0.0',
        startedAt: systemClock.now(),
        addresses: () => []
      },
      members: {
        createInvite: async options => ({ token: `invite ${options.role}`, expiresAt: 0 }),
        revoke: async peer => void asked.push(`revoke ${peer}`),
        certificate: () => ({ role: 'admin', expiresAt: Number.MAX_SAFE_INTEGER })
      },
      exports: memoryExports(),
      savedAttachments: savedIn(state),
      shardCounters: () => shards?.stats().shards ?? [],
      problems: () => [],
      lastSeen: () => undefined,
      leave: async () => void asked.push('leave'),
      shutdown: reason => void asked.push(`shutdown: ${reason}`)
    }
    const volumes = await Volumes.open(context, context.self.host)
    const rates = new RateMeter(systemClock, context.shardCounters)
    serveNodeStatus(context, rates, () => volumes.problems())
    const reaper = store && startReaper(context, store)
    const app = controlApp(context, volumes)
    const node = {
      id,
      name,
      context,
      volumes,
      app,
      store,
      reaper,
      moves,
      journal,
      balance,
      handoffs,
      medium: state.medium,
      asked
    }
    this.nodes.set(name, node)
    this.#stops.set(name, async () => {
      volumes.close()
      reaper?.stop()
      rates.stop()
      await load.close()
      await journal?.close()
      await moves?.close()
      await gateway.close()
      await shards?.close()
      await map.close()
    })
    return node
  }

  async #openMoves(
    name: string,
    parts: Omit<MovesParts, 'disk' | 'pacer' | 'hottest' | 'store'> & { store: MemoryChunkStore }
  ): Promise<Moves> {
    const id = nodeId(name)
    const disk = this.#states.get(name)?.disk ?? new MapDisk()
    this.handoffs.stores.set(id, parts.store)
    this.handoffs.maps.set(id, parts.map)
    const clientLoad = () => ({ requests: 0, latencyMsSum: 0 })
    const pacer = new Pacer({ clock: parts.clock, clientLoad })
    const hottest = (_volume: VolumeId, limit: number) => (this.hot.get(name) ?? []).slice(0, limit)
    return openMoves({ ...parts, disk, pacer, hottest })
  }

  async #openJournal(
    parts: Omit<NodeJournalParts, 'disk' | 'threshold'>,
    { disk }: NodeState,
    balance: MemoryBalance
  ): Promise<Journal> {
    const threshold = () => balance.status().threshold
    const { journal, measured } = await openNodeJournal({ ...parts, disk, threshold })
    const { receipts } = journal
    serveBalance({ ...parts, receipts, measured, threshold, balance })
    return journal
  }

  /** The process dies; what it kept stays. */
  kill(name: string): void {
    this.nodes.get(name)?.handoffs.hold()
    this.network.leave(nodeId(name))
    this.nodes.delete(name)
    this.#stops.delete(name)
    this.#states.get(name)?.medium.crash()
  }

  diskOf(name: string): MapDisk {
    const state = this.#states.get(name)
    if (state === undefined) throw new Error(`no node ${name}`)
    return state.disk
  }

  /** Until every node knows every other. */
  async converged(): Promise<void> {
    const nodes = [...this.nodes.values()]
    await until(() => nodes.every(node => node.context.map.mesh().nodes.size >= nodes.length))
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#stops.values()].map(stop => stop()))
  }
}

/** Three storage nodes in three regions and a gateway. */
export async function smallMesh(): Promise<CliMesh & { gate: CliNode }> {
  const mesh = new CliMesh()
  await mesh.start('west', 'eu-west', 'storage')
  await mesh.start('north', 'eu-north', 'storage')
  await mesh.start('east', 'us-east', 'storage')
  const gate = await mesh.start('gate', 'eu-west', 'gateway')
  await mesh.converged()
  return Object.assign(mesh, { gate })
}

/** Waits for a state of the mesh, not for a time. */
export async function until(condition: () => boolean, withinMs = 5_000): Promise<void> {
  const deadlineMs = performance.now() + withinMs
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error('the state did not come about in time')
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

function entryOf(
  self: Pick<NodeEntry, 'id' | 'name' | 'region' | 'host'>,
  store: MemoryChunkStore | undefined
): NodeEntry {
  return {
    ...self,
    role: 'admin',
    capacityBytes: store?.space().capacityBytes ?? 0,
    addresses: [],
    incarnation: store?.incarnation ?? { number: 1, nonce: NO_NONCE },
    version: '0.0.0'
  }
}

const NO_NONCE = '0000000000000001' as NodeEntry['incarnation']['nonce']

function savedIn(state: NodeState): AttachmentList {
  return {
    load: async () => [...state.saved],
    save: async list => {
      state.saved = list
    }
  }
}

function memoryExports(): ExportService {
  const points = new Map<VolumeId, ExportPoint>()
  return {
    add: async (volume, name) => {
      const point = { uri: `nbd:///${name}`, socketPath: undefined, exportName: name }
      points.set(volume, point)
      return point
    },
    remove: async volume => void points.delete(volume),
    point: volume => points.get(volume),
    connections: () => 0
  }
}
