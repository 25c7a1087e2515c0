/**
 * What one side of a handoff knows of a chunk, block by block: whether it has data, its CRC32C, and
 * a 64-bit hash of what was really read. Two equal digests mean equal copies (protocols/digest.ts).
 *
 * Invariant: a digest is made only when every block is known.
 */
import { xxh64 } from '@node-rs/xxhash'
import { assert } from '../assert.ts'
import { chunkDigest } from '../digest.ts'
import { BLOCK_BYTES } from '../limits.ts'

const UNKNOWN = 0
const HOLE = 1
const DATA = 2

export class BlockTable {
  readonly blocks: number
  readonly #states: Uint8Array
  readonly #crcs: Uint32Array
  readonly #hashes: BigUint64Array
  #unknown: number

  constructor(blocks: number) {
    this.blocks = blocks
    this.#states = new Uint8Array(blocks)
    this.#crcs = new Uint32Array(blocks)
    this.#hashes = new BigUint64Array(blocks)
    this.#unknown = blocks
  }

  get isKnown(): boolean {
    return this.#unknown === 0
  }

  isData(block: number): boolean {
    return this.#states[block] === DATA
  }

  /** Of what was read of these blocks, which are data. */
  hashes(first: number, count: number): BigUint64Array {
    return this.#hashes.slice(first, first + count)
  }

  /** Blocks from `first` on, as they were just read. */
  setData(first: number, crcs: Uint32Array, data: Uint8Array): void {
    assert(data.length === crcs.length * BLOCK_BYTES, 'one checksum per block')
    for (let i = 0; i < crcs.length; i++) {
      const at = i * BLOCK_BYTES
      this.#set(first + i, DATA)
      this.#crcs[first + i] = crcs[i] ?? 0
      this.#hashes[first + i] = xxh64(data.subarray(at, at + BLOCK_BYTES), 0n)
    }
  }

  setHoles(first: number, count: number): void {
    for (let block = first; block < first + count; block++) this.#set(block, HOLE)
  }

  forget(first: number, count: number): void {
    for (let block = first; block < first + count; block++) this.#set(block, UNKNOWN)
  }

  /** The next run of unknown blocks from `from` on, at most `most` long. */
  nextUnknown(from: number, most: number): { first: number; count: number } | undefined {
    const first = this.#states.indexOf(UNKNOWN, from)
    if (first < 0) return undefined
    let count = 1
    while (count < most && this.#states[first + count] === UNKNOWN) count++
    return { first, count }
  }

  digest(): string {
    assert(this.isKnown, 'a digest is made when every block is known')
    const digest = chunkDigest()
    for (let block = 0; block < this.blocks; block++) {
      if (this.#states[block] !== DATA) continue
      digest.addHash(block, this.#crcs[block] ?? 0, this.#hashes[block] ?? 0n)
    }
    return digest.finish()
  }

  #set(block: number, state: number): void {
    assert(block >= 0 && block < this.blocks, 'a block is inside its chunk')
    if (this.#states[block] === UNKNOWN) this.#unknown--
    if (state === UNKNOWN) this.#unknown++
    this.#states[block] = state
  }
}
