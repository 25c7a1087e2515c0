/**
 * What a source has in negotiations that have not ended: so that no chunk is offered twice at once.
 * What it has in open moves is node/moves' to know; that it holds the chunk, its store's.
 *
 *   open(id, what) --> (negotiating, then moving) --> close(id)
 *
 * Invariants: no two open ones have a chunk in common; at most MAX_OPEN_OFFERS.
 */
import { assert } from '../assert.ts'
import type { ChunkKey } from '../ids.ts'
import { MAX_OPEN_OFFERS } from './limits.ts'
import { contains, overlap, type RangesOfVolume } from './overlap.ts'

export class OpenOffers {
  readonly #open = new Map<string, RangesOfVolume>()

  get size(): number {
    return this.#open.size
  }

  get isFull(): boolean {
    return this.#open.size >= MAX_OPEN_OFFERS
  }

  /** False: a chunk of these is in an open one, or there are too many; then nothing changed. */
  open(id: string, what: RangesOfVolume): boolean {
    assert(!this.#open.has(id), 'an id names one negotiation')
    if (this.isFull) return false
    for (const other of this.#open.values()) if (overlap(other, what)) return false
    this.#open.set(id, { volume: what.volume, ranges: what.ranges })
    return true
  }

  /** Twice does no harm. */
  close(id: string): void {
    this.#open.delete(id)
  }

  has(chunk: ChunkKey): boolean {
    for (const { volume, ranges } of this.#open.values()) {
      if (volume === chunk.volume && ranges.some(range => contains(range, chunk))) return true
    }
    return false
  }
}
