/**
 * What handoffs leave behind, looked after at the start and at intervals:
 *
 *   prepared, and nobody says more      ask the source: hold, or go back to copying
 *   receiving, and nobody goes on       dropped after a while, with its bytes
 *   confirmed sign-posts                pruned once the map says the same
 *   held, and the map does not know     announced again
 *   chunks that nothing speaks of       freed
 *   shards that hold nothing            forgotten
 *   a mover's token of an earlier start let go
 *
 * Invariants: bytes go only if neither runs, receiving nor an unconfirmed release speaks of them;
 * a prepared chunk is held only by the source's own word.
 */
import { claimedEpoch } from '../../crdt/claim-index.ts'
import { messageOf } from '../../protocols/fault.ts'
import { demote, drop, isEmpty, mustKeep, prune } from '../../protocols/handoff/records.ts'
import type { ChunkKey, HandoffId, VolumeId } from '../../protocols/ids.ts'
import { compareEpochs } from '../../protocols/ids.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import type { ReceivingRun, ReleasedRun } from '../../protocols/shard-control/runs.ts'
import { HANDOFF_KEEPER_MS, HANDOFF_SIGN_POST_MS } from '../limits.ts'
import type { Timer } from '../ports.ts'
import { announceHeld, holdChunk, unannounced } from './claims.ts'
import { askOutcome } from './outcomes.ts'
import type { HandoffParts } from './parts.ts'

export interface KeeperOptions {
  /** A stream of this handoff is open: it looks after itself. */
  readonly isReceiving: (handoff: HandoffId) => boolean
  /** A run of this chunk is under way here. */
  readonly isSending: (chunk: ChunkKey) => boolean
}

export class Keeper {
  readonly #parts: HandoffParts
  readonly #options: KeeperOptions
  /** Since when nobody goes on with a partial copy. */
  #idleSince = new Map<HandoffId, number>()
  /** The same, as far as the present look has got. */
  #stillIdle = new Map<HandoffId, number>()
  /** Since when the target of a chunk that left has confirmed, by the run's name. */
  #confirmedSince = new Map<string, number>()
  /** The same, as far as the present look has got. */
  #stillConfirmed = new Map<string, number>()
  #timer: Timer | undefined
  #looking: Promise<void> | undefined
  #isStopped = false

  constructor(parts: HandoffParts, options: KeeperOptions) {
    this.#parts = parts
    this.#options = options
  }

  start(): void {
    void this.#letMoversGo()
    this.#schedule(0)
  }

  /** Looks soon: something happened that leaves something behind. */
  soon(): void {
    this.#schedule(HANDOFF_KEEPER_MS / 20)
  }

  async stop(): Promise<void> {
    this.#isStopped = true
    this.#timer?.cancel()
    await this.#looking
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped || this.#looking !== undefined) return
    this.#timer?.cancel()
    this.#timer = this.#parts.clock.after(delayMs, () => {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined
        this.#schedule(HANDOFF_KEEPER_MS * (0.5 + this.#parts.random.fraction()))
      })
    })
  }

  async #look(): Promise<void> {
    const { shards, store, log } = this.#parts
    for (const volume of shards.volumes()) {
      if (this.#isStopped || store.failure !== undefined) return
      try {
        await this.#lookAt(volume)
      } catch (error) {
        log.warn({ volume, why: messageOf(error) }, 'looking after a shard failed')
      }
    }
    this.#confirmedSince = this.#stillConfirmed
    this.#stillConfirmed = new Map()
    this.#idleSince = this.#stillIdle
    this.#stillIdle = new Map()
  }

  async #lookAt(volume: VolumeId): Promise<void> {
    const { replicas } = this.#parts.shards
    for (const entry of replicas.head(volume)?.receiving ?? []) await this.#receiving(volume, entry)
    const head = replicas.head(volume)
    if (head === undefined) return
    await this.#announce(head)
    if (head.released.some(one => one.handoff === undefined)) {
      await replicas.update(volume, now => prune(now, one => this.#isKnown(volume, one)))
    }
    await this.#free(volume)
    const now = replicas.head(volume)
    if (now !== undefined && isEmpty(now)) await this.#forget(volume)
  }

  async #receiving(volume: VolumeId, entry: ReceivingRun): Promise<void> {
    const { handoff, isPrepared } = entry
    if (this.#options.isReceiving(handoff)) return
    if (isPrepared) await this.#askAbout(volume, entry)
    else await this.#mayDrop(volume, entry)
  }

  async #askAbout(volume: VolumeId, { handoff, run, from }: ReceivingRun): Promise<void> {
    const chunk = chunkOf(volume, run)
    const answer = await askOutcome(this.#parts, from, { call: 'outcome', handoff, chunk })
    if (answer?.is === 'released' && answer.to === this.#parts.self.id) {
      await holdChunk(this.#parts, chunk, handoff, answer.epoch)
    } else if (answer?.is === 'aborted') {
      this.#parts.observe('target: dropping')
      await this.#parts.shards.replicas.update(volume, now => demote(now, handoff))
    }
  }

  async #mayDrop(volume: VolumeId, { handoff, from }: ReceivingRun): Promise<void> {
    const { clock, map, shards, partialKeepMs } = this.#parts
    const nowMs = clock.monotonicMs()
    const sinceMs = this.#idleSince.get(handoff) ?? nowMs
    this.#stillIdle.set(handoff, sinceMs)
    const isGone = map.mesh().revocations.has(from)
    if (!isGone && nowMs - sinceMs < partialKeepMs) return
    this.#parts.observe('target: dropping')
    const isIdle = () => !this.#options.isReceiving(handoff)
    await shards.replicas.update(volume, now => (isIdle() ? drop(now, handoff) : 'in use'))
  }

  async #announce(head: ShardHead): Promise<void> {
    const { map } = this.#parts
    const { id } = head.spec
    const chunks = unannounced(map.volume(id), id, head.runs)
    if (chunks.length > 0 && !map.mesh().tombstones.has(id)) {
      await announceHeld(this.#parts, head, chunks)
    }
  }

  /** And confirmed so long ago that no late repetition of a growth can grant it here again. */
  #isKnown(volume: VolumeId, { run, to }: ReleasedRun): boolean {
    const nowMs = this.#parts.clock.monotonicMs()
    const name = `${volume} ${run.column} ${run.from} ${run.to} ${to}`
    const sinceMs = this.#confirmedSince.get(name) ?? nowMs
    this.#stillConfirmed.set(name, sinceMs)
    if (nowMs - sinceMs < HANDOFF_SIGN_POST_MS) return false
    const view = this.#parts.map.volume(volume)
    for (let extent = run.from; extent < run.to; extent++) {
      const claimed = claimedEpoch(view, { ...chunkOf(volume, run), extent })
      if (claimed === undefined || compareEpochs(claimed, run.epoch) < 0) return false
    }
    return true
  }

  /** Chunks that are here although nothing speaks of them. */
  async #free(volume: VolumeId): Promise<void> {
    const { store, shards } = this.#parts
    for (const chunk of store.chunks(volume)) {
      const head = shards.replicas.head(volume)
      if (head === undefined || mustKeep(head, chunk) || this.#options.isSending(chunk)) continue
      await store.freeChunk(chunk)
    }
  }

  /** Only once the last of its chunks has left the disk: until then it is looked at again. */
  async #forget(volume: VolumeId): Promise<void> {
    const { store, shards } = this.#parts
    if (store.chunks(volume).length > 0) return
    await shards.replicas.forget(volume, async () => {
      const isForgotten = await store.forgetShard(volume)
      if (!isForgotten) throw new Error('the shard keeps something still')
    })
  }

  /** A mover lives for a moment only: one of ours that is on record is of an earlier start. */
  async #letMoversGo(): Promise<void> {
    const { shards, self } = this.#parts
    for (const volume of shards.volumes()) {
      const head = shards.replicas.head(volume)
      if (head?.mover?.node !== self.id) continue
      await shards.control({ call: 'detach', volume, token: head.token }, self.id)
    }
  }
}

function chunkOf(volume: VolumeId, run: ReceivingRun['run']): ChunkKey {
  const { from, generation, column, replica } = run
  return { volume, extent: from, generation, column, replica }
}
