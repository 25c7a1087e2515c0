/**
 * Where the last streams of requests of a shard ended, so that a request that goes on there is known
 * as sequential, also while a handful of streams take turns.
 *
 * Invariants: a stream that went on lately keeps its place, anything else takes the next one of the
 * others (second chance: Corbató, 1968); two positions are equal only if they are the same block of
 * the same chunk.
 */
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { STREAM_ENDS } from '../limits.ts'

export class StreamEnds {
  /** Positions in blocks, as if all chunks of the shard lay one behind the other. */
  readonly #ends = new Float64Array(STREAM_ENDS).fill(-1)
  readonly #chunkBlocks: number
  /** Places in a ring: the next to be taken, and by one bit each, those that went on since. */
  #hand = 0
  #wentOn = 0

  /** `chunkBytes`: what no chunk exceeds. */
  constructor(chunkBytes: number) {
    // One more: where a chunk ends, the next one does not begin.
    this.#chunkBlocks = chunkBytes / BLOCK_BYTES + 1
  }

  /** A request begins: does it go on where an earlier one of its chunk had ended? */
  follow(chunkNumber: number, offsetBytes: number, lengthBytes: number): boolean {
    const ends = this.#ends
    const from = chunkNumber * this.#chunkBlocks + offsetBytes / BLOCK_BYTES
    const to = from + lengthBytes / BLOCK_BYTES
    for (let i = 0; i < STREAM_ENDS; i++) {
      if (ends[i] !== from) continue
      ends[i] = to
      this.#wentOn |= 1 << i
      return true
    }
    while ((this.#wentOn & (1 << this.#hand)) !== 0) {
      this.#wentOn &= ~(1 << this.#hand)
      this.#hand = (this.#hand + 1) % STREAM_ENDS
    }
    ends[this.#hand] = to
    this.#hand = (this.#hand + 1) % STREAM_ENDS
    return false
  }
}
