/**
 * What the VM does in a demo, a bench and a test of a day: reads and writes of 4 KiB through NBD, at
 * the rate that the pattern of the day has now, whether or not they are answered in time.
 *
 * Invariants: a latency is from when the request was due, so that a queue is seen as its users see it
 * (no coordinated omission); no two requests of one block are open at a time; what was acknowledged is
 * remembered, and `check` finds a block that is not as it was written last.
 */
import type { NbdClient } from '../node/nbd/client.ts'
import { assert } from '../protocols/assert.ts'
import { Random } from '../protocols/forecast/random.ts'
import { KiB } from '../protocols/limits.ts'
import { CHUNK_PARTS, READ_PART, REQUEST_BYTES, UNITS_PER_REQUEST } from './day-pattern.ts'

/** Of each chunk but the first, which is left to others, what is used. */
const REGION_BYTES = 128 * KiB
const BLOCKS = REGION_BYTES / REQUEST_BYTES
const ALL_BLOCKS = CHUNK_PARTS.length * BLOCKS
const PACE_MS = 4
/** Of its own time that it lost it makes up for no more: it was not the nodes that stood still. */
const MAX_PACE_MS = 100
const MAX_OPEN = 64
/** Requests that wait to be sent, behind a node that does not keep up. */
const MAX_WAITING = 100_000

export interface Answered {
  /** Load time at which it was due. */
  readonly dueMs: number
  readonly latencyMs: number
}

export interface DayClientOptions {
  readonly nbd: NbdClient
  /** Bytes from the beginning of one chunk to that of the next. */
  readonly chunkBytes: number
  readonly seed: number
  /** Load time. */
  readonly now: () => number
  /** Units per second that are wanted at that time. */
  readonly loadAt: (timeMs: number) => number
}

interface Due {
  readonly timeMs: number
  readonly atMs: number
}

export class DayClient {
  readonly #options: DayClientOptions
  readonly #random: Random
  readonly #turns = CHUNK_PARTS.map(() => 0)
  /** By block: how often it was written, acknowledged. */
  readonly #written = new Map<number, number>()
  readonly #busy = new Set<number>()
  readonly #waiting: Due[] = []
  readonly #open = new Set<Promise<void>>()
  #answered: Answered[] = []
  #timer: NodeJS.Timeout | undefined
  #atMs = 0
  #owed = 0
  #sent = 0
  #failure: unknown

  constructor(options: DayClientOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
  }

  /** Writes all that will be used, so that no read meets a hole. */
  async fill(): Promise<void> {
    const { nbd } = this.#options
    for (let chunk = 0; chunk < CHUNK_PARTS.length; chunk++) {
      const blocks = Array.from({ length: BLOCKS }, (_, i) => chunk * BLOCKS + i)
      const bytes = Buffer.concat(blocks.map(block => content(block, 1)))
      await nbd.write(this.#offsetOf(chunk * BLOCKS), bytes)
      for (const block of blocks) this.#written.set(block, 1)
    }
    await nbd.flush()
  }

  start(): void {
    this.#atMs = performance.now()
    this.#timer = setInterval(() => this.#turn(), PACE_MS)
  }

  /** Sends no more, and waits for what is open. What was due and not sent is left out. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#waiting.length = 0
    await Promise.all(this.#open)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** What was answered since the last call. Throws what a request failed with. */
  take(): Answered[] {
    if (this.#failure !== undefined) throw this.#failure
    const answered = this.#answered
    this.#answered = []
    return answered
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Reads all of it; how many blocks are not as they were written last. Stop before. */
  async check(): Promise<number> {
    let wrong = 0
    for (let first = 0; first < ALL_BLOCKS; first += BLOCKS) {
      const found = await this.#options.nbd.read(this.#offsetOf(first), REGION_BYTES)
      for (let i = 0; i < BLOCKS; i++) {
        const block = found.subarray(i * REQUEST_BYTES, (i + 1) * REQUEST_BYTES)
        const wanted = content(first + i, this.#written.get(first + i) ?? 0)
        if (Buffer.compare(block, wanted) !== 0) wrong++
      }
    }
    return wrong
  }

  #turn(): void {
    const { now, loadAt } = this.#options
    const atMs = performance.now()
    const timeMs = now()
    const passedMs = Math.min(MAX_PACE_MS, atMs - this.#atMs)
    this.#owed += (passedMs / 1000) * (loadAt(timeMs) / UNITS_PER_REQUEST)
    this.#atMs = atMs
    for (; this.#owed >= 1; this.#owed--) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push({ timeMs, atMs })
    }
    this.#send()
  }

  #send(): void {
    while (this.#sent < this.#waiting.length && this.#open.size < MAX_OPEN) {
      const due = this.#waiting[this.#sent++]
      if (due === undefined) break
      const request = this.#one(due)
        .catch((error: unknown) => {
          this.#failure ??= error
          clearInterval(this.#timer)
        })
        .finally(() => {
          this.#open.delete(request)
          if (this.#failure === undefined) this.#send()
        })
      this.#open.add(request)
    }
    this.#waiting.splice(0, this.#sent)
    this.#sent = 0
  }

  async #one({ timeMs, atMs }: Due): Promise<void> {
    const { nbd } = this.#options
    const block = this.#pick()
    this.#busy.add(block)
    try {
      if (this.#random.unit() < READ_PART) await nbd.read(this.#offsetOf(block), REQUEST_BYTES)
      else {
        const version = (this.#written.get(block) ?? 0) + 1
        await nbd.write(this.#offsetOf(block), content(block, version))
        this.#written.set(block, version)
      }
      this.#answered.push({ dueMs: timeMs, latencyMs: performance.now() - atMs })
    } finally {
      this.#busy.delete(block)
    }
  }

  /** A block of the chunk whose turn it is, each as often as its part of the load says. */
  #pick(): number {
    let next = 0
    for (const [chunk, part] of CHUNK_PARTS.entries()) {
      this.#turns[chunk] = (this.#turns[chunk] ?? 0) + part
      if ((this.#turns[chunk] ?? 0) > (this.#turns[next] ?? 0)) next = chunk
    }
    this.#turns[next] = (this.#turns[next] ?? 0) - 1
    // A chunk all of whose blocks are waited for gives its turn to the next.
    assert(this.#busy.size < ALL_BLOCKS, 'fewer requests are open than there are blocks')
    let block = next * BLOCKS + this.#random.below(BLOCKS)
    while (this.#busy.has(block)) block = (block + 1) % ALL_BLOCKS
    return block
  }

  #offsetOf(block: number): number {
    const { chunkBytes } = this.#options
    return (1 + Math.floor(block / BLOCKS)) * chunkBytes + (block % BLOCKS) * REQUEST_BYTES
  }
}

/** Of a block when it was written for the `version`th time. */
function content(block: number, version: number): Buffer {
  return Buffer.alloc(REQUEST_BYTES, `block ${block} version ${version}. `)
}

/** In milliseconds; 0 if there are none. */
export function quantileOf(answered: readonly Answered[], part: number): number {
  const sorted = answered.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}
