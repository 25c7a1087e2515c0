/** The volumes of which this node holds a shard, each made from its durable record on first use. */
import type { Token, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { AdmissionEffect } from '../../protocols/shard-io/session.ts'
import { SHARDS_PER_NODE } from '../limits.ts'
import type { Clock } from '../ports.ts'
import type { ChunkStore, ShardRecord } from '../storage/types.ts'
import type { HeatMeter } from './heat.ts'
import type { Monitor } from './monitor.ts'
import { ShardVolume } from './volume.ts'

/** Why a node takes no further shard. */
export const FULL = 'the node holds as many shards as it may'

export interface VolumesLoad {
  readonly heat: HeatMeter
  /** Undefined: load is not measured. */
  readonly monitor: Monitor | undefined
}

export class Volumes {
  readonly #store: ChunkStore
  readonly #clock: Clock
  readonly #load: VolumesLoad
  readonly #carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void
  readonly #volumes = new Map<VolumeId, ShardVolume>()

  constructor(
    store: ChunkStore,
    clock: Clock,
    load: VolumesLoad,
    carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void
  ) {
    this.#store = store
    this.#clock = clock
    this.#load = load
    this.#carryOut = carryOut
    const startedAtMs = clock.monotonicMs()
    for (const record of store.shards()) this.#make(record, startedAtMs)
  }

  all(): ShardVolume[] {
    return [...this.#volumes.values()]
  }

  get(id: VolumeId): ShardVolume | undefined {
    return this.#volumes.get(id)
  }

  get isFull(): boolean {
    return this.#volumes.size >= SHARDS_PER_NODE
  }

  /** The store has made this record durable: the first of its volume, or the next. */
  adopt(record: ShardRecord): ShardVolume {
    const nowMs = this.#clock.monotonicMs()
    const volume = this.#volumes.get(record.spec.id)
    if (volume === undefined) return this.#make(record, nowMs)
    const before = volume.record
    // Whoever passed the token of another gateway on knows that this one lives.
    if (before !== undefined && compareTokens(record.writer, before.writer) > 0) {
      volume.heardAtMs = nowMs
    }
    if (record.mover !== undefined && record.mover !== before?.mover) volume.moverAtMs = nowMs
    volume.adopt(record)
    return volume
  }

  /** The store has removed or forgotten the shard, durably. */
  remove(id: VolumeId): void {
    const volume = this.#volumes.get(id)
    if (volume === undefined) return
    this.#load.monitor?.remove(id)
    this.#load.heat.remove(volume.heat)
    this.#volumes.delete(id)
  }

  /** The removal that fences a writer of this token, if there was one. */
  removedAbove(id: VolumeId, token: Token): Token | undefined {
    const removedAt = this.#store.removedAt(id)
    return removedAt !== undefined && compareTokens(removedAt, token) > 0 ? removedAt : undefined
  }

  #make(record: ShardRecord, heardAtMs: number): ShardVolume {
    const { id, extentBytes } = record.spec
    const heat = this.#load.heat.add()
    const meter = this.#load.monitor?.add(id, extentBytes, heat)
    const volume = new ShardVolume(record, heardAtMs, { heat, meter }, this.#carryOut)
    this.#volumes.set(id, volume)
    return volume
  }
}
