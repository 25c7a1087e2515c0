/**
 * Which blocks of a chunk changed since they were copied: one bit per block, taken in runs. A
 * copier takes them in ascending order, so that a round has each block at most once, however often
 * it is written meanwhile.
 *
 * Invariants: `count` is the number of bits set; a block that was marked is given by exactly one
 * `take` after it, unless it is marked again.
 */
import { assert } from '../assert.ts'

export interface BlockRun {
  readonly first: number
  readonly count: number
}

const WORD_BITS = 32
const FULL = 0xffff_ffff

export class DirtyBlocks {
  /** Of the chunk. */
  readonly blocks: number
  readonly #words: Uint32Array
  #count = 0
  #closed: (() => void) | undefined

  /** `closed` is called once, by `close`: whoever marks here may stop. */
  constructor(blocks: number, closed?: () => void) {
    assert(Number.isInteger(blocks) && blocks > 0, 'a chunk has blocks')
    this.blocks = blocks
    this.#words = new Uint32Array(Math.ceil(blocks / WORD_BITS))
    this.#closed = closed
  }

  get count(): number {
    return this.#count
  }

  mark(first: number, count: number): void {
    this.#change(first, count, true)
  }

  markAll(): void {
    this.#change(0, this.blocks, true)
  }

  has(block: number): boolean {
    return ((this.#word(block >>> 5) >>> (block & 31)) & 1) === 1
  }

  /** Removes and returns the first run of marked blocks at or after `from`, at most so many. */
  take(from: number, maxBlocks: number): BlockRun | undefined {
    assert(maxBlocks > 0, 'a run has blocks')
    const first = this.#next(from, this.blocks)
    if (first === undefined) return undefined
    const end = Math.min(this.blocks, first + maxBlocks)
    let to = first + 1
    while (to < end && this.has(to)) to += 1
    this.#change(first, to - first, false)
    return { first, count: to - first }
  }

  /** Nobody marks here any more. Idempotent. */
  close(): void {
    const closed = this.#closed
    this.#closed = undefined
    closed?.()
  }

  /** The first marked block of [from, to). */
  #next(from: number, to: number): number | undefined {
    if (from >= to) return undefined
    let at = from >>> 5
    let bits = (this.#word(at) & (FULL << (from & 31))) >>> 0
    while (bits === 0) {
      at += 1
      if (at * WORD_BITS >= to) return undefined
      bits = this.#word(at)
    }
    const block = at * WORD_BITS + trailingZeroes(bits)
    return block < to ? block : undefined
  }

  #change(first: number, count: number, isMarked: boolean): void {
    const end = first + count
    assert(first >= 0 && count >= 0 && end <= this.blocks, 'a run lies inside its chunk')
    for (let block = first; block < end; ) {
      const at = block >>> 5
      const next = Math.min(end, (at + 1) * WORD_BITS)
      const length = next - block
      const mask = length === WORD_BITS ? FULL : (((1 << length) - 1) << (block & 31)) >>> 0
      const before = this.#word(at)
      const after = (isMarked ? before | mask : before & ~mask) >>> 0
      this.#words[at] = after
      this.#count += ones(after) - ones(before)
      block = next
    }
  }

  #word(at: number): number {
    return this.#words[at] ?? 0
  }
}

function trailingZeroes(bits: number): number {
  return 31 - Math.clz32(bits & -bits)
}

function ones(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555)
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333)
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
