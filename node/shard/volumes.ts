/** The volumes of which this node holds a shard, each made from its durable record on first use. */
import type { Token, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import type { AdmissionEffect } from '../../protocols/shard-io/session.ts'
import type { Clock } from '../ports.ts'
import type { ChunkStore, ShardRecord } from '../storage/types.ts'
import { ShardVolume } from './volume.ts'

export class Volumes {
  readonly #store: ChunkStore
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void
  readonly #volumes = new Map<VolumeId, ShardVolume>()

  constructor(
    store: ChunkStore,
    clock: Clock,
    carryOut: (volume: ShardVolume, effect: AdmissionEffect) => void
  ) {
    this.#store = store
    this.#clock = clock
    this.#startedAtMs = clock.monotonicMs()
    this.#carryOut = carryOut
    for (const record of store.shards()) this.#make(record, this.#startedAtMs)
  }

  all(): ShardVolume[] {
    return [...this.#volumes.values()]
  }

  get(id: VolumeId): ShardVolume | undefined {
    return this.#volumes.get(id)
  }

  /** The store has made this first record of the volume durable. */
  add(record: ShardRecord): ShardVolume {
    return this.#make(record, this.#clock.monotonicMs())
  }

  /** The store has removed the shard, durably. */
  remove(id: VolumeId): void {
    this.#volumes.delete(id)
  }

  /** The removal that fences a writer of this token, if there was one. */
  removedAbove(id: VolumeId, token: Token): Token | undefined {
    const removedAt = this.#store.removedAt(id)
    return removedAt !== undefined && compareTokens(removedAt, token) > 0 ? removedAt : undefined
  }

  #make(record: ShardRecord, heardAtMs: number): ShardVolume {
    const volume = new ShardVolume(record, heardAtMs, this.#carryOut)
    this.#volumes.set(volume.id, volume)
    return volume
  }
}
