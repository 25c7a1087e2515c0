/**
 * What left a node and what came to it, as far as it forbids or delays something: no chunk returns
 * within RETURN_MS, none leaves within LEAST_STAY_MS of its arrival, and an hour has a budget.
 *
 *   left --------------- RETURN_MS ----> may return
 *   arrived - LEAST_STAY_MS -> may leave
 *
 * Invariants: bounded; what is forgotten for want of room forbids more, never less: its whole volume
 * then counts as the chunk did, and a move of an unknown volume counts for each. Time is passed in; it may stand still, never matters if it goes back.
 */
import { type ChunkKey, chunkName, type VolumeId } from '../ids.ts'
import {
  LEAST_STAY_MS,
  MAX_REMEMBERED_CHUNKS,
  MAX_REMEMBERED_MOVES,
  RETURN_MS,
  RETURN_REMEMBERED_MS
} from './limits.ts'
import { HOUR_MS } from './time.ts'
import type { Used } from './types.ts'

export interface PastMove {
  readonly is: 'left' | 'arrived'
  /** When it was decided (left) or awarded (arrived), and again when it has ended. Wall ms. */
  readonly atMs: number
  readonly chunks: readonly ChunkKey[]
  readonly bytes: number
}

interface Started {
  readonly atMs: number
  readonly bytes: number
  /** Absent: kept by a build that did not note it. */
  readonly volume: VolumeId | undefined
}

export class MoveHistory {
  readonly #left: Memory
  readonly #arrived: Memory
  #started: Started[] = []

  constructor(limit = MAX_REMEMBERED_CHUNKS) {
    this.#left = new Memory(RETURN_REMEMBERED_MS, limit)
    this.#arrived = new Memory(LEAST_STAY_MS, limit)
  }

  /** A move of this node has begun: it counts against the budget of the hour. */
  begin(atMs: number, bytes: number, volume?: VolumeId): void {
    this.#started.push({ atMs, bytes, volume })
    if (this.#started.length > MAX_REMEMBERED_MOVES) this.#started.shift()
  }

  /** Chunks have left, or have come. */
  note({ is, atMs, chunks }: PastMove): void {
    const memory = is === 'left' ? this.#left : this.#arrived
    for (const chunk of chunks) memory.note(chunk, atMs)
  }

  /** When it may come back here; undefined: now. */
  returnsAt(chunk: ChunkKey, nowMs: number): number | undefined {
    return after(this.#left.last(chunk) + RETURN_MS, nowMs)
  }

  /** It left here lately: it may come back only where it stays quiet for a day. */
  wasHere(chunk: ChunkKey, nowMs: number): boolean {
    return this.#left.last(chunk) + RETURN_REMEMBERED_MS > nowMs
  }

  /** When it may leave; undefined: now. */
  leavesAt(chunk: ChunkKey, nowMs: number): number | undefined {
    return after(this.#arrived.last(chunk) + LEAST_STAY_MS, nowMs)
  }

  /** Moves that began, and their bytes, within the hour. */
  ofHour(nowMs: number): Used {
    this.#started = this.#started.filter(({ atMs }) => atMs > nowMs - HOUR_MS)
    return usedBy(this.#started)
  }

  /** The same, of one volume. */
  ofVolume(id: VolumeId, nowMs: number): Used {
    const since = nowMs - HOUR_MS
    const isIts = ({ volume = id, atMs }: Started): boolean => volume === id && atMs > since
    return usedBy(this.#started.filter(isIts))
  }
}

function usedBy(moves: readonly Started[]): Used {
  return { moves: moves.length, bytes: moves.reduce((sum, move) => sum + move.bytes, 0) }
}

function after(endMs: number, nowMs: number): number | undefined {
  return endMs > nowMs ? endMs : undefined
}

/** When something was noted last, of chunks one by one, and of whole volumes in their stead. */
class Memory {
  readonly #spanMs: number
  readonly #limit: number
  /** In the order of noting: the oldest first. */
  readonly #chunks = new Map<string, { readonly atMs: number; readonly volume: VolumeId }>()
  readonly #volumes = new Map<VolumeId, number>()

  constructor(spanMs: number, limit: number) {
    this.#spanMs = spanMs
    this.#limit = limit
  }

  note(chunk: ChunkKey, atMs: number): void {
    const name = chunkName(chunk)
    this.#chunks.delete(name)
    this.#chunks.set(name, { atMs, volume: chunk.volume })
    if (this.#chunks.size > this.#limit) this.#makeRoom(atMs)
  }

  /** Many at a time: one after the other costs a walk over all that were taken from a Map before. */
  #makeRoom(nowMs: number): void {
    const wanted = this.#limit - (this.#limit >> 3)
    const sinceMs = nowMs - this.#spanMs
    for (const [oldest, { volume, atMs }] of this.#chunks) {
      if (this.#chunks.size <= wanted) break
      this.#chunks.delete(oldest)
      const known = this.#volumes.get(volume) ?? atMs
      if (atMs > sinceMs) this.#volumes.set(volume, Math.max(atMs, known))
    }
    for (const [volume, atMs] of this.#volumes) if (atMs <= sinceMs) this.#volumes.delete(volume)
  }

  /** -Infinity: not that it knows. */
  last(chunk: ChunkKey): number {
    const one = this.#chunks.get(chunkName(chunk))?.atMs ?? Number.NEGATIVE_INFINITY
    const all = this.#volumes.get(chunk.volume) ?? Number.NEGATIVE_INFINITY
    return Math.max(one, all)
  }
}
