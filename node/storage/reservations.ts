/**
 * Room that is kept free for chunks on their way here (`receiving` in a shard's record).
 *
 *   reservation of a chunk = |#### allocated ###|= pending =|........ left ........|
 *                                                            kept free of all others
 *
 * Derived from the records alone, so a restart knows them too. Invariants: `leftBlocks` of the
 * store is the sum of what every reservation has left; a reservation has left what its chunk has
 * neither allocated nor been promised (changes on their way), never less than nothing. A chunk
 * without a reservation pays one comparison for this.
 */
import { assert } from '../../protocols/assert.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { placeOf } from './chunk.ts'
import type { ShardState } from './shards.ts'

export class Reservation {
  readonly blocks: number
  leftBlocks: number
  readonly #total: Reservations

  constructor(total: Reservations, blocks: number) {
    this.blocks = blocks
    this.leftBlocks = blocks
    this.#total = total
    total.leftBlocks += blocks
  }

  /** The chunk has, or was promised, so many blocks. */
  use(blocks: number): void {
    const leftBlocks = Math.max(0, this.blocks - blocks)
    this.#total.leftBlocks += leftBlocks - this.leftBlocks
    this.leftBlocks = leftBlocks
    assert(this.#total.leftBlocks >= 0, 'no more is kept free than is reserved')
  }

  end(): void {
    this.use(this.blocks)
  }
}

/** All reservations of a store. */
export class Reservations {
  leftBlocks = 0

  /** The record of the shard is another one now, or the shard has come. */
  follow(shard: ShardState): void {
    const { receiving } = shard.record
    if (receiving.length === 0 && shard.reservations.size === 0) return
    this.#end(shard)
    for (const { run, reservedBytes } of receiving) {
      const place = placeOf({ ...run, extent: run.from })
      shard.reservations.get(place)?.end()
      shard.reservations.set(place, new Reservation(this, Math.ceil(reservedBytes / BLOCK_BYTES)))
    }
    for (const chunk of shard.chunks()) shard.claim(chunk)
  }

  /** The shard has gone. */
  forget(shard: ShardState): void {
    if (shard.reservations.size > 0) this.#end(shard)
  }

  #end(shard: ShardState): void {
    for (const reservation of shard.reservations.values()) reservation.end()
    shard.reservations.clear()
    for (const chunk of shard.chunks()) chunk.reservation = undefined
  }
}
