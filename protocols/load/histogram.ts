/**
 * Histograms of what requests were like, in a few counters however many there were.
 *
 * Latencies are counted as HdrHistogram does (Tene): every power of two of microseconds is divided
 * into 16 equal buckets, so that a bucket is never wider than a 16th of what is in it.
 *
 *   us      0 1 2 ... 31 | 32 34 36 ... 62 | 64 68 72 ... 124 | ...  up to 2^27 us (134 s)
 *   width   1            | 2               | 4                | ...
 *
 * Invariants: a quantile is off by less than 1/32 (3.1 %) of the true one, exact below 32 us;
 * whatever is longer than the range counts as the longest; clearing costs what was touched.
 */
import { assert } from '../assert.ts'
import { BLOCK_BYTES } from '../limits.ts'

const SUB_BITS = 4
const SUB_BUCKETS = 2 ** SUB_BITS
const RANGE_BITS = 27
const MAX_US = 2 ** RANGE_BITS - 1
const BUCKETS = bucketOf(MAX_US) + 1

const NONE = new Uint32Array(0)

/** Of the true value, by which a quantile may be off. */
export const LATENCY_ERROR = 1 / (2 * SUB_BUCKETS)

export class LatencyHistogram {
  /** None until something is counted: most shards are idle most of the time. */
  #counts = NONE
  #count = 0
  /** Buckets from `#low` to `#high` were touched since the last clear, no others. */
  #low = BUCKETS
  #high = -1

  get count(): number {
    return this.#count
  }

  /** Microseconds, not negative; a fraction is cut off. */
  record(us: number): void {
    if (this.#counts.length === 0) this.#counts = new Uint32Array(BUCKETS)
    const bucket = bucketOf(us < MAX_US ? us >>> 0 : MAX_US)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
    this.#count += 1
    if (bucket < this.#low) this.#low = bucket
    if (bucket > this.#high) this.#high = bucket
  }

  add(other: LatencyHistogram): void {
    if (other.#count === 0) return
    if (this.#counts.length === 0) this.#counts = new Uint32Array(BUCKETS)
    for (let bucket = other.#low; bucket <= other.#high; bucket++) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + (other.#counts[bucket] ?? 0)
    }
    this.#count += other.#count
    this.#low = Math.min(this.#low, other.#low)
    this.#high = Math.max(this.#high, other.#high)
  }

  clear(): void {
    if (this.#count === 0) return
    this.#counts.fill(0, this.#low, this.#high + 1)
    this.#count = 0
    this.#low = BUCKETS
    this.#high = -1
  }

  /** The least value that this part of all (0 to 1) does not exceed, in microseconds; 0 if empty. */
  quantile(part: number): number {
    assert(part >= 0 && part <= 1, 'a quantile is asked of a part')
    if (this.#count === 0) return 0
    let left = Math.max(1, Math.ceil(part * this.#count))
    for (let bucket = this.#low; bucket <= this.#high; bucket++) {
      left -= this.#counts[bucket] ?? 0
      if (left <= 0) return middleOf(bucket)
    }
    throw new Error('a histogram counts what is in its buckets')
  }
}

function bucketOf(us: number): number {
  // Below 32 the shift would be 0 or negative: there a bucket is one microsecond.
  const shift = 31 - SUB_BITS - Math.clz32(us | SUB_BUCKETS)
  return (shift << SUB_BITS) + (us >>> shift)
}

function middleOf(bucket: number): number {
  const shift = Math.max(0, (bucket >>> SUB_BITS) - 1)
  const low = (bucket - (shift << SUB_BITS)) << shift
  return low + ((1 << shift) - 1) / 2
}

/** Upper ends of the buckets of sizes, in bytes; the last one counts all that is longer, too. */
export const SIZE_BUCKETS = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(power => BLOCK_BYTES * 2 ** power)

const LAST_SIZE = SIZE_BUCKETS.length - 1

export interface SizeCounts {
  /** Requests that were longer than the end of the bucket before, and not than this one's. */
  readonly reads: readonly number[]
  readonly writes: readonly number[]
}

/** Sizes of requests, reads and writes apart. Counts since the start: exact up to 2^53. */
export class SizeHistogram {
  readonly #counts = new Float64Array(2 * SIZE_BUCKETS.length)

  /** A length of at least one block, and a whole number of them. */
  record(isWrite: boolean, lengthBytes: number): void {
    const power = 32 - Math.clz32(lengthBytes / BLOCK_BYTES - 1)
    const bucket = (power < LAST_SIZE ? power : LAST_SIZE) + (isWrite ? SIZE_BUCKETS.length : 0)
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1
  }

  counts(): SizeCounts {
    const all = [...this.#counts]
    return { reads: all.slice(0, SIZE_BUCKETS.length), writes: all.slice(SIZE_BUCKETS.length) }
  }
}
