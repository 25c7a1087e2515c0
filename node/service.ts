/**
 * What a node does for volumes, wired over the ports:
 *
 *   openStorage: disk -> incarnation, and a store if the node has capacity
 *   openService: store -> shard server ;  disk -> map ;  map, shard server -> gateway,
 *                handoffs, and the moves above them
 *
 * The daemon puts real ports below it, the simulator simulated ones; everything between is the
 * same. Invariants: nothing here knows libp2p, files or the control API; what was opened has pushed
 * onto `cleanups` how it is closed, in the order of opening, also when a later part fails.
 */
import type { ObserveStep } from '../protocols/handoff/steps.ts'
import type { ChunkKey, Incarnation, NodeId, VolumeId } from '../protocols/ids.ts'
import { createGateway, type GatewayOptions } from './gateway/gateway.ts'
import type { Gateway } from './gateway/types.ts'
import { createHandoffs } from './handoff/handoffs.ts'
import { MoverTurns } from './handoff/mover-turns.ts'
import type { Handoffs } from './handoff/types.ts'
import { DEFAULT_HOLDER_TIMEOUT_MS, HANDOFF_PARTIAL_KEEP_MS } from './limits.ts'
import { createMap } from './map/map.ts'
import type { ShardMap } from './map/types.ts'
import { openMoves } from './moves/moves.ts'
import { Pacer } from './moves/pace.ts'
import type { Moves } from './moves/types.ts'
import type { Clock, Disk, Log, Network, Random } from './ports.ts'
import type { Rpc } from './rpc/types.ts'
import { rateOf } from './scaled-clock.ts'
import { createShardServer } from './shard/server.ts'
import type { ShardServer } from './shard/types.ts'
import { countStart } from './start-count.ts'
import type { SpaceLimits } from './storage/space.ts'
import { openStore } from './storage/store.ts'
import type { ChunkStore } from './storage/types.ts'

export type Cleanup = () => unknown

export interface Basics {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface StorageParts extends Basics {
  readonly disk: Disk
  /** 0: a gateway only, which counts its starts and keeps no store. */
  readonly capacityBytes: number
  /** The operator accepts that a damaged journal has lost data. */
  readonly acceptLoss?: boolean
  readonly limits?: Partial<SpaceLimits>
}

export interface Storage {
  readonly disk: Disk
  readonly store: ChunkStore | undefined
  readonly incarnation: Incarnation
}

export interface ServiceParts extends Basics {
  readonly self: { readonly id: NodeId; readonly host: string }
  readonly store: ChunkStore | undefined
  /** Where the map keeps its documents, and the moves theirs. */
  readonly dataDisk: Disk
  readonly network: Network
  readonly rpc: Rpc
  readonly acceptsRevocation: (peer: NodeId, signed: Uint8Array) => boolean
  readonly gatewayOptions?: GatewayOptions
  /** How long a partial copy that nobody goes on with is kept. */
  readonly partialKeepMs?: number
  /** Bytes per second of background copying, instead of what is kept; null: no bound. */
  readonly moveBound?: number | null | undefined
  /** Told of every step of a handoff in which this node takes part. */
  readonly observe?: ObserveStep
  /** What load is measured by; the clock by default. */
  readonly loadClock?: Clock
  /** Told of every chunk that left, once its release is confirmed. */
  readonly passed?: (chunk: ChunkKey, to: NodeId) => void
}

export interface Service {
  readonly shards: ShardServer | undefined
  readonly map: ShardMap
  readonly gateway: Gateway
  /** These two are absent on a node without capacity. */
  readonly handoffs: Handoffs | undefined
  readonly moves: Moves | undefined
}

/** Throws ShoalError DATA_DIR. */
export async function openStorage(parts: StorageParts, cleanups: Cleanup[]): Promise<Storage> {
  const { disk, capacityBytes, random, log } = parts
  if (capacityBytes === 0) {
    return { disk, store: undefined, incarnation: await countStart(disk, random, log) }
  }
  const store = await openStore(parts)
  cleanups.push(() => store.close())
  return { disk, store, incarnation: store.incarnation }
}

export async function openService(parts: ServiceParts, cleanups: Cleanup[]): Promise<Service> {
  const { self, store, network, rpc, clock, random, log, gatewayOptions = {} } = parts
  const { holderTimeoutMs } = gatewayOptions
  const loadRate = rateOf(parts.loadClock ?? clock)
  const server = { network, rpc, clock, log, self: self.id, holderTimeoutMs, loadRate }
  const shards = store && createShardServer({ store, ...server })
  cleanups.push(() => shards?.close())
  let gateway: Gateway | undefined
  const isAttached = (volume: VolumeId): boolean => gateway?.attachments().has(volume) === true
  const map = await createMap({
    disk: parts.dataDisk,
    network,
    rpc,
    clock,
    random,
    log,
    hostsVolume: volume => store?.shard(volume) !== undefined || isAttached(volume),
    acceptsRevocation: parts.acceptsRevocation
  })
  cleanups.push(() => map.close())
  gateway = createGateway({
    network,
    rpc,
    map,
    localShard: shards && (() => shards.connectLocal()),
    clock,
    random,
    log,
    self,
    options: gatewayOptions,
    observe: parts.observe
  })
  cleanups.push(() => gateway?.close())
  const moving =
    store === undefined || shards === undefined
      ? { handoffs: undefined, moves: undefined }
      : await openMoving({ ...parts, store, shards, map }, cleanups)
  return { shards, map, gateway, ...moving }
}

async function openMoving(
  parts: ServiceParts & Pick<Service, 'map'> & { store: ChunkStore; shards: ShardServer },
  cleanups: Cleanup[]
): Promise<{ handoffs: Handoffs; moves: Moves }> {
  const { shards, clock, gatewayOptions = {} } = parts
  const pacer = new Pacer({ clock, clientLoad: () => shards.replicas.clientLoad() })
  const handoffs = createHandoffs({
    ...parts,
    pace: pacer,
    observe: parts.observe ?? (() => {}),
    passed: parts.passed ?? (() => {}),
    holderTimeoutMs: gatewayOptions.holderTimeoutMs ?? DEFAULT_HOLDER_TIMEOUT_MS,
    movers: new MoverTurns(),
    partialKeepMs: parts.partialKeepMs ?? HANDOFF_PARTIAL_KEEP_MS
  })
  cleanups.push(() => handoffs.close())
  const moves = await openMoves({
    ...parts,
    disk: parts.dataDisk,
    handoffs,
    pacer,
    hottest: (volume, limit) => shards.replicas.hottest(volume, limit),
    bound: parts.moveBound
  })
  cleanups.push(() => moves.close())
  return { handoffs, moves }
}
