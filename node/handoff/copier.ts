/**
 * Copies the blocks of one chunk to the target, round by round, and makes the source's digest.
 *
 *   tracker (what changed) --round: each block at most once--> read, hash --> frame, or nothing if
 *                                                              the target has it already
 *
 * Invariants:
 * - a block is taken out of the tracker in the step in which its read begins or before: a change
 *   that the read does not see marks it again;
 * - within a round no block is read twice, and rounds do not overlap: so what is sent of a block is
 *   in the order in which it was read, and the table says what the target was sent last;
 * - at most HANDOFF_WINDOW_BYTES are sent and not stored;
 * - what the target has is told by its hash, never by its checksum: blocks that contain a CRC32C of
 *   themselves (databases, file systems and fio write such) all have the same one.
 */
import { assert } from '../../protocols/assert.ts'
import { BlockTable } from '../../protocols/handoff/block-table.ts'
import type { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'
import { HANDOFF_WINDOW_BYTES } from '../../protocols/handoff/limits.ts'
import { type Frame, frameCost } from '../../protocols/handoff/messages.ts'
import type { ChunkKey } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import {
  HANDOFF_FEW_BLOCKS,
  HANDOFF_LAST_ROUNDS,
  HANDOFF_PIECE_BLOCKS,
  HANDOFF_PIECES_IN_FLIGHT,
  HANDOFF_SHARED_PIECE_BLOCKS
} from '../limits.ts'
import type { ChunkStore } from '../storage/types.ts'
import { Compressor } from './compressor.ts'
import type { Pace } from './types.ts'

export interface CopierParts {
  readonly store: ChunkStore
  readonly chunk: ChunkKey
  readonly blocks: number
  readonly dirty: DirtyBlocks
  readonly pace: Pace
  readonly send: (frame: Frame) => true | Promise<boolean>
  readonly onSent: (bytes: number) => void
}

interface Piece {
  readonly first: number
  readonly count: number
}

export class Copier {
  readonly table: BlockTable
  readonly #parts: CopierParts
  readonly #compressor = new Compressor()
  /** What the target has, of this attempt and of earlier ones: which blocks, and their hashes. */
  readonly #has: Uint8Array
  readonly #hashes: BigUint64Array
  #outstanding: number[] = []
  #outstandingBytes = 0
  #waiters: Array<() => void> = []
  #isStopped = false

  constructor(parts: CopierParts) {
    this.#parts = parts
    this.table = new BlockTable(parts.blocks)
    this.#has = new Uint8Array(parts.blocks)
    this.#hashes = new BigUint64Array(parts.blocks)
  }

  /** The target says that it has these blocks, with these hashes. */
  has(first: number, hashes: BigUint64Array): void {
    const known = hashes.subarray(0, Math.max(0, this.#parts.blocks - first))
    this.#hashes.set(known, known.length === 0 ? 0 : first)
    this.#has.fill(1, first, first + known.length)
  }

  /** The target has stored so many frames. */
  stored(frames: number): void {
    for (const bytes of this.#outstanding.splice(0, frames)) this.#outstandingBytes -= bytes
    this.#wake()
  }

  /** Sends what is marked now, each block once; resolves when all of it is sent. */
  async round(isUrgent: boolean): Promise<void> {
    const pieces = this.#pieces()
    const worker = async (): Promise<void> => {
      for (;;) {
        const next = await this.#take(pieces)
        if (next === undefined) return
        await this.#copy(next, isUrgent)
      }
    }
    await Promise.all(Array.from({ length: HANDOFF_PIECES_IN_FLIGHT }, worker))
  }

  /** What changed while the target read back: whoever is asked next has clients that wait for it. */
  async catchUp(): Promise<void> {
    for (let round = 1; round <= HANDOFF_LAST_ROUNDS; round++) {
      if (this.#parts.dirty.count <= HANDOFF_FEW_BLOCKS) return
      await this.round(true)
    }
  }

  /** All that is left, and resolves when the target has stored everything. */
  async rest(): Promise<void> {
    await this.round(true)
    while (this.#outstanding.length > 0 && !this.#isStopped) await this.#changed()
    if (this.#isStopped) throw new Error('the stream is gone')
    assert(this.#parts.dirty.count === 0, 'a frozen chunk does not change')
  }

  stop(): void {
    this.#isStopped = true
    this.#wake()
  }

  /** Runs of marked blocks in ascending order, so that no block comes twice. */
  *#pieces(): Generator<Piece> {
    const { dirty, pace } = this.#parts
    let from = 0
    for (;;) {
      const most = pace.isShared ? HANDOFF_SHARED_PIECE_BLOCKS : HANDOFF_PIECE_BLOCKS
      const run = dirty.take(from, most)
      if (run === undefined) return
      from = run.first + run.count
      yield run
    }
  }

  async #take(pieces: Generator<Piece>): Promise<Piece | undefined> {
    while (this.#outstandingBytes >= HANDOFF_WINDOW_BYTES && !this.#isStopped) await this.#changed()
    if (this.#isStopped) throw new Error('the stream is gone')
    const { done, value } = pieces.next()
    return done === true ? undefined : value
  }

  async #copy({ first, count }: Piece, isUrgent: boolean): Promise<void> {
    const { store, chunk } = this.#parts
    const runs = await store.map(chunk, first * BLOCK_BYTES, count * BLOCK_BYTES)
    let block = first
    for (const [i, length] of runs.entries()) {
      if (length === 0) continue
      if (i % 2 === 0) await this.#copyData(block, length, isUrgent)
      else await this.#copyHoles(block, length)
      block += length
    }
  }

  async #copyData(first: number, count: number, isUrgent: boolean): Promise<void> {
    const { store, chunk, pace, onSent } = this.#parts
    if (!isUrgent) await pace.take(count * BLOCK_BYTES)
    const { data, crcs } = await store.read(chunk, first * BLOCK_BYTES, count * BLOCK_BYTES)
    this.table.setData(first, crcs, data)
    const hashes = this.table.hashes(first, count)
    if (!this.#isThere(first, hashes)) {
      const packed = this.#compressor.compress(data)
      const isCompressed = packed !== undefined
      await this.#send({ type: 'blocks', first, count, crcs, data: packed ?? data, isCompressed })
    }
    onSent(count * BLOCK_BYTES)
    this.has(first, hashes)
  }

  /** Only what the target takes for data has to become a hole there. */
  async #copyHoles(first: number, count: number): Promise<void> {
    this.table.setHoles(first, count)
    let from = first
    while (from < first + count) {
      if (this.#has[from] === 0) {
        from++
        continue
      }
      let to = from
      while (to < first + count && this.#has[to] === 1) this.#has[to++] = 0
      await this.#send({ type: 'holes', first: from, count: to - from })
      from = to
    }
  }

  #isThere(first: number, hashes: BigUint64Array): boolean {
    return hashes.every((hash, i) => this.#has[first + i] === 1 && this.#hashes[first + i] === hash)
  }

  async #send(frame: Frame & { type: 'blocks' | 'holes' }): Promise<void> {
    const bytes = frameCost(frame)
    this.#outstanding.push(bytes)
    this.#outstandingBytes += bytes
    const sending = this.#parts.send(frame)
    const hasWaited = sending !== true
    if (hasWaited && !(await sending)) throw new Error('the stream is gone')
    if (frame.type === 'blocks' && !frame.isCompressed) this.#compressor.sent(frame.data, hasWaited)
  }

  #changed(): Promise<void> {
    return new Promise(resolve => this.#waiters.push(resolve))
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const wake of waiters) wake()
  }
}

/** What there is to copy. */
export async function allocatedBytes(
  store: ChunkStore,
  chunk: ChunkKey,
  lengthBytes: number
): Promise<number> {
  const runs = await store.map(chunk, 0, lengthBytes)
  let blocks = 0
  for (const [i, length] of runs.entries()) if (i % 2 === 0) blocks += length
  return blocks * BLOCK_BYTES
}
