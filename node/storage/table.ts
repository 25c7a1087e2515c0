/**
 * The checksum table of a chunk: for each 4 KiB block whether it is a hole, data or lost, and the
 * CRC32C of its data. In memory it says what the chunk's file holds (changes that are not applied
 * yet are in the overlay); on disk it is the sealed file `.sum`, written by checkpoints.
 *
 *   body of .sum   0 blocks u32 | 4 state beyond them u8 | 5 zero 3 | 8 a state u8 per block
 *                  then a CRC32C u32 per block (0 where the state is not data)
 *
 * Invariants: blocks beyond the table are in the state `beyond`; `allocated` counts the data
 * blocks; the CRC of a block that is not data is 0, so that equal tables have equal bytes.
 */
import { assert } from '../../protocols/assert.ts'
import { BLOCK_BYTES, MAX_EXTENT_BYTES } from '../../protocols/limits.ts'

/** `lost`: the block was written and durable, and damage took it; it reads as an error. */
export const BlockState = { hole: 0, data: 1, lost: 2 } as const
export type BlockState = (typeof BlockState)[keyof typeof BlockState]

export const MAX_CHUNK_BLOCKS = MAX_EXTENT_BYTES / BLOCK_BYTES
export const TABLE_VERSION = 1
const BODY_HEADER_BYTES = 8
const MIN_BLOCKS = 64

export class Table {
  allocated = 0
  #blocks = 0
  #states = new Uint8Array(0)
  #crcs = new Uint32Array(0)
  /** The state of all blocks that it does not know. */
  readonly beyond: BlockState

  constructor(beyond: BlockState = BlockState.hole) {
    this.beyond = beyond
  }

  /** Blocks from the first to the last that was ever named. */
  get blocks(): number {
    return this.#blocks
  }

  /** Blocks that the table has room for: what it costs in memory. */
  get room(): number {
    return this.#states.length
  }

  state(block: number): BlockState {
    return block < this.#blocks ? (this.#states[block] as BlockState) : this.beyond
  }

  crc(block: number): number {
    return this.#crcs[block] ?? 0
  }

  setData(block: number, crc: number): void {
    if (block >= this.#blocks) this.#grow(block + 1)
    if (this.#states[block] !== BlockState.data) this.allocated++
    this.#states[block] = BlockState.data
    this.#crcs[block] = crc
  }

  setHole(block: number): void {
    this.#setEmpty(block, BlockState.hole)
  }

  setLost(block: number): void {
    this.#setEmpty(block, BlockState.lost)
  }

  /** How many of these blocks are not data. */
  countMissing(first: number, count: number): number {
    let missing = 0
    for (let block = first; block < first + count; block++) {
      if (this.state(block) !== BlockState.data) missing++
    }
    return missing
  }

  isAllHole(first: number, count: number): boolean {
    for (let block = first; block < first + count; block++) {
      if (this.state(block) !== BlockState.hole) return false
    }
    return true
  }

  /** States and checksums of the blocks from `first` on, as many as the arrays take. */
  copy(first: number, states: Uint8Array, crcs: Uint32Array): void {
    const end = Math.min(this.#blocks, first + states.length)
    const known = Math.max(0, end - first)
    states.fill(this.beyond, known)
    crcs.fill(0, known)
    if (known === 0) return
    states.set(this.#states.subarray(first, end))
    crcs.set(this.#crcs.subarray(first, end))
  }

  encode(): Buffer {
    const blocks = this.#blocks
    const body = Buffer.alloc(BODY_HEADER_BYTES + blocks * 5)
    body.writeUInt32LE(blocks, 0)
    body[4] = this.beyond
    body.set(this.#states.subarray(0, blocks), BODY_HEADER_BYTES)
    let at = BODY_HEADER_BYTES + blocks
    for (let i = 0; i < blocks; i++, at += 4) body.writeUInt32LE(this.#crcs[i] ?? 0, at)
    return body
  }

  #setEmpty(block: number, state: BlockState): void {
    if (this.state(block) === state) return
    if (block >= this.#blocks) this.#grow(block + 1)
    if (this.#states[block] === BlockState.data) this.allocated--
    this.#states[block] = state
    this.#crcs[block] = 0
  }

  #grow(blocks: number): void {
    assert(blocks <= MAX_CHUNK_BLOCKS, 'a block lies inside the largest chunk')
    if (blocks > this.#states.length) {
      const room = Math.min(MAX_CHUNK_BLOCKS, Math.max(MIN_BLOCKS, blocks, this.room * 2))
      const states = new Uint8Array(room)
      const crcs = new Uint32Array(room)
      states.set(this.#states)
      crcs.set(this.#crcs)
      this.#states = states
      this.#crcs = crcs
    }
    this.#states.fill(this.beyond, this.#blocks, blocks)
    this.#blocks = blocks
  }

  /** Total: a table, or why these bytes are none. */
  static decode(body: Buffer): Table | string {
    if (body.length < BODY_HEADER_BYTES) return 'shorter than its header'
    const blocks = body.readUInt32LE(0)
    const beyond = body.readUInt8(4)
    if (blocks > MAX_CHUNK_BLOCKS) return 'more blocks than a chunk may have'
    if (body.length !== BODY_HEADER_BYTES + blocks * 5) return 'its length contradicts its blocks'
    if (beyond !== BlockState.hole && beyond !== BlockState.lost) return 'unknown state'
    const table = new Table(beyond)
    if (blocks > 0) table.#grow(blocks)
    for (let i = 0; i < blocks; i++) {
      const state = body.readUInt8(BODY_HEADER_BYTES + i)
      if (state > BlockState.lost) return 'unknown state'
      table.#states[i] = state
      if (state !== BlockState.data) continue
      table.#crcs[i] = body.readUInt32LE(BODY_HEADER_BYTES + blocks + i * 4)
      table.allocated++
    }
    return table
  }
}
