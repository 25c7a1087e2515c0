/**
 * One move that has not ended: which of its chunks are on their way, done, waiting for another try.
 *
 *   waiting --next--> running --passed--> done
 *      ^___ retry _______/ \____ failed for good, or tried too often --> failed
 *
 * Invariants: a chunk is in one of these at a time; `bytes.done` never exceeds `bytes.total`; a
 * chunk that this node does not hold any more counts as done (it has been passed on before).
 */
import { assert } from '../../protocols/assert.ts'
import { type ChunkKey, chunkName, type NodeId, type VolumeId } from '../../protocols/ids.ts'
import {
  MAX_CHUNK_ATTEMPTS,
  MAX_FAILED_CHUNKS,
  MAX_WHY_CHARS,
  RETRY_MAX_MS,
  RETRY_MIN_MS
} from '../../protocols/moves/limits.ts'
import type { Move, MoveState } from '../../protocols/moves/messages.ts'
import type { HandoffEnd, HandoffProgress } from '../handoff/types.ts'
import { type ChunkRange, countChunks } from './ranges.ts'
import { Speed } from './speed.ts'
import type { OrderReason } from './types.ts'

/** What is kept of it across restarts. */
export interface SavedMove {
  readonly id: string
  readonly volume: VolumeId
  readonly to: NodeId
  readonly why: string
  readonly since: number
  /** Part of a drain: goes when the drain is called off. */
  readonly isDrain: boolean
  /** The node decided it by itself; absent: people asked for it. */
  readonly reason?: OrderReason | undefined
  readonly ranges: readonly ChunkRange[]
  /** Of all chunks, before the first one moved. */
  readonly totalBytes: number
  readonly doneBytes: number
  readonly longestPauseMs: number
}

interface Attempt {
  readonly chunk: ChunkKey
  /** Tries that have failed. */
  readonly failed: number
}

interface Running extends Attempt {
  totalBytes: number
  sentBytes: number
}

export class OpenMove {
  readonly saved: SavedMove
  readonly #abort = new AbortController()
  #isCancelled = false
  #isHopeless = false
  readonly speed = new Speed()
  readonly #isHeld: (chunk: ChunkKey) => boolean
  readonly #running = new Map<string, Running>()
  #retries: Array<Attempt & { readonly dueMs: number }> = []
  #rangeIndex = 0
  #extent: number
  #doneChunks = 0
  #failedChunks = 0
  #doneBytes: number
  /** What the chunks that are done took, of `saved.totalBytes`. */
  #accountedBytes: number
  #longestPauseMs: number
  #trouble: string | undefined
  #hasRun = false

  constructor(saved: SavedMove, isHeld: (chunk: ChunkKey) => boolean) {
    this.saved = saved
    this.#isHeld = isHeld
    this.#extent = saved.ranges[0]?.from ?? 0
    this.#doneBytes = saved.doneBytes
    this.#accountedBytes = saved.doneBytes
    this.#longestPauseMs = saved.longestPauseMs
  }

  /** Of its handoffs. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isCancelled(): boolean {
    return this.#isCancelled
  }

  /** Nothing more begins, and what is not committed is called off. */
  cancel(): void {
    this.#isCancelled = true
    this.#abort.abort()
  }

  /** It can never be done: its target is no member any more, or the volume is gone. */
  giveUp(why: string): void {
    this.#isHopeless = true
    this.#trouble = why
    this.#abort.abort()
  }

  /** The node goes down: the move stays as it is for the next start. */
  stop(): void {
    this.#abort.abort()
  }

  /** The next chunk to hand off, which is running from now on; undefined: none now. */
  next(nowMs: number): ChunkKey | undefined {
    if (this.#isCancelled || this.#hasGivenUp) return undefined
    for (let found = this.#take(nowMs); found !== undefined; found = this.#take(nowMs)) {
      if (this.#isHeld(found.chunk)) {
        this.#running.set(chunkName(found.chunk), { ...found, totalBytes: 0, sentBytes: 0 })
        this.#hasRun = true
        return found.chunk
      }
      this.#doneChunks += 1
    }
    return undefined
  }

  /** When the next retry is due; undefined if nothing waits for one. */
  dueMs(): number | undefined {
    if (this.#isCancelled || this.#hasGivenUp || this.#retries.length === 0) return undefined
    return Math.min(...this.#retries.map(retry => retry.dueMs))
  }

  progressed(chunk: ChunkKey, progress: HandoffProgress, nowMs: number): void {
    const running = this.#running.get(chunkName(chunk))
    if (running === undefined) return
    this.speed.add(Math.max(0, progress.sentBytes - running.sentBytes), nowMs)
    running.totalBytes = progress.totalBytes
    running.sentBytes = progress.sentBytes
  }

  /** `jitter` in [0, 1) spreads the retries. */
  ended(chunk: ChunkKey, end: HandoffEnd, nowMs: number, jitter: number): void {
    const running = this.#running.get(chunkName(chunk))
    assert(running !== undefined, 'a handoff that ended was running')
    this.#running.delete(chunkName(chunk))
    if (end.is === 'passed') {
      this.speed.add(Math.max(0, end.bytes - running.sentBytes), nowMs)
      this.#doneChunks += 1
      this.#doneBytes += end.bytes
      this.#accountedBytes += running.totalBytes
      this.#longestPauseMs = Math.max(this.#longestPauseMs, end.pauseMs)
      return
    }
    if (this.#isCancelled || this.#isHopeless) return
    this.#trouble = `extent ${chunk.extent}, column ${chunk.column}: ${end.why}`
    const failed = running.failed + 1
    if (!end.mayRetry || failed >= MAX_CHUNK_ATTEMPTS) {
      this.#failedChunks += 1
      return
    }
    const pauseMs = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (failed - 1)) * (0.5 + jitter)
    this.#retries.push({ chunk, failed, dueMs: nowMs + pauseMs })
  }

  /** How it ended; undefined while something is running or to be done. */
  outcome(): Extract<MoveState, 'done' | 'failed' | 'cancelled'> | undefined {
    if (this.#running.size > 0) return undefined
    if (this.#isCancelled) {
      return this.#doneChunks === countChunks(this.saved.ranges) ? 'done' : 'cancelled'
    }
    if (this.#hasGivenUp) return 'failed'
    const isThrough = this.#rangeIndex >= this.saved.ranges.length && this.#retries.length === 0
    if (!isThrough) return undefined
    return this.#failedChunks > 0 ? 'failed' : 'done'
  }

  /** As people see it. */
  view(from: NodeId, nowMs: number): Move {
    const { id, volume, to, why, since } = this.saved
    const bytes = this.#bytes()
    const bytesPerSecond = this.speed.perSecond(nowMs)
    const leftMs = ((bytes.total - bytes.done) * 1000) / bytesPerSecond
    const trouble = this.#isCancelled ? 'being cancelled' : this.#trouble
    return {
      id,
      volume,
      from,
      to,
      why: why.slice(0, MAX_WHY_CHARS),
      since,
      state: this.#hasRun ? 'running' : 'queued',
      chunks: { total: countChunks(this.saved.ranges), done: this.#doneChunks },
      bytes,
      bytesPerSecond,
      ...(bytesPerSecond > 0 ? { leftMs: Math.round(leftMs) } : {}),
      longestPauseMs: this.#longestPauseMs,
      ...(trouble === undefined ? {} : { trouble: trouble.slice(0, MAX_WHY_CHARS) })
    }
  }

  /** As the next start needs it. */
  toSave(): SavedMove {
    return { ...this.saved, doneBytes: this.#doneBytes, longestPauseMs: this.#longestPauseMs }
  }

  get #hasGivenUp(): boolean {
    return this.#isHopeless || this.#failedChunks >= MAX_FAILED_CHUNKS
  }

  #take(nowMs: number): Attempt | undefined {
    const due = this.#retries.find(retry => retry.dueMs <= nowMs)
    if (due !== undefined) {
      this.#retries = this.#retries.filter(retry => retry !== due)
      return due
    }
    const range = this.saved.ranges[this.#rangeIndex]
    if (range === undefined) return undefined
    const { generation, column, replica } = range
    const extent = this.#extent
    this.#extent += 1
    if (this.#extent >= range.to) {
      this.#rangeIndex += 1
      this.#extent = this.saved.ranges[this.#rangeIndex]?.from ?? 0
    }
    return { chunk: { volume: this.saved.volume, extent, generation, column, replica }, failed: 0 }
  }

  /** What is not being copied yet takes what is left of the estimate for all of it. */
  #bytes(): Move['bytes'] {
    const running = [...this.#running.values()]
    const chunks = countChunks(this.saved.ranges)
    const waiting = chunks - this.#doneChunks - this.#failedChunks - running.length
    const done = this.#doneBytes + running.reduce((sum, one) => sum + one.sentBytes, 0)
    const begun = running.reduce((sum, one) => sum + Math.max(one.totalBytes, one.sentBytes), 0)
    const rest = waiting > 0 ? this.saved.totalBytes - this.#accountedBytes - begun : 0
    return { done, total: this.#doneBytes + begun + Math.max(0, rest) }
  }
}
