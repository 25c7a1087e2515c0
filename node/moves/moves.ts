/**
 * The moves of which this node is the source: what a person asks for, and what a drain needs.
 *
 *   start, drain --> queue --> handoffs (one chunk each), at the pace of pace.ts
 *                      \--> moves.json: open moves, drain, bound, and the last 1,000 that ended
 *
 * Invariants: a move is durable before its first chunk is offered; a chunk is in one open move at
 * most; a target is live, has a store, is not being drained, and said that it has room.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { DrainPlan } from '../../protocols/layout/drain.ts'
import { MAX_ENDED_MOVES, MAX_MOVE_RANGES, MAX_OPEN_RANGES } from '../../protocols/moves/limits.ts'
import type { DrainPurpose, DrainStatus, Move } from '../../protocols/moves/messages.ts'
import { nodeName } from '../volumes/shards.ts'
import { Drain } from './drain.ts'
import { isHeld } from './held.ts'
import { type Loaded, loadMoves, MoveFile, type MovesRecord } from './move-file.ts'
import type { SavedMove } from './open-move.ts'
import { MoveQueue } from './queue.ts'
import type { ChunkRange } from './ranges.ts'
import { serveMoves } from './serve.ts'
import type { Moves, MovesList, MovesParts, MoveWish } from './types.ts'
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
  readonly #file: MoveFile
  readonly #queue: MoveQueue
  readonly #drain: Drain
  /** The oldest first. */
  readonly #ended: Move[]
  readonly #problem: string | undefined
  #bound: number | null

  constructor(parts: MovesParts, { record, problem }: Loaded) {
    this.#parts = parts
    this.#problem = problem
    this.#ended = [...record.ended]
    this.#bound = record.bound
    parts.pacer.setBound((parts.bound === undefined ? record.bound : parts.bound) ?? undefined)
    this.#file = new MoveFile(parts.disk, parts.log, () => this.#record())
    this.#queue = new MoveQueue({
      ...parts,
      self: parts.network.self,
      isHeld: chunk => isHeld(parts.store, chunk),
      onEnd: move => this.#remember(move)
    })
    for (const saved of record.open) this.#queue.add(saved)
    this.#drain = new Drain(
      {
        parts,
        queue: this.#queue,
        enqueue: (plan, why) => this.#enqueueDrain(plan, why),
        save: () => this.#file.save()
      },
      record.drain
    )
  }

  resume(): void {
    this.#parts.map.onMesh(() => this.#queue.giveUp(saved => this.#hopeless(saved)))
    this.#queue.giveUp(saved => this.#hopeless(saved))
    this.#drain.resume()
  }

  async start(wish: MoveWish): Promise<Move> {
    const busy = () => this.#queue.rangesOf(wish.volume)
    await checkTarget(this.#parts, wish.to, chooseChunks(this.#parts, busy(), wish).bytes)
    // Asking took a while: another move may have taken some of the chunks, or they are gone.
    const { bytes, ranges } = chooseChunks(this.#parts, busy(), wish)
    this.#checkBounds(ranges)
    const move = this.#queue.add({
      id: this.#newId(),
      volume: wish.volume,
      to: wish.to,
      why: wish.why,
      since: this.#parts.clock.now(),
      isDrain: false,
      ranges,
      totalBytes: bytes,
      doneBytes: 0,
      longestPauseMs: 0
    })
    try {
      await this.#file.save()
    } catch (error) {
      this.#queue.cancel(move.id)
      throw notWritten(error)
    }
    this.#queue.pump()
    return move
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

  #checkBounds(ranges: readonly ChunkRange[]): void {
    const isMany = ranges.length > MAX_MOVE_RANGES
    if (!isMany && !this.#queue.isFull && this.#queue.rangeCount < MAX_OPEN_RANGES) return
    throw new ShoalError(
      { code: 'LIMIT', limit: isMany ? 'MAX_MOVE_RANGES' : 'MAX_OPEN_MOVES' },
      isMany
        ? 'these chunks are too scattered for one move: move them in parts, with --extents'
        : 'this node has as many moves as it may: wait for some, or cancel them'
    )
  }

  /** Why a move can never be done, as far as the map knows. */
  #hopeless({ volume, to }: SavedMove): string | undefined {
    const mesh = this.#parts.map.mesh()
    if (mesh.tombstones.has(volume)) return 'the volume was deleted'
    const isGone = mesh.revocations.has(to) || mesh.nodes.get(to)?.leftAt !== undefined
    return isGone ? `node ${nodeName(mesh, to)} is no member any more` : undefined
  }

  /** One move per volume and target; what the queue has no room for waits for the next look. */
  #enqueueDrain(plan: DrainPlan, why: string): void {
    const byVolumeAndTarget = new Map<string, Array<DrainPlan['assignments'][number]>>()
    for (const assignment of plan.assignments) {
      const key = `${assignment.piece.volume} ${assignment.to}`
      byVolumeAndTarget.set(key, [...(byVolumeAndTarget.get(key) ?? []), assignment])
    }
    for (const assignments of byVolumeAndTarget.values()) {
      const [first] = assignments
      assert(first !== undefined, 'a group has a member')
      if (this.#queue.isFull || this.#queue.rangeCount >= MAX_OPEN_RANGES) break
      const pieces = assignments.slice(0, MAX_MOVE_RANGES).map(({ piece }) => piece)
      this.#queue.add({
        id: this.#newId(),
        volume: first.piece.volume,
        to: first.to,
        why,
        since: this.#parts.clock.now(),
        isDrain: true,
        ranges: pieces.map(({ volume: _v, bytes: _b, ...range }) => range),
        totalBytes: pieces.reduce((sum, piece) => sum + piece.bytes, 0),
        doneBytes: 0,
        longestPauseMs: 0
      })
    }
    this.#queue.pump()
  }

  // -- remembering

  /** The youngest first. */
  #lastEnded(count: number): Move[] {
    return count === 0 ? [] : this.#ended.slice(-count).reverse()
  }

  #remember(move: Move): void {
    this.#ended.push(move)
    this.#ended.splice(0, Math.max(0, this.#ended.length - MAX_ENDED_MOVES))
    const { id, volume, to, state, chunks, bytes, trouble } = move
    this.#parts.log.info({ move: id, volume, to, state, chunks, bytes, trouble }, 'a move ended')
    this.#file.saveSoon()
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

function notWritten(error: unknown): ShoalError {
  return new ShoalError(
    { code: 'IO_ERROR' },
    `the move could not be written down (${messageOf(error)}); nothing is moved`,
    { cause: error }
  )
}
