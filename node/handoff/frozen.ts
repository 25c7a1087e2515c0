/**
 * The chunk of a cutover, at its source: changes are refused, for a bounded time, and what is there
 * is made durable.
 *
 * Invariants: once durably released the chunk is answered MOVED, so that it may be thawed like one
 * whose cutover was aborted; the pause is what a client waited at most, from here on.
 */
import { CUTOVER_MS } from '../../protocols/handoff/limits.ts'
import type { ChunkKey, HandoffId } from '../../protocols/ids.ts'
import type { Timer } from '../ports.ts'
import type { HandoffParts } from './parts.ts'

type FrozenParts = Pick<HandoffParts, 'clock' | 'shards' | 'store'>

export class FrozenChunk {
  readonly #parts: FrozenParts
  readonly #of: { readonly chunk: ChunkKey; readonly handoff: HandoffId }
  #timer: Timer | undefined
  #sinceMs: number | undefined
  #flushed: Promise<void> | undefined

  constructor(parts: FrozenParts, of: { readonly chunk: ChunkKey; readonly handoff: HandoffId }) {
    this.#parts = parts
    this.#of = of
  }

  freeze(expired: () => void): void {
    const { clock, shards } = this.#parts
    this.#sinceMs = clock.monotonicMs()
    shards.replicas.freeze(this.#of.chunk, this.#of.handoff)
    this.#timer = clock.after(CUTOVER_MS, expired)
  }

  thaw(): void {
    this.forgetTime()
    this.#parts.shards.replicas.thaw(this.#of.chunk, this.#of.handoff)
  }

  /** A chunk that is taken back must have what the holder does not keep for it any more. */
  flush(): void {
    this.#flushed = this.#parts.store.flush()
    // Whoever waits for it gets the error.
    this.#flushed.catch(() => {})
  }

  /** Resolves when what `flush` began is durable. */
  async durable(): Promise<void> {
    await this.#flushed
  }

  /** The time is not bounded any more. */
  forgetTime(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Since it was frozen; 0 if it never was here. */
  pauseMs(): number {
    return this.#sinceMs === undefined ? 0 : this.#parts.clock.monotonicMs() - this.#sinceMs
  }
}
