/**
 * The shard server of a node: everything that others may ask of the chunks kept here.
 *
 *   shard-io stream --frames--> reception --queues--> scheduler --turns--> applier --> ChunkStore
 *   gateway here ---calls-----> reception                admission (pure) says who may
 *   shard-control --Rpc-------> control desk --durable grants--> admission
 *
 * Invariants: those of each part; besides, no input from a peer throws out of here, and a store
 * that failed or is quarantined serves nothing.
 */
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import {
  controlRequestSchema,
  SHARD_CONTROL_PROTOCOL
} from '../../protocols/shard-control/messages.ts'
import { SHARD_IO_PROTOCOL } from '../../protocols/shard-io/messages.ts'
import { DEFAULT_HOLDER_TIMEOUT_MS, SHARD_STREAMS, SHARD_STREAMS_PER_PEER } from '../limits.ts'
import type { ByteStream, Clock, Log, Network } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import { Applier } from './apply.ts'
import { ClientLoadMeter } from './client-load.ts'
import { ControlDesk } from './control.ts'
import { HeatMeter } from './heat.ts'
import { connectLocal } from './local.ts'
import type { LoadMonitor } from './monitor.ts'
import { Monitor } from './monitor.ts'
import { Reception } from './reception.ts'
import { Replicas } from './replicas.ts'
import { Scheduler } from './scheduler.ts'
import { serveStream } from './stream.ts'
import { VolumeTurns } from './turns.ts'
import type {
  LocalConnection,
  ReplicaDesk,
  ShardServer,
  ShardServerStats,
  ShardStats
} from './types.ts'
import type { ShardVolume } from './volume.ts'
import { Volumes } from './volumes.ts'

export interface ShardServerOptions {
  readonly store: ChunkStore
  readonly network: Network
  readonly rpc: Rpc
  readonly clock: Clock
  readonly log: Log
  readonly self: NodeId
  /** A holder that was not heard for so long is taken for gone: movers may have the volume. */
  readonly holderTimeoutMs?: number | undefined
  /** For the bench that asks what it costs: false measures no load of shards and chunks. */
  readonly monitor?: boolean
  /** Of the load clock (scaled-clock.ts); 1 by default. */
  readonly loadRate?: number | undefined
}

/** Serves at once, under both protocols. The store stays the caller's: close it after the server. */
export function createShardServer(options: ShardServerOptions): ShardServer {
  return new Server(options)
}

class Server implements ShardServer {
  readonly replicas: ReplicaDesk
  readonly monitor: LoadMonitor
  readonly #options: ShardServerOptions
  readonly #volumes: Volumes
  readonly #scheduler: Scheduler
  readonly #reception: Reception
  readonly #desk: ControlDesk
  #outOfService: string | undefined

  constructor(options: ShardServerOptions) {
    this.#options = options
    const { store, network, rpc, clock, log } = options
    const outOfService = () => this.#outOfService
    const load = new ClientLoadMeter(clock)
    const heat = new HeatMeter(clock.monotonicMs(), options.loadRate)
    const monitor = new Monitor(heat, () => clock.monotonicMs())
    this.monitor = monitor
    const applier = new Applier({
      store,
      clock,
      log,
      load,
      scheduler: () => this.#scheduler,
      violation: (connection, what) => this.#reception.violation(connection, what),
      failed: (connection, error) => this.#reception.failed(connection, error)
    })
    this.#scheduler = new Scheduler(clock, (connection, request, arrivedAtMs, heldUntilMs) => {
      try {
        applier.apply(connection, request, arrivedAtMs, heldUntilMs)
      } catch (error) {
        this.#reception.failed(connection, error)
      }
    })
    const measured = { heat, monitor: options.monitor === false ? undefined : monitor }
    this.#volumes = new Volumes(store, clock, measured, (volume, effect) =>
      this.#reception.carryOut(volume, effect)
    )
    this.#reception = new Reception({
      incarnation: store.incarnation,
      load,
      log,
      volumes: this.#volumes,
      scheduler: this.#scheduler,
      outOfService
    })
    const shared = { store, volumes: this.#volumes, turns: new VolumeTurns(), clock, outOfService }
    this.replicas = new Replicas({
      ...shared,
      load,
      heat,
      disconnect: (volume, why) => this.#disconnect(why, volume)
    })
    this.#desk = new ControlDesk({
      ...shared,
      log,
      holderTimeoutMs: options.holderTimeoutMs ?? DEFAULT_HOLDER_TIMEOUT_MS
    })
    if (store.failure !== undefined) this.#fail(store.failure)
    store.onFailure(error => this.#fail(error))
    network.handle(SHARD_IO_PROTOCOL, stream => this.#accept(stream))
    rpc.serve(SHARD_CONTROL_PROTOCOL, controlRequestSchema, (from, request) =>
      this.control(request, from)
    )
  }

  connectLocal(): LocalConnection {
    if (this.#outOfService !== undefined) {
      throw new ShoalError({ code: 'IO_ERROR' }, this.#outOfService)
    }
    return connectLocal(this.#options.self, this.#reception, this.#scheduler)
  }

  control(request: ControlRequest, from?: NodeId): Promise<ControlAnswer> {
    return this.#desk.handle(request, from)
  }

  quarantine(why: string): void {
    this.#stop(`quarantined: ${why}`)
  }

  limitLoad(unitsPerSecond: number | undefined): void {
    this.#scheduler.limit(unitsPerSecond)
  }

  volumes(): VolumeId[] {
    return this.#live().map(volume => volume.id)
  }

  stats(): ShardServerStats {
    const queued = new Map<ShardVolume, number>()
    for (const { volume, queued: count } of this.#reception.all()) {
      if (volume !== undefined) queued.set(volume, (queued.get(volume) ?? 0) + count)
    }
    return {
      shards: this.#live().map(volume => this.#statsOf(volume, queued.get(volume) ?? 0)),
      streams: this.#reception.count,
      inFlightRequests: this.#scheduler.inFlightRequests,
      inFlightBytes: this.#scheduler.inFlightBytes,
      violations: new Map(this.#reception.violations),
      outOfService: this.#outOfService
    }
  }

  async close(): Promise<void> {
    this.#stop('the node is going down')
    this.#scheduler.limit(undefined)
    await Promise.all(this.#volumes.all().map(volume => volume.idle()))
  }

  #accept(stream: ByteStream): void {
    const { count } = this.#reception
    if (count >= SHARD_STREAMS || this.#reception.countOf(stream.peer) >= SHARD_STREAMS_PER_PEER) {
      stream.abort(new ShoalError({ code: 'LIMIT', limit: 'shard streams' }, 'too many streams'))
      return
    }
    serveStream(stream, this.#reception, this.#scheduler, this.#options.clock)
  }

  #fail(error: Error): void {
    this.#options.log.error({ error: error.message }, 'the store failed; its shards are not served')
    this.#stop(`the store failed: ${error.message}`)
  }

  /** Nothing in flight is answered any more: gateways send again to the next incarnation. */
  #stop(why: string): void {
    this.#outOfService ??= why
    this.#disconnect(why)
  }

  #disconnect(why: string, id?: VolumeId): void {
    for (const connection of this.#reception.all()) {
      if (id !== undefined && connection.volume?.id !== id) continue
      this.#reception.abort(connection, new Error(why))
    }
  }

  #live(): ShardVolume[] {
    return this.#volumes.all().filter(volume => volume.record !== undefined)
  }

  #statsOf(volume: ShardVolume, queued: number): ShardStats {
    return {
      volume: volume.id,
      ...volume.counters,
      inFlight: volume.inFlight,
      queued,
      allocatedBytes: this.#options.store.allocatedBytes(volume.id),
      holderSilentMs: volume.holderSilentMs(this.#options.clock.monotonicMs())
    }
  }
}
