/**
 * What must hold in the simulated mesh at every moment, whatever its size. Judged by what the
 * simulation knows, not by what nodes remember.
 *
 * - no chunk is in two moves, or moved by one that does not hold it
 * - no chunk comes back to a node that it left less than 6 h ago
 * - a chunk begins at most 2 moves in an hour
 * - what a bidder said stays true when it is awarded, with all other awards counted
 * - a node sends at most MAX_MESSAGES_PER_MOVE for each negotiation, and begins MAX_NEW_MOVES a step
 */
import { MAX_NEW_MOVES, RETURN_MS } from '../../../protocols/balance/limits.ts'
import type { BidFigures } from '../../../protocols/balance/types.ts'
import { MAX_MESSAGES_PER_MOVE } from '../../../protocols/negotiate/limits.ts'
import type { NegotiateAnswer } from '../../../protocols/negotiate/messages.ts'
import type { SimChunk, SimMove } from './ground.ts'
import type { BalanceNode } from './node.ts'
import { HOUR_MS } from './settings.ts'

const MOVES_AN_HOUR = 2
const MAX_TOLD = 20

interface Told {
  readonly figures: BidFigures
  readonly version: string
}

interface ChunkPast {
  readonly left: Map<number, number>
  begunMs: number[]
}

export class BalanceChecks {
  /** In words; the first ones. */
  readonly broken: string[] = []
  /** Awards that were compared with all other awards to the same target. */
  compared = 0
  readonly #chunks = new Map<SimChunk, ChunkPast>()
  readonly #bids = new Map<string, Told>()
  /** By target: the least headroom that was bid on what it was awarded. */
  readonly #awarded = new Map<BalanceNode, { readonly version: string; readonly least: number }>()

  bid(node: BalanceNode, id: string, answer: NegotiateAnswer, version: string): void {
    if (answer.is !== 'bid') return
    this.#bids.set(`${id} ${node.place.index}`, { figures: answer.figures, version })
  }

  started(
    move: SimMove,
    moves: Iterable<SimMove>,
    target: { readonly node: BalanceNode; readonly version: string },
    nowMs: number
  ): void {
    for (const other of moves) {
      if (other.chunks.some(chunk => move.chunks.includes(chunk))) {
        this.#say(`${move.id} moves what ${other.id} moves`)
      }
    }
    for (const chunk of move.chunks) {
      if (chunk.holder !== move.source) this.#say(`${move.id} moves what its source does not hold`)
      const past = this.#past(chunk)
      const left = past.left.get(move.target)
      if (left !== undefined && nowMs - left < RETURN_MS) {
        this.#say(`${move.id}: a chunk returns after ${hours(nowMs - left)} h`)
      }
      past.begunMs = [...past.begunMs.filter(atMs => atMs > nowMs - HOUR_MS), nowMs]
      if (past.begunMs.length > MOVES_AN_HOUR) {
        this.#say(`${move.id}: a chunk moves ${past.begunMs.length} times within an hour`)
      }
    }
    this.#compare(move, target)
  }

  moved(move: SimMove, nowMs: number): void {
    for (const chunk of move.chunks) this.#past(chunk).left.set(move.source, nowMs)
  }

  /** Of one node, so far. */
  sent(node: BalanceNode, messages: number): void {
    if (messages > node.begun * MAX_MESSAGES_PER_MOVE) {
      this.#say(`a node sent ${messages} messages for ${node.begun} negotiations`)
    }
  }

  looked(begun: number): void {
    if (begun > MAX_NEW_MOVES) this.#say(`a node began ${begun} moves in one step`)
  }

  /** Of a load that is the same each day: moves of each day, of which the first `first` may differ. */
  days(moves: readonly number[], first: number): void {
    const [most = 0, ...later] = moves.slice(first)
    for (const count of later) {
      if (count > most) this.#say(`moves of days grow: ${moves.join(', ')}`)
    }
  }

  /**
   * The target, with all that is really on its way to it, is as well as the bids on these said: the
   * last of them took all the others into account.
   */
  #compare(move: SimMove, { node, version }: { node: BalanceNode; version: string }): void {
    const key = `${move.id} ${node.place.index}`
    const told = this.#bids.get(key)
    this.#bids.delete(key)
    if (told === undefined || told.version !== version) return
    this.compared++
    const known = this.#awarded.get(node)
    const before = known?.version === version ? known.least : Number.POSITIVE_INFINITY
    const least = Math.min(before, told.figures.headroom)
    this.#awarded.set(node, { version, least })
    const really = node.reallyAs(move)
    if (really === undefined) this.#say(`${move.id}: what was awarded would not be bid for`)
    else if (really.headroom < least - 1e-6) {
      this.#say(`${move.id}: bids left headroom of ${least}, all awards leave ${really.headroom}`)
    } else if (really.freeBytes < 0) this.#say(`${move.id}: more was awarded than is free`)
  }

  #past(chunk: SimChunk): ChunkPast {
    const known = this.#chunks.get(chunk)
    if (known !== undefined) return known
    const past: ChunkPast = { left: new Map(), begunMs: [] }
    this.#chunks.set(chunk, past)
    return past
  }

  #say(what: string): void {
    if (this.broken.length < MAX_TOLD) this.broken.push(what)
  }
}

function hours(ms: number): string {
  return (ms / HOUR_MS).toFixed(1)
}
