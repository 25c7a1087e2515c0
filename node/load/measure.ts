/**
 * The measurement itself: requests of one size and mix at random places, so many in flight, for so
 * long.
 *
 * Invariants: a cell counts whole requests, over the time until the last of them was answered and,
 * if it wrote, all of it was flushed; reads begin with nothing in the page cache, which is dropped
 * again once half as much as there is was read.
 */
import { blockChecksums } from '../../protocols/checksum.ts'
import { Random as Seeded } from '../../protocols/forecast/random.ts'
import { BLOCK_BYTES, KiB, MiB } from '../../protocols/limits.ts'
import type { MeasuredCell } from '../../protocols/load/capacity.ts'
import {
  CALIBRATION_FLUSH_BYTES,
  CALIBRATION_FLUSH_MS,
  CALIBRATION_IN_FLIGHT,
  CALIBRATION_LARGE_IN_FLIGHT,
  CALIBRATION_WARM_UP_MS
} from '../limits.ts'
import type { Clock, Random } from '../ports.ts'
import type { ScratchShard } from './scratch-shard.ts'

export type CellPlan = Pick<MeasuredCell, 'sizeBytes' | 'readPart'>

export interface CellParts {
  readonly shard: Pick<ScratchShard, 'read' | 'write' | 'flush'>
  readonly clock: Clock
  readonly dataBytes: number
  readonly durationMs: number
  readonly content: Content
  readonly signal: AbortSignal
  readonly dropCaches: () => Promise<boolean>
}

/** Reads first: what writes leave in memory does not help them then. */
export const CELLS: readonly CellPlan[] = [1, 0.7, 0].flatMap(readPart =>
  [4 * KiB, 64 * KiB, MiB].map(sizeBytes => ({ sizeBytes, readPart }))
)

const SEED = 20_251
const CONTENT_BYTES = MiB

/** Bytes that no file system makes smaller, with their checksums. */
export class Content {
  readonly #bytes: Uint8Array
  readonly #crcs: Uint32Array

  constructor(random: Random) {
    this.#bytes = random.bytes(CONTENT_BYTES)
    this.#crcs = blockChecksums(this.#bytes)
  }

  /** `at`: any whole block. */
  piece(at: number, lengthBytes: number): { data: Uint8Array; crcs: Uint32Array } {
    const from = at % (CONTENT_BYTES - lengthBytes + BLOCK_BYTES)
    const to = from + lengthBytes
    return {
      data: this.#bytes.subarray(from, to),
      crcs: this.#crcs.subarray(from / BLOCK_BYTES, to / BLOCK_BYTES)
    }
  }
}

/** Writes all of the data once, so that reads meet data and writes meet blocks that exist. */
export async function fillData(parts: CellParts): Promise<void> {
  const { shard, dataBytes, content, signal } = parts
  let at = 0
  const lane = async (): Promise<void> => {
    while (at < dataBytes && !signal.aborted) {
      const here = at
      at += MiB
      const { data, crcs } = content.piece(0, Math.min(MiB, dataBytes - here))
      await shard.write(here, data, crcs)
    }
  }
  await Promise.all(Array.from({ length: CALIBRATION_LARGE_IN_FLIGHT }, lane))
  await shard.flush()
}

/** A device that was just filled answers the first reads late: they do not count. */
export async function warmUp(parts: CellParts): Promise<void> {
  const [first] = CELLS
  if (first === undefined || parts.signal.aborted) return
  const durationMs = Math.min(parts.durationMs, CALIBRATION_WARM_UP_MS)
  await measureCell(first, { ...parts, durationMs })
}

/** Undefined if it was called off. */
export async function measureCell(
  plan: CellPlan,
  parts: CellParts
): Promise<MeasuredCell | undefined> {
  const { clock, signal, durationMs, dropCaches } = parts
  await dropCaches()
  const run = new CellRun(plan, parts)
  const startMs = clock.monotonicMs()
  const requests = await run.until(startMs + durationMs)
  const seconds = (clock.monotonicMs() - startMs) / 1000
  if (signal.aborted) return undefined
  return { ...plan, requestsPerSecond: requests / Math.max(seconds, 0.001) }
}

class CellRun {
  readonly #plan: CellPlan
  readonly #parts: CellParts
  readonly #random: Seeded
  #requests = 0
  #readBytes = 0
  #writtenBytes = 0
  #flushedMs: number
  #flushing: Promise<void> | undefined
  #dropping: Promise<unknown> | undefined

  constructor(plan: CellPlan, parts: CellParts) {
    this.#plan = plan
    this.#parts = parts
    this.#random = new Seeded(SEED)
    this.#flushedMs = parts.clock.monotonicMs()
  }

  /** Requests that were answered. Begins none after the deadline, but the first. */
  async until(deadlineMs: number): Promise<number> {
    const { clock, signal, shard } = this.#parts
    const { sizeBytes, readPart } = this.#plan
    const lanes = sizeBytes < MiB ? CALIBRATION_IN_FLIGHT : CALIBRATION_LARGE_IN_FLIGHT
    const lane = async (): Promise<void> => {
      do {
        await this.#one()
        this.#requests++
      } while (!signal.aborted && clock.monotonicMs() < deadlineMs)
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    await this.#flushing
    await this.#dropping
    if (readPart < 1) await shard.flush()
    return this.#requests
  }

  async #one(): Promise<void> {
    const { shard, dataBytes, content } = this.#parts
    const { sizeBytes, readPart } = this.#plan
    const at = this.#random.below(dataBytes / sizeBytes) * sizeBytes
    if (this.#random.unit() < readPart) {
      await shard.read(at, sizeBytes)
      this.#readBytes += sizeBytes
      this.#dropNow()
      return
    }
    const { data, crcs } = content.piece(this.#random.below(256) * BLOCK_BYTES, sizeBytes)
    await shard.write(at, data, crcs)
    this.#writtenBytes += sizeBytes
    this.#flushNow()
  }

  /** Beside the writes, as a VM does it. */
  #flushNow(): void {
    const { clock, shard } = this.#parts
    const nowMs = clock.monotonicMs()
    const isDue =
      this.#writtenBytes >= CALIBRATION_FLUSH_BYTES ||
      nowMs - this.#flushedMs >= CALIBRATION_FLUSH_MS
    if (!isDue || this.#flushing !== undefined) return
    this.#writtenBytes = 0
    this.#flushedMs = nowMs
    this.#flushing = shard.flush().then(() => {
      this.#flushing = undefined
    })
    // Whoever awaits it at the end hears of a failure; until then it is nobody's.
    this.#flushing.catch(() => {})
  }

  #dropNow(): void {
    const { dataBytes, dropCaches } = this.#parts
    if (this.#readBytes < dataBytes / 2 || this.#dropping !== undefined) return
    this.#readBytes = 0
    this.#dropping = dropCaches().then(() => {
      this.#dropping = undefined
    })
    this.#dropping.catch(() => {})
  }
}
