/**
 * One change of one chunk: whole blocks, or part of one block that is merged with what is there.
 *
 *   ordered --nothing older overlaps--> merging --block read and good--> admitted --budget--> sent
 *      \________________________________(whole blocks)____________________/                    |
 *   answered: kept for replay, its followers start, the caller is told <______________________/
 *
 * Invariants: the caller is told once; followers start only when the shard can no longer apply this
 * change; a block that fails its checksum is never merged into; where it goes is decided when it
 * starts, not when it arrives: its chunk may pass on while it waits.
 */
import { assert } from '../../protocols/assert.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import { type ChunkKey, NO_TOKEN, type PlacementEpoch } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { Op } from '../../protocols/shard-io/messages.ts'
import { REPLAY_ENTRY_BYTES } from '../limits.ts'
import type { ChangeJob } from './job.ts'
import { Ordered } from './order.ts'
import type { LinkRequest } from './request.ts'
import type { ShardLink } from './shard-link.ts'

/** The attachment, as a change sees it. */
export interface ChangeOwner {
  /** Nothing older overlaps: merge, or wait for budget and send. */
  changeStarted: (change: Change) => void
  /** The shard has applied it. */
  changeApplied: (change: Change) => void
  /** It will never be applied (any more): followers may start, its budget is free. */
  changeDropped: (change: Change) => void
}

const NOWHERE: PlacementEpoch = { token: NO_TOKEN, counter: 0 }

/** Bytes to put into one block, which must be read first. */
export interface Merge {
  readonly skipBytes: number
  readonly bytes: Uint8Array
}

export interface ChangeParts {
  readonly owner: ChangeOwner
  readonly job: ChangeJob
  readonly op: Op
  readonly flags: number
  readonly chunk: ChunkKey
  readonly address: number
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly crcs: Uint32Array
  readonly data: Uint8Array
  readonly merge: Merge | undefined
  readonly startedAt: number
}

export class Change extends Ordered implements LinkRequest {
  readonly op: Op
  readonly flags: number
  readonly chunk: ChunkKey
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly startedAt: number
  readonly costBytes: number
  /** Where it goes, from its start on. */
  epoch: PlacementEpoch = NOWHERE
  link: ShardLink | undefined
  crcs: Uint32Array
  data: Uint8Array
  merge: Merge | undefined
  sentSession = 0
  /** Its cost is taken from the budget. */
  isAdmitted = false
  readonly #owner: ChangeOwner
  #job: ChangeJob | undefined

  constructor(parts: ChangeParts) {
    super(parts.address, parts.address + parts.lengthBytes)
    this.op = parts.op
    this.flags = parts.flags
    this.chunk = parts.chunk
    this.offsetBytes = parts.offsetBytes
    this.lengthBytes = parts.lengthBytes
    this.crcs = parts.crcs
    this.data = parts.data
    this.merge = parts.merge
    this.startedAt = parts.startedAt
    this.costBytes =
      parts.data.length + (parts.merge === undefined ? 0 : BLOCK_BYTES) + REPLAY_ENTRY_BYTES
    this.#owner = parts.owner
    this.#job = parts.job
    parts.job.add()
  }

  /** The caller was told. */
  get isAnswered(): boolean {
    return this.#job === undefined
  }

  /** The link of a change that has started. */
  get placedOn(): ShardLink {
    assert(this.link !== undefined, 'a change that has started goes somewhere')
    return this.link
  }

  start(): void {
    this.#owner.changeStarted(this)
  }

  /** `block` was read and is good: from now on this is a write of the whole block. */
  mergeInto(block: Uint8Array): void {
    const { merge } = this
    assert(merge !== undefined && block.length === BLOCK_BYTES, 'one block is merged once')
    const data = Buffer.from(block)
    data.set(merge.bytes, merge.skipBytes)
    this.data = data
    this.crcs = blockChecksums(data)
    this.merge = undefined
  }

  answered(): void {
    assert(this.hasStarted && !this.hasLeft, 'a change is applied once, in its turn')
    this.#owner.changeApplied(this)
    this.#tell(undefined)
  }

  failed(error: Error, mayStillApply: boolean): void {
    if (!mayStillApply) this.#owner.changeDropped(this)
    this.#tell(error)
  }

  /** Given up earlier; from now on the shard cannot apply it any more. */
  expired(): void {
    this.#owner.changeDropped(this)
  }

  #tell(error: Error | undefined): void {
    const job = this.#job
    assert(job !== undefined, 'the caller is told once')
    this.#job = undefined
    job.partEnded(error)
  }
}
