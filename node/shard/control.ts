/**
 * Control calls: the pure decision (protocols/shard-control/grants.ts) is made durable, adopted by
 * the admission, and answered, in this order. Calls that may change the same volume wait for each
 * other; reads of its state do not wait.
 *
 * Invariants: nothing is answered as granted before the store said that it is durable; an open or a
 * mover is answered only after everything admitted under an older token was applied or discarded; a
 * member opens and moves for itself alone, and detaches only what it was granted.
 */
import { assert } from '../../protocols/assert.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import { MAX_WAITING_OPENS } from '../../protocols/limits.ts'
import type { Changing, Decision } from '../../protocols/shard-control/grants.ts'
import { decide, ownerOf, stale } from '../../protocols/shard-control/grants.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import { findRun } from '../../protocols/shard-control/runs.ts'
import {
  MIN_FREE_FOR_SHARD_BYTES,
  SHARD_DIGESTS_RUNNING,
  SHARD_DIGESTS_WAITING
} from '../limits.ts'
import type { Clock, Log } from '../ports.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { VolumeTurns } from './turns.ts'
import { Turns } from './turns.ts'
import type { ShardVolume } from './volume.ts'
import type { Volumes } from './volumes.ts'
import { FULL } from './volumes.ts'

export interface ControlDeskOptions {
  readonly store: ChunkStore
  readonly volumes: Volumes
  readonly turns: VolumeTurns
  readonly clock: Clock
  readonly log: Log
  readonly outOfService: () => string | undefined
  readonly holderTimeoutMs: number
}

type Digest = Extract<ControlRequest, { call: 'digest' }>

const MAX_WHY_CHARS = 500
const BUSY = 'too many calls wait already'

export class ControlDesk {
  readonly #options: ControlDeskOptions
  readonly #digests = new Turns(SHARD_DIGESTS_RUNNING, SHARD_DIGESTS_WAITING)

  constructor(options: ControlDeskOptions) {
    this.#options = options
  }

  /**
   * Never rejects: what goes wrong is answered `failed`. Without `from` the node itself asks, for
   * whomever it likes.
   */
  async handle(request: ControlRequest, from?: NodeId): Promise<ControlAnswer> {
    try {
      const why = this.#options.outOfService()
      if (why !== undefined) return failed(why)
      if (request.call === 'query') return this.#query(request.volume)
      if (request.call === 'digest') return await this.#digest(request)
      return await this.#change(request, from)
    } catch (error) {
      this.#options.log.warn({ call: request.call, error: messageOf(error) }, 'a call failed')
      if (isFault(error, 'NO_SPACE')) return this.#noSpace()
      return failed(messageOf(error))
    }
  }

  async #change(request: Changing, from: NodeId | undefined): Promise<ControlAnswer> {
    const id = request.call === 'create' ? request.spec.id : request.volume
    const { turns } = this.#options
    const done = await turns.take(id, () => this.#decideAndSave(id, request, from))
    if (done === undefined) return failed(BUSY)
    if ('is' in done) return done
    if (request.call === 'detach') return { is: 'done' }
    if (request.call !== 'open' && request.call !== 'mover') return this.#state(done)
    // Outside the turn: a later call may raise the token while this one waits for older requests.
    if (done.waitingOpens >= MAX_WAITING_OPENS) return failed(BUSY)
    const isGranted = await done.open(request.token)
    const isPresent = compareTokens(done.greatest, request.token) === 0
    return isGranted && isPresent ? this.#state(done) : this.#stale(done)
  }

  /** The volume as the call left it, or the answer of a call that is over. */
  async #decideAndSave(
    id: VolumeId,
    request: Changing,
    from: NodeId | undefined
  ): Promise<ShardVolume | ControlAnswer> {
    const { store, volumes, clock } = this.#options
    const decision = this.#decide(id, request, from)
    if (decision.do === 'answer') return decision.answer
    if (decision.do === 'remove') return this.#remove(id, decision)
    if (decision.do === 'save') {
      await store.saveShard(decision.head)
      volumes.adopt(decision.head)
    }
    const volume = volumes.get(id)
    assert(volume !== undefined, 'a saved shard has its volume')
    if (request.call === 'open') volume.heardAtMs = clock.monotonicMs()
    return volume
  }

  #decide(id: VolumeId, request: Changing, from: NodeId | undefined): Decision {
    const { store, volumes, clock, holderTimeoutMs } = this.#options
    const volume = volumes.get(id)
    const head = volume?.record
    if (from !== undefined && callerOf(request, from) !== from) {
      return { do: 'answer', answer: failed('a member takes a volume for itself alone') }
    }
    if (request.call === 'create' && head === undefined && volumes.isFull) {
      return { do: 'answer', answer: failed(FULL) }
    }
    const nowMs = clock.monotonicMs()
    const known = {
      head,
      removedAt: store.removedAt(id),
      availableBytes: store.space().availableBytes,
      wantedBytes: MIN_FREE_FOR_SHARD_BYTES,
      holderSilentMs: volume?.holderSilentMs(nowMs) ?? 0,
      holderTimeoutMs,
      moverAgeMs: nowMs - (volume?.moverAtMs ?? nowMs)
    }
    const decision = decide(known, request)
    const isDetach = request.call === 'detach' && decision.do === 'save'
    if (isDetach && head !== undefined && from !== undefined && ownerOf(head) !== from) {
      return { do: 'answer', answer: failed('only who was granted the token detaches') }
    }
    return decision
  }

  async #remove(id: VolumeId, decision: Decision & { do: 'remove' }): Promise<ControlAnswer> {
    const { store, volumes } = this.#options
    const volume = volumes.get(id)
    if (volume?.record === undefined) {
      await store.removeShard(id, decision.token)
      return { is: 'done' }
    }
    const { record } = volume
    // From here on nothing begins; what has begun settles before its bytes are freed.
    volume.close()
    await volume.idle()
    try {
      await store.removeShard(id, decision.token)
    } catch (error) {
      volume.adopt(store.shard(id) ?? record)
      throw error
    }
    volume.bury(decision.token)
    volumes.remove(id)
    return { is: 'done' }
  }

  #query(id: VolumeId): ControlAnswer {
    const volume = this.#options.volumes.get(id)
    if (volume?.record !== undefined) return this.#state(volume)
    const removedAt = this.#options.store.removedAt(id)
    return removedAt === undefined ? { is: 'absent' } : { is: 'removed', token: removedAt }
  }

  async #digest(request: Digest): Promise<ControlAnswer> {
    const { call: _, ...chunk } = request
    const { store, volumes } = this.#options
    const volume = volumes.get(chunk.volume)
    const isHeld = () => volume !== undefined && findRun(volume.index, chunk) !== undefined
    if (!isHeld()) return { is: 'absent' }
    const answer = await this.#digests.take(async (): Promise<ControlAnswer> => {
      if (!isHeld()) return { is: 'absent' }
      return { is: 'digest', cid: await store.digest(chunk) }
    })
    return answer ?? failed(BUSY)
  }

  #state(volume: ShardVolume): ControlAnswer {
    const { record } = volume
    if (record === undefined) return this.#query(volume.id)
    const silentMs = volume.holderSilentMs(this.#options.clock.monotonicMs())
    return {
      is: 'state',
      state: {
        spec: record.spec,
        sizeBytes: record.sizeBytes,
        token: record.token,
        writer: record.writer,
        ...(record.mover === undefined ? {} : { mover: record.mover }),
        ...(record.holder === undefined ? {} : { holder: record.holder }),
        ...(silentMs === undefined ? {} : { holderSilentMs: silentMs }),
        incarnation: this.#options.store.incarnation,
        runs: [...record.runs],
        released: [...record.released],
        receiving: [...record.receiving],
        allocatedBytes: this.#options.store.allocatedBytes(volume.id)
      }
    }
  }

  #stale(volume: ShardVolume): ControlAnswer {
    return volume.record === undefined ? this.#query(volume.id) : stale(volume.record)
  }

  #noSpace(): ControlAnswer {
    return { is: 'no-space', availableBytes: this.#options.store.space().availableBytes }
  }
}

function callerOf(request: Changing, from: NodeId): NodeId {
  if (request.call === 'open') return request.holder.node
  return request.call === 'mover' ? request.mover.node : from
}

function failed(why: string): ControlAnswer {
  return { is: 'failed', why: why.slice(0, MAX_WHY_CHARS) }
}
