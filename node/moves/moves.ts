/**
 * The moves of which this node is the source: what a person asks for, what a drain needs, and what
 * the node has settled with a target by itself (an order, node/balance).
 *
 *   start, drain, order --> queue --> handoffs (one chunk each), at the pace of pace.ts
 *                             \--> moves.json: open moves, drain, bound, and the last 1,000 that ended
 *
 * Invariants: a move is durable before its first chunk is offered; a chunk is in one open move at
 * most; a target is live, has a store, is not being drained, and said that it has room; what a person
 * asks for, or a drain, calls off what the node decided by itself and stands in the way.
 */
import { ShoalError } from '../../protocols/fault.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import type { DrainPlan } from '../../protocols/layout/drain.ts'
import { MAX_ENDED_MOVES, MAX_OPEN_RANGES } from '../../protocols/moves/limits.ts'
import type { DrainPurpose, DrainStatus, Move } from '../../protocols/moves/messages.ts'
import type { JsonFile } from '../json-file.ts'
import { MAKE_WAY_MS } from '../limits.ts'
import { checkBounds, hopeless, isOrdered, notWritten, reasonOf } from './checks.ts'
import { Drain } from './drain.ts'
import { movesOfPlan } from './drain-moves.ts'
import { isHeld } from './held.ts'
import { type Loaded, loadMoves, type MovesRecord, moveFile } from './move-file.ts'
import type { SavedMove } from './open-move.ts'
import { orderedChunks } from './order.ts'
import { MoveQueue } from './queue.ts'
import { type ChunkRange, overlap } from './ranges.ts'
import { serveMoves } from './serve.ts'
import type { MoveOrder, Moves, MovesList, MovesParts, MovesWatcher, MoveWish } from './types.ts'
import { checkTarget, chooseChunks } from './wish.ts'

/** Goes on with what is kept, and serves `/shoal/moves/1`. */
export async function openMoves(parts: MovesParts): Promise<Moves> {
  const moves = new NodeMoves(parts, await loadMoves(parts.disk, parts.log))
  serveMoves(parts.rpc, moves)
  moves.resume()
  return moves
}

class NodeMoves implements Moves {
  readonly #parts: MovesParts
  readonly #file: JsonFile
  readonly #queue: MoveQueue
  readonly #drain: Drain
  /** The oldest first. */
  readonly #ended: Move[]
  readonly #problem: string | undefined
  readonly #watchers: MovesWatcher[] = []
  #bound: number | null

  constructor(parts: MovesParts, { record, problem }: Loaded) {
    this.#parts = parts
    this.#problem = problem
    this.#ended = [...record.ended]
    this.#bound = record.bound
    parts.pacer.setBound((parts.bound === undefined ? record.bound : parts.bound) ?? undefined)
    this.#file = moveFile(parts.disk, parts.log, () => this.#record())
    this.#queue = new MoveQueue({
      ...parts,
      self: parts.network.self,
      isHeld: chunk => isHeld(parts.store, chunk),
      onEnd: (move, saved) => this.#remember(move, saved)
    })
    for (const saved of record.open) this.#queue.add(saved)
    this.#drain = new Drain(
      {
        parts,
        queue: this.#queue,
        makeWay: () => this.#makeWay(isOrdered),
        enqueue: (plan, why) => this.#enqueueDrain(plan, why),
        save: () => this.#file.save()
      },
      record.drain
    )
  }

  resume(): void {
    this.#parts.map.onMesh(() =>
      this.#queue.giveUp(saved => hopeless(this.#parts.map.mesh(), saved))
    )
    this.#queue.giveUp(saved => hopeless(this.#parts.map.mesh(), saved))
    this.#drain.resume()
  }

  async start(wish: MoveWish): Promise<Move> {
    const { volume, to, why } = wish
    const asked = () => this.#queue.rangesOf(volume, saved => !isOrdered(saved))
    await checkTarget(this.#parts, to, chooseChunks(this.#parts, asked(), wish).bytes)
    const { ranges: wanted } = chooseChunks(this.#parts, asked(), wish)
    await this.#makeWay(
      saved => isOrdered(saved) && saved.volume === volume && overlap(saved.ranges, wanted)
    )
    // All this took a while: another move may have taken some of the chunks, or they are gone.
    const { bytes, ranges } = chooseChunks(this.#parts, this.busy(volume), wish)
    checkBounds(this.#queue, ranges)
    return this.#begin({
      id: this.#newId(),
      ...{ volume, to, why, ranges, totalBytes: bytes },
      isDrain: false
    })
  }

  async order(order: MoveOrder): Promise<Move> {
    const { id, volume, to, bytes, reason, why } = order
    if (this.draining() !== undefined) {
      throw new ShoalError({ code: 'CONFLICT', what: id }, 'the node is being drained')
    }
    const ranges = orderedChunks(this.#parts, this.busy(volume), order)
    checkBounds(this.#queue, ranges)
    const what = { id, volume, to, why, ranges, totalBytes: bytes }
    return this.#begin({ ...what, reason, isDrain: false })
  }

  ordered(): SavedMove[] {
    return this.#queue.saved().filter(isOrdered)
  }

  busy(volume: VolumeId): ChunkRange[] {
    return this.#queue.rangesOf(volume)
  }

  watch(watcher: MovesWatcher): void {
    this.#watchers.push(watcher)
  }

  list(ended: number): MovesList {
    const { pacer } = this.#parts
    return {
      moves: [...this.#queue.views(), ...this.#lastEnded(ended)],
      bound: pacer.bound ?? null,
      rate: pacer.rate ?? null,
      drain: this.drainStatus()
    }
  }

  async cancel(id: string): Promise<Move> {
    const cancelled = this.#queue.cancel(id)
    if (cancelled === undefined) {
      const isOver = this.#ended.some(move => move.id === id)
      throw new ShoalError(
        { code: isOver ? 'CONFLICT' : 'NOT_FOUND', what: id },
        isOver ? `move ${id} has ended already` : `there is no move ${id} here`
      )
    }
    await this.#file.save()
    return cancelled
  }

  async setBound(bytesPerSecond: number | null): Promise<void> {
    this.#bound = bytesPerSecond
    this.#parts.pacer.setBound(bytesPerSecond ?? undefined)
    await this.#file.save()
  }

  drain(purpose: DrainPurpose): Promise<DrainStatus> {
    return this.#drain.begin(purpose)
  }

  undrain(): Promise<DrainStatus> {
    return this.#drain.end()
  }

  drainStatus(): DrainStatus {
    return this.#drain.status()
  }

  draining(): DrainPurpose | undefined {
    return this.#drain.record?.purpose
  }

  problems(): string[] {
    const drain = this.#drain.status()
    const blocked =
      drain.state === 'blocked' ? [`the drain of this node is blocked: ${drain.trouble ?? ''}`] : []
    return this.#problem === undefined ? blocked : [this.#problem, ...blocked]
  }

  async close(): Promise<void> {
    this.#drain.close()
    const closing = this.#queue.close()
    // Whoever waits for its turn to copy learns that it is over.
    this.#parts.pacer.close()
    await closing
    await this.#file.save()
  }

  // -- starting

  async #begin(wanted: Omit<SavedMove, 'since' | 'doneBytes' | 'longestPauseMs'>): Promise<Move> {
    const move = this.#add(wanted)
    try {
      await this.#file.save()
    } catch (error) {
      this.#queue.cancel(move.id)
      throw notWritten(error)
    }
    for (const { started } of this.#watchers) started(move, reasonOf(wanted), wanted.ranges)
    this.#queue.pump()
    return move
  }

  #add(wanted: Omit<SavedMove, 'since' | 'doneBytes' | 'longestPauseMs'>): Move {
    const since = this.#parts.clock.now()
    return this.#queue.add({ ...wanted, since, doneBytes: 0, longestPauseMs: 0 })
  }

  /** What the node decided by itself gives way to people; what is committed of it ends first. */
  #makeWay(matches: (saved: SavedMove) => boolean): Promise<void> {
    return this.#queue.clear(matches, MAKE_WAY_MS)
  }

  /** What the queue has no room for waits for the next look. */
  #enqueueDrain(plan: DrainPlan, why: string): void {
    for (const wanted of movesOfPlan(plan)) {
      if (this.#queue.isFull || this.#queue.rangeCount >= MAX_OPEN_RANGES) break
      const move = this.#add({ ...wanted, id: this.#newId(), why, isDrain: true })
      for (const { started } of this.#watchers) started(move, 'drain', wanted.ranges)
    }
    this.#queue.pump()
  }

  // -- remembering

  /** The youngest first. */
  #lastEnded(count: number): Move[] {
    return count === 0 ? [] : this.#ended.slice(-count).reverse()
  }

  #remember(move: Move, saved: SavedMove): void {
    this.#ended.push(move)
    this.#ended.splice(0, Math.max(0, this.#ended.length - MAX_ENDED_MOVES))
    const { id, volume, to, state, chunks, bytes, trouble } = move
    this.#parts.log.info({ move: id, volume, to, state, chunks, bytes, trouble }, 'a move ended')
    this.#file.saveSoon()
    for (const { ended } of this.#watchers) ended(move, reasonOf(saved), saved.ranges)
  }

  #record(): MovesRecord {
    return {
      version: 1,
      bound: this.#bound,
      drain: this.#drain.record,
      open: this.#queue.saved().map(saved => ({ ...saved, ranges: [...saved.ranges] })),
      ended: this.#ended
    }
  }

  #newId(): string {
    return Buffer.from(this.#parts.random.bytes(6)).toString('hex')
  }
}
