/**
 * The moves of this node that have not ended, and the handoffs in flight for them.
 *
 * Invariants: at most PARALLEL_HANDOFFS handoffs at once, at most MAX_OPEN_MOVES moves; a chunk is
 * in one open move at most (the caller leaves out what others have); what a person asked for goes
 * before what a drain wants, that before what the node decided by itself, else the older before the
 * younger; what is committed is never undone by a cancellation.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'
import { MAX_OPEN_MOVES, PARALLEL_HANDOFFS } from '../../protocols/moves/limits.ts'
import type { Move } from '../../protocols/moves/messages.ts'
import type { HandoffEnd, Handoffs } from '../handoff/types.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import { OpenMove, type SavedMove } from './open-move.ts'
import type { ChunkRange } from './ranges.ts'

export interface QueueOptions {
  readonly self: NodeId
  readonly handoffs: Handoffs
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly isHeld: (chunk: ChunkKey) => boolean
  readonly onEnd: (move: Move, saved: SavedMove) => void
}

export class MoveQueue {
  readonly #options: QueueOptions
  readonly #moves = new Map<string, OpenMove>()
  readonly #flights = new Set<Promise<void>>()
  /** Told when any move ended, or the queue closed. */
  #waiting: Array<() => void> = []
  #timer: Timer | undefined
  #isClosed = false

  constructor(options: QueueOptions) {
    this.#options = options
  }

  get isFull(): boolean {
    return this.#moves.size >= MAX_OPEN_MOVES
  }

  get rangeCount(): number {
    return [...this.#moves.values()].reduce((sum, { saved }) => sum + saved.ranges.length, 0)
  }

  add(saved: SavedMove): Move {
    assert(!this.isFull, 'the queue of moves is bounded')
    assert(!this.#moves.has(saved.id), 'an id names one move')
    const move = new OpenMove(saved, this.#options.isHeld)
    this.#moves.set(saved.id, move)
    return this.#view(move)
  }

  /** Begins what may begin. Called after every change. */
  pump(): void {
    if (this.#isClosed) return
    const nowMs = this.#options.clock.monotonicMs()
    for (const move of this.#inOrder()) {
      while (this.#flights.size < PARALLEL_HANDOFFS) {
        const chunk = move.next(nowMs)
        if (chunk === undefined) break
        this.#begin(move, chunk)
      }
      this.#endIfOver(move)
    }
    this.#wakeForRetries(nowMs)
  }

  /** What is not committed is called off; undefined: there is no such open move. */
  cancel(id: string): Move | undefined {
    const move = this.#moves.get(id)
    if (move === undefined) return undefined
    move.cancel()
    const view = this.#endIfOver(move) ?? this.#view(move)
    this.pump()
    return view
  }

  /** Ends moves that can never be done; `why` says so of one, or gives undefined. */
  giveUp(why: (move: SavedMove) => string | undefined): void {
    for (const move of this.#inOrder()) {
      const reason = why(move.saved)
      if (reason !== undefined) move.giveUp(reason)
    }
    this.pump()
  }

  cancelDrain(): void {
    for (const { saved } of this.#inOrder()) if (saved.isDrain) this.cancel(saved.id)
  }

  /** Calls off what matches, and resolves once all of it ended, or `withinMs` later. */
  async clear(matches: (move: SavedMove) => boolean, withinMs: number): Promise<void> {
    for (const { saved } of this.#inOrder()) if (matches(saved)) this.cancel(saved.id)
    const { clock } = this.#options
    const endMs = clock.monotonicMs() + withinMs
    const isThere = () => [...this.#moves.values()].some(({ saved }) => matches(saved))
    while (isThere() && !this.#isClosed && clock.monotonicMs() < endMs) await this.#change(endMs)
  }

  #change(untilMs: number): Promise<void> {
    const { clock } = this.#options
    return new Promise(resolve => {
      const timer = clock.after(Math.max(1, untilMs - clock.monotonicMs()), resolve)
      this.#waiting.push(() => {
        timer.cancel()
        resolve()
      })
    })
  }

  views(): Move[] {
    return this.#inOrder().map(move => this.#view(move))
  }

  saved(): SavedMove[] {
    return this.#inOrder()
      .filter(move => !move.isCancelled)
      .map(move => move.toSave())
  }

  /** Chunks of the volume that an open move has, of those that match. */
  rangesOf(volume: VolumeId, matches: (move: SavedMove) => boolean = () => true): ChunkRange[] {
    return [...this.#moves.values()]
      .filter(({ saved }) => saved.volume === volume && matches(saved))
      .flatMap(({ saved }) => saved.ranges)
  }

  hasDrainMoves(): boolean {
    return [...this.#moves.values()].some(({ saved }) => saved.isDrain)
  }

  bytesPerSecond(): number {
    const nowMs = this.#options.clock.monotonicMs()
    return [...this.#moves.values()].reduce((sum, { speed }) => sum + speed.perSecond(nowMs), 0)
  }

  /** Calls off the handoffs in flight; the moves stay open for the next start. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    for (const move of this.#moves.values()) move.stop()
    this.#tellWaiting()
    await Promise.allSettled([...this.#flights])
  }

  #inOrder(): OpenMove[] {
    return [...this.#moves.values()].sort(
      (a, b) => rankOf(a.saved) - rankOf(b.saved) || a.saved.since - b.saved.since
    )
  }

  #tellWaiting(): void {
    for (const tell of this.#waiting.splice(0)) tell()
  }

  #begin(move: OpenMove, chunk: ChunkKey): void {
    const flight = this.#pass(move, chunk).then(end => {
      this.#flights.delete(flight)
      if (this.#isClosed) return
      const { clock, random } = this.#options
      move.ended(chunk, end, clock.monotonicMs(), random.fraction())
      this.pump()
    })
    this.#flights.add(flight)
  }

  async #pass(move: OpenMove, chunk: ChunkKey): Promise<HandoffEnd> {
    const { handoffs, clock, log } = this.#options
    const { volume, to, id } = move.saved
    try {
      const end = await handoffs.pass({
        chunk,
        to,
        signal: move.signal,
        onProgress: progress => move.progressed(chunk, progress, clock.monotonicMs())
      })
      if (end.is === 'failed') {
        log.info({ move: id, volume, extent: chunk.extent, why: end.why }, 'a handoff failed')
      }
      return end
    } catch (error) {
      log.error({ move: id, volume, error: messageOf(error) }, 'a handoff broke')
      return { is: 'failed', why: messageOf(error), mayRetry: false }
    }
  }

  #endIfOver(move: OpenMove): Move | undefined {
    const state = move.outcome()
    if (state === undefined || !this.#moves.delete(move.saved.id)) return undefined
    const { leftMs: _, trouble, ...view } = this.#view(move)
    const isClean = state === 'done' || trouble === undefined
    const ended: Move = {
      ...view,
      state,
      endedAt: this.#options.clock.now(),
      bytesPerSecond: averageSpeed(view, this.#options.clock.now()),
      ...(isClean || state === 'cancelled' ? {} : { trouble })
    }
    this.#options.onEnd(ended, move.toSave())
    this.#tellWaiting()
    return ended
  }

  #view(move: OpenMove): Move {
    return move.view(this.#options.self, this.#options.clock.monotonicMs())
  }

  #wakeForRetries(nowMs: number): void {
    this.#timer?.cancel()
    const due = [...this.#moves.values()].flatMap(move => move.dueMs() ?? [])
    if (due.length === 0 || this.#flights.size >= PARALLEL_HANDOFFS) return
    this.#timer = this.#options.clock.after(Math.max(1, Math.min(...due) - nowMs), () =>
      this.pump()
    )
  }
}

function rankOf({ isDrain, reason }: SavedMove): number {
  return reason !== undefined ? 2 : isDrain ? 1 : 0
}

/** Over its whole life, waiting included. */
function averageSpeed(move: Move, now: number): number {
  return Math.round((move.bytes.done * 1000) / Math.max(1000, now - move.since))
}
