/**
 * Writes recognisable blocks to a disk and remembers what was promised about each, so that any
 * later read can be judged.
 *
 *   block = [magic, seed, block number, generation] repeated through all 4 KiB
 *
 * For each block: `acknowledged` (newest generation whose write was answered), `flushed` (newest
 * generation that a successful FLUSH covers), `issued` (newest generation ever sent). A read must
 * show one generation, whole, of this very block, in [floor, issued]; anything else is a loss.
 * At most one write per block is in flight, so generations of a block take effect in order.
 */
import { setTimeout } from 'node:timers/promises'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { SeededRandom } from './process-random.ts'
import { until } from './process-spawn.ts'

/** The part of a disk that the checker needs; the project's NBD client is one. */
export interface CheckedDisk {
  read: (offsetBytes: number, lengthBytes: number) => Promise<Uint8Array>
  write: (offsetBytes: number, data: Uint8Array, options?: { fua?: boolean }) => Promise<void>
  flush: () => Promise<void>
}

export interface Load {
  readonly random: SeededRandom
  readonly inFlight: number
  readonly readPercent: number
  /** Operations between two flushes of one worker; 0: never. */
  readonly flushEvery: number
  /** Of a worker between two operations: leaves processors to others. */
  readonly pauseMs?: number
  readonly until: () => boolean
}

export interface LoadResult {
  readonly operations: number
  /** What clients saw: messages of rejected requests, newest last, bounded. */
  readonly errors: readonly string[]
}

const MAGIC = 0x53_48_4f_41
const HEADER_BYTES = 16
const MAX_REPORTED = 20
const UNWRITTEN = 0

export class Checker {
  readonly blocks: number
  readonly #seed: number
  readonly #issued: Uint32Array
  readonly #acknowledged: Uint32Array
  readonly #flushed: Uint32Array
  readonly #busy = new Set<number>()
  /** Operations of `load` that succeeded so far. */
  completed = 0

  constructor(seed: number, blocks: number) {
    this.#seed = seed >>> 0
    this.blocks = blocks
    this.#issued = new Uint32Array(blocks)
    this.#acknowledged = new Uint32Array(blocks)
    this.#flushed = new Uint32Array(blocks)
  }

  /** Waits until `load` got so many more operations done. */
  async progress(operations: number, timeoutMs = 60_000): Promise<void> {
    const goal = this.completed + operations
    await until(`${operations} more operations`, () => this.completed >= goal, timeoutMs)
  }

  /** The bytes of the newest write of a block. */
  newest(block: number): Buffer {
    return this.#content(block, this.#issued[block] ?? 0)
  }

  async write(disk: CheckedDisk, block: number, options = { fua: false }): Promise<void> {
    const generation = (this.#issued[block] ?? 0) + 1
    this.#issued[block] = generation
    this.#busy.add(block)
    try {
      await disk.write(block * BLOCK_BYTES, this.#content(block, generation), options)
      this.#acknowledged[block] = generation
      if (options.fua) this.#flushed[block] = generation
    } finally {
      this.#busy.delete(block)
    }
  }

  async writeAll(disk: CheckedDisk): Promise<void> {
    for (let block = 0; block < this.blocks; block += 32) {
      const span = Math.min(32, this.blocks - block)
      await Promise.all(Array.from({ length: span }, (_, i) => this.write(disk, block + i)))
    }
  }

  async flush(disk: CheckedDisk): Promise<void> {
    const covered = this.#acknowledged.slice()
    await disk.flush()
    for (let block = 0; block < this.blocks; block++) {
      this.#flushed[block] = Math.max(this.#flushed[block] ?? 0, covered[block] ?? 0)
    }
  }

  /** Problems of one block; reads may run beside writes of the same block. */
  async check(disk: CheckedDisk, block: number, floor: Floor): Promise<string[]> {
    const least = (floor === 'flushed' ? this.#flushed : this.#acknowledged)[block] ?? 0
    const data = await disk.read(block * BLOCK_BYTES, BLOCK_BYTES)
    return this.#judge(block, data, least)
  }

  /** Reads every block; what is wrong, in words, at most a screen of it. */
  async checkAll(disk: CheckedDisk, floor: Floor): Promise<string[]> {
    const wrong: string[] = []
    for (let block = 0; block < this.blocks && wrong.length < MAX_REPORTED; block += 32) {
      const span = Math.min(32, this.blocks - block)
      const found = await Promise.all(
        Array.from({ length: span }, (_, i) => this.check(disk, block + i, floor))
      )
      wrong.push(...found.flat())
    }
    return wrong
  }

  /** Random reads (checked), writes and flushes by several workers; throws on a wrong read. */
  async load(disk: CheckedDisk, load: Load): Promise<LoadResult> {
    const errors: string[] = []
    let operations = 0
    const worker = async (): Promise<void> => {
      for (let turn = 1; !load.until(); turn++) {
        try {
          await this.#step(disk, load, turn)
          operations++
          this.completed++
          if (load.pauseMs !== undefined) await setTimeout(load.pauseMs)
        } catch (error) {
          if (error instanceof WrongData) throw error
          errors.push(error instanceof Error ? error.message : String(error))
          if (errors.length > MAX_REPORTED) return
        }
      }
    }
    await Promise.all(Array.from({ length: load.inFlight }, worker))
    return { operations, errors }
  }

  async #step(disk: CheckedDisk, { random, readPercent, flushEvery }: Load, turn: number) {
    const block = random.below(this.blocks)
    if (flushEvery > 0 && turn % flushEvery === 0) return this.flush(disk)
    if (this.#busy.has(block) || random.below(100) < readPercent) {
      const wrong = await this.check(disk, block, 'acknowledged')
      if (wrong.length > 0) throw new WrongData(wrong.join('; '))
      return
    }
    await this.write(disk, block)
  }

  #content(block: number, generation: number): Buffer {
    const data = Buffer.allocUnsafe(BLOCK_BYTES)
    for (let at = 0; at < BLOCK_BYTES; at += HEADER_BYTES) {
      data.writeUInt32LE(MAGIC, at)
      data.writeUInt32LE(this.#seed, at + 4)
      data.writeUInt32LE(block, at + 8)
      data.writeUInt32LE(generation, at + 12)
    }
    return data
  }

  #judge(block: number, data: Uint8Array, least: number): string[] {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.length)
    if (bytes.every(byte => byte === 0)) {
      return least === UNWRITTEN ? [] : [`block ${block}: zeroes instead of generation ${least}`]
    }
    const generation = bytes.readUInt32LE(12)
    if (!bytes.equals(this.#content(block, generation))) {
      const head = bytes.subarray(0, HEADER_BYTES).toString('hex')
      return [`block ${block}: bytes that were never written (${head}...)`]
    }
    const newest = this.#issued[block] ?? 0
    if (generation >= least && generation <= newest) return []
    return [`block ${block}: generation ${generation}, promised ${least} to ${newest}`]
  }
}

/** What must still be there: all that was answered, or all that a FLUSH covered. */
export type Floor = 'acknowledged' | 'flushed'

export class WrongData extends Error {
  override readonly name = 'WrongData'
}
