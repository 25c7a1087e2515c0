/**
 * Brings a shard that came back with a new incarnation to where it was: the newest content of every
 * block that the buffer knows, each block once.
 *
 *   buffer  w1 [0 1 2 3]  w2 [1]  t3 [3 4]     oldest first
 *   plan    t3 [3 4]   w1 [0] w1 [2]   w2 [1]  disjoint, so in any order, many at a time
 *
 * What gives blocks back goes first: on a full disk the writes may need that very room.
 *
 * Older content of a block is left out, not only for speed: were it written again, a second loss of
 * power could leave it on the medium in place of newer content that had been promised durable (FUA).
 *
 * Invariants: the plan covers exactly the blocks of the buffer, each with its newest change; it is
 * done when the shard has answered all of it; anything but OK, BUSY or a lost stream refuses it.
 */

import type { ChunkKey, PlacementEpoch } from '../../protocols/ids.ts'
import { IntervalSet } from '../../protocols/interval-set.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { type Answer, Flag, Op } from '../../protocols/shard-io/messages.ts'
import type { LinkRequest } from './request.ts'

/** A change as it was answered: `from` is its address on the chunks laid end to end (order.ts). */
export interface Replayable {
  readonly op: Op
  readonly flags: number
  readonly chunk: ChunkKey
  readonly epoch: PlacementEpoch
  readonly from: number
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly crcs: Uint32Array
  readonly data: Uint8Array
}

/** What to send for a buffer whose entries are given oldest first. */
export function replayPlan(entries: readonly Replayable[]): Replayable[] {
  const covered = new IntervalSet()
  const plan: Replayable[] = []
  for (let i = entries.length - 1; i >= 0; i--) {
    const entry = entries[i] as Replayable
    const fresh = covered.add(entry.from, entry.from + entry.lengthBytes)
    for (const [from, to] of fresh) plan.push(partOf(entry, from, to))
  }
  plan.reverse()
  return [...plan.filter(givesBack), ...plan.filter(part => !givesBack(part))]
}

function givesBack({ op, flags }: Replayable): boolean {
  return op === Op.trim || (op === Op.zero && (flags & Flag.allocate) === 0)
}

function partOf(entry: Replayable, from: number, to: number): Replayable {
  const skip = from - entry.from
  const length = to - from
  if (length === entry.lengthBytes) return entry
  const { op, flags, chunk, epoch, data, crcs } = entry
  return {
    op,
    flags,
    chunk,
    epoch,
    from,
    offsetBytes: entry.offsetBytes + skip,
    lengthBytes: length,
    data: data.length === 0 ? data : data.subarray(skip, skip + length),
    crcs:
      crcs.length === 0
        ? crcs
        : crcs.subarray(skip / BLOCK_BYTES, skip / BLOCK_BYTES + length / BLOCK_BYTES)
  }
}

export interface ReplayDriver {
  send: (request: LinkRequest) => void
  done: () => void
  refused: (error: Error) => void
}

export class Replay {
  readonly #plan: readonly Replayable[]
  readonly #startedAt: number
  readonly #driver: ReplayDriver
  #left: number
  #isOver = false

  constructor(entries: readonly Replayable[], startedAt: number, driver: ReplayDriver) {
    this.#plan = replayPlan(entries)
    this.#startedAt = startedAt
    this.#driver = driver
    this.#left = this.#plan.length
  }

  start(): void {
    for (const part of this.#plan) {
      if (this.#isOver) return
      this.#driver.send(this.#request(part))
    }
  }

  cancel(): void {
    this.#isOver = true
  }

  #request(part: Replayable): LinkRequest {
    const { op, flags, chunk, epoch, offsetBytes, lengthBytes, crcs, data } = part
    return {
      op,
      flags,
      chunk,
      epoch,
      offsetBytes,
      lengthBytes,
      crcs,
      data,
      startedAt: this.#startedAt,
      sentSession: 0,
      isOfConnection: true,
      answered: (_answer: Answer) => this.#answered(),
      failed: error => this.#refused(error)
    }
  }

  #answered(): void {
    if (this.#isOver) return
    this.#left--
    if (this.#left > 0) return
    this.#isOver = true
    this.#driver.done()
  }

  #refused(error: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#driver.refused(error)
  }
}
