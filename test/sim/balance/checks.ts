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
/** Deviations of a count that are left to chance. */
const CHANCE = 3
const MAX_TOLD = 20

interface Told {
  readonly figures: BidFigures
  readonly version: string
  /** In the order of telling. */
  readonly number: number
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
  /** By target: of what it was awarded, that on which it bid last. */
  readonly #awarded = new Map<BalanceNode, { readonly move: SimMove; readonly told: Told }>()
  #told = 0

  bid(node: BalanceNode, id: string, answer: NegotiateAnswer, version: string): void {
    const key = `${id} ${node.place.index}`
    // An offer that comes twice is answered with the figures of the first time.
    if (answer.is !== 'bid' || this.#bids.has(key)) return
    this.#bids.set(key, {
      figures: answer.figures,
      version,
      number: this.#told++
    })
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

  /** Loads are other ones now: what was bid before is not compared with what is awarded later. */
  stepped(): void {
    this.#bids.clear()
    this.#awarded.clear()
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

  /** Of a load that never changes: from the third day on no day has more moves than the day before. */
  rests(moves: readonly number[]): void {
    for (let day = 3; day < moves.length; day++) {
      if ((moves[day] ?? 0) > (moves[day - 1] ?? 0)) {
        this.#say(`moves of days grow: ${moves.join(', ')}`)
        return
      }
    }
  }

  /**
   * Of a load that is the same each day: moves of each day, the first `first` left out. They do not
   * grow if the later half of the days has no more than the earlier, but for chance: where things
   * are differs from day to day.
   */
  days(moves: readonly number[], first: number): void {
    const half = Math.ceil((moves.length - first) / 2)
    const sum = (days: readonly number[]): number => days.reduce((all, count) => all + count, 0)
    const earlier = sum(moves.slice(first, first + half))
    const later = sum(moves.slice(moves.length - half))
    if (later > earlier + CHANCE * Math.sqrt(earlier + 1)) {
      this.#say(`moves of days grow: ${moves.join(', ')}`)
    }
  }

  /**
   * The target, with all that is really on its way to it, is as well as the last of its bids on these
   * said: that one took all the others into account.
   */
  #compare(move: SimMove, { node, version }: { node: BalanceNode; version: string }): void {
    const key = `${move.id} ${node.place.index}`
    const told = this.#bids.get(key)
    if (told === undefined || told.version !== version) return
    this.compared++
    const before = this.#awarded.get(node)
    const isLast = before?.told.version !== version || before.told.number < told.number
    const last = isLast ? { move, told } : before
    this.#awarded.set(node, last)
    const really = node.reallyAs(last.move, move)
    const { headroom } = last.told.figures
    if (really === undefined) this.#say(`${move.id}: what was awarded would not be bid for`)
    else if (really.headroom < headroom - 1e-6) {
      this.#say(`${move.id}: bids left headroom of ${headroom}, awards leave ${really.headroom}`)
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
