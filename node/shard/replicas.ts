/**
 * What the handoff drivers of this node may do with its shards: look at heads, change them in the
 * volume's turn, freeze and track chunks, and see what the clients notice of it.
 *
 * Invariants: a change of a head is decided and made durable while no other call about the volume
 * is, and takes effect only when it is durable; a removed volume never comes back.
 */
import { assert } from '../../protocols/assert.ts'
import type { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'
import { isEmpty } from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { type HeatState, heatStateSchema } from '../../protocols/load/heat.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import { findRun } from '../../protocols/shard-control/runs.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import type { Clock } from '../ports.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { ClientLoad, ClientLoadMeter } from './client-load.ts'
import type { ChunkHeat, HeatMeter } from './heat.ts'
import type { ChunkShare } from './heat-share.ts'
import type { VolumeTurns } from './turns.ts'
import type { ChunkPart, ReplicaDesk } from './types.ts'
import type { Volumes } from './volumes.ts'
import { FULL } from './volumes.ts'

export interface ReplicaDeskOptions {
  readonly store: ChunkStore
  readonly volumes: Volumes
  readonly turns: VolumeTurns
  readonly clock: Clock
  readonly load: ClientLoadMeter
  readonly heat: HeatMeter
  readonly outOfService: () => string | undefined
  /** Ends the connections of a volume, so that their senders begin anew. */
  readonly disconnect: (volume: VolumeId, why: string) => void
}

export class Replicas implements ReplicaDesk {
  readonly #options: ReplicaDeskOptions

  constructor(options: ReplicaDeskOptions) {
    this.#options = options
  }

  head(volume: VolumeId): ShardHead | undefined {
    return this.#options.volumes.get(volume)?.record
  }

  update(
    id: VolumeId,
    decide: (head: ShardHead | undefined) => ShardHead | string
  ): Promise<ShardHead | string> {
    const { store, volumes } = this.#options
    return this.#inTurn<ShardHead | string>(id, async () => {
      if (store.removedAt(id) !== undefined) return 'removed'
      const head = this.head(id)
      const next = decide(head)
      if (typeof next === 'string' || next === head) return next
      assert(next.spec.id === id, 'a head stays with its volume')
      if (head === undefined && volumes.isFull) return FULL
      if (head !== undefined) {
        assert(compareTokens(next.token, head.token) >= 0, 'a token only grows')
        assert(next.sizeBytes >= head.sizeBytes, 'a volume only grows')
      }
      await store.saveShard(next)
      volumes.adopt(next)
      return next
    })
  }

  forget(id: VolumeId, erase: () => Promise<void>): Promise<string | undefined> {
    const { volumes, disconnect } = this.#options
    return this.#inTurn(id, async () => {
      const volume = volumes.get(id)
      const head = volume?.record
      if (volume === undefined || head === undefined) return undefined
      if (!isEmpty(head)) return 'the shard still holds something'
      volume.close()
      await volume.idle()
      try {
        await erase()
      } catch (error) {
        volume.adopt(head)
        throw error
      }
      volumes.remove(id)
      // They would wait on a volume that is nobody's, also when the next one of this id comes.
      disconnect(id, 'the shard is gone from this node')
      return undefined
    })
  }

  freeze(chunk: ChunkKey, handoff: HandoffId): void {
    this.#options.volumes.get(chunk.volume)?.watches.freeze(chunk, handoff)
  }

  thaw(chunk: ChunkKey, handoff: HandoffId): void {
    this.#options.volumes.get(chunk.volume)?.watches.thaw(chunk, handoff)
  }

  track(chunk: ChunkKey): DirtyBlocks | undefined {
    const volume = this.#options.volumes.get(chunk.volume)
    const head = volume?.record
    if (volume === undefined || head === undefined) return undefined
    if (findRun(volume.index, chunk) === undefined) return undefined
    return volume.watches.track(chunk, columnBytes(head.spec, chunk.column) / BLOCK_BYTES)
  }

  settled(volume: VolumeId): Promise<void> {
    return this.#options.volumes.get(volume)?.settledSoFar() ?? Promise.resolve()
  }

  clientLoad(): ClientLoad {
    return this.#options.load.load()
  }

  hottest(id: VolumeId, limit: number): ChunkHeat[] {
    const { volumes, heat, clock } = this.#options
    const volume = volumes.get(id)
    const head = volume?.record
    if (volume === undefined || head === undefined) return []
    const isHeld = (chunk: ChunkKey) => findRun(volume.index, chunk) !== undefined
    return heat.hottest(volume.heat, head.spec, isHeld, limit, clock.monotonicMs())
  }

  profileOf(chunk: ChunkKey): HeatState['profile'] {
    const volume = this.#options.volumes.get(chunk.volume)
    return volume && this.#options.heat.profileOf(volume.heat, chunk)
  }

  shareOf(chunk: ChunkKey): ChunkShare {
    const { volumes, heat, clock } = this.#options
    const volume = volumes.get(chunk.volume)
    if (volume === undefined) return { now: 0, byHour: undefined }
    return heat.shareOf(volume.heat, chunk, clock.monotonicMs())
  }

  sharesIn(id: VolumeId, hour: number): ChunkPart[] {
    const { volumes, heat, clock } = this.#options
    const volume = volumes.get(id)
    const head = volume?.record
    if (volume === undefined || head === undefined) return []
    const parts = heat.shares(volume.heat, head.spec, hour, clock.monotonicMs())
    return parts.filter(({ chunk }) => findRun(volume.index, chunk) !== undefined)
  }

  takeHeat(chunk: ChunkKey): HeatState | undefined {
    const { volumes, heat, clock } = this.#options
    const volume = volumes.get(chunk.volume)
    return volume && heat.take(volume.heat, chunk, clock.monotonicMs())
  }

  giveHeat(chunk: ChunkKey, state: unknown): boolean {
    const { volumes, heat, clock } = this.#options
    const volume = volumes.get(chunk.volume)
    const parsed = heatStateSchema.safeParse(state)
    if (volume === undefined || !parsed.success) return false
    heat.give(volume.heat, chunk, parsed.data, clock.monotonicMs())
    return true
  }

  /** Refused with words while the node is out of service, also if that happened in the meantime. */
  #inTurn<T>(id: VolumeId, task: () => Promise<T>): Promise<T | string> {
    return this.#options.turns.takeAnyway(id, async () => {
      return this.#options.outOfService() ?? (await task())
    })
  }
}
