/**
 * A small mesh that negotiates: sources with chunks to give away, bidders of every kind, moves that
 * end well and badly. Judges itself after every event (`check`).
 */
import { assert } from '../../protocols/assert.ts'
import type { BidFigures, LoadPath } from '../../protocols/balance/types.ts'
import type { ChunkKey, NodeId, Nonce, VolumeId } from '../../protocols/ids.ts'
import { type Appraisal, Ledger, promisedBytes } from '../../protocols/negotiate/ledger.ts'
import { MAX_PROMISES } from '../../protocols/negotiate/limits.ts'
import { type NegotiateAnswer, type Offer, refused } from '../../protocols/negotiate/messages.ts'
import type { OfferEnd, Rank } from '../../protocols/negotiate/offer-types.ts'
import { OpenOffers } from '../../protocols/negotiate/open-offers.ts'
import { Trust } from '../../protocols/negotiate/trust.ts'
import { EventClock } from '../sim/event-heap.ts'
import { randomNodeId } from './load-mesh.ts'
import { NegotiateWire, Negotiator, type Weather } from './negotiate-mesh.ts'
import type { SeededRandom } from './process-random.ts'

export type BidderKind = 'honest' | 'boaster' | 'breaker' | 'mute' | 'half-dead' | 'babbler'

const MINUTE_MS = 60_000
const THRESHOLD = 100
const CAPACITY_BYTES = 1_000
/** Bytes that honest bidders count as free: those of whom that is true are filled by offers. */
const HUGE = 1e9

export interface WorldOptions {
  readonly sources: number
  readonly chunks: number
  readonly bidders: readonly BidderKind[]
  readonly weather: Weather
  /** How long a move takes at most. */
  readonly longestMoveMs: number
  /** Bidders forget everything now and then. */
  readonly mayRestart: boolean
}

export class Bidder {
  readonly id: NodeId
  readonly kind: BidderKind
  readonly base: number
  ledger: Ledger
  /** What has really come, by move. */
  readonly came = new Map<string, Offer>()
  /** A promise ended before its move did: then what is promised may exceed what there is. */
  hasLapsed = false

  constructor(id: NodeId, kind: BidderKind, base: number) {
    this.id = id
    this.kind = kind
    this.base = base
    this.ledger = this.#fresh()
  }

  /** False: it does not keep its own book, or could not. */
  get isJudged(): boolean {
    return this.kind !== 'boaster' && this.kind !== 'babbler' && !this.hasLapsed
  }

  restart(): void {
    this.ledger = this.#fresh()
    this.hasLapsed = true
  }

  /** With all that is promised and has come, each once. */
  taken(nowMs: number): { readonly bytes: number; readonly load: number; readonly count: number } {
    const promises = this.ledger.promises(nowMs)
    const known = new Set(promises.map(({ offer }) => offer.id))
    const others = [...this.came.values()].filter(({ id }) => !known.has(id))
    const all = [...promises.map(({ offer }) => offer), ...others]
    return {
      bytes: all.reduce((sum, { bytes }) => sum + bytes, 0),
      load: all.reduce((sum, { path }) => sum + peak(path), this.base),
      count: promises.length
    }
  }

  #fresh(): Ledger {
    return new Ledger({
      appraise: (offer, _, promised): Appraisal => {
        const known = new Set(promised.map(one => one.offer.id))
        const come = [...this.came.values()]
        const freeBytes =
          CAPACITY_BYTES -
          promisedBytes(promised) -
          offer.bytes -
          come.reduce((sum, { bytes }) => sum + bytes, 0)
        const settled = come.filter(({ id }) => !known.has(id))
        const loads = [...promised.map(one => one.offer), ...settled, offer]
        const load = loads.reduce((sum, { path }) => sum + peak(path), this.base)
        const figures = { headroom: THRESHOLD - load, addedExcess: 0, freeBytes }
        if (load > THRESHOLD) return { is: 'unfit', code: 'no-headroom', why: 'too much' }
        return { is: 'fit', figures }
      }
    })
  }
}

interface Source {
  readonly id: NodeId
  readonly volume: VolumeId
  readonly held: Set<number>
  readonly open: OpenOffers
  readonly negotiator: Negotiator
  readonly trust: Trust
  readonly rank: Rank
}

interface Moving {
  readonly source: Source
  readonly to: Bidder
  readonly offer: Offer
}

export class NegotiateWorld {
  readonly clock = new EventClock()
  readonly bidders: Bidder[]
  readonly sources: Source[]
  readonly ends = new Map<string, OfferEnd>()
  /** Extents of a source's volume that a move has, and which. */
  readonly moving = new Map<string, Moving>()
  readonly #offers = new Map<string, { readonly offer: Offer; readonly extent: number }>()
  readonly #random: SeededRandom
  readonly #options: WorldOptions
  readonly #wire: NegotiateWire
  #ids = 0
  moves = 0

  constructor(random: SeededRandom, options: WorldOptions) {
    this.#random = random
    this.#options = options
    this.#wire = new NegotiateWire(this.clock, random, options.weather)
    this.bidders = options.bidders.map(
      kind => new Bidder(randomNodeId(random), kind, random.fraction() * 60)
    )
    for (const bidder of this.bidders) this.#connect(bidder)
    this.sources = Array.from({ length: options.sources }, (_, i) => this.#source(i))
  }

  get begun(): number {
    return this.#offers.size
  }

  /** Every chunk is offered now and then, some at once, until `untilMs`; then it ends by itself. */
  run(untilMs: number, endMs: number): void {
    const { chunks, mayRestart } = this.#options
    for (const source of this.sources) {
      for (let i = 0; i < chunks * 3; i++) {
        this.clock.after(this.#random.fraction() * untilMs, () => this.#offer(source))
      }
    }
    if (mayRestart) {
      for (const bidder of this.bidders) {
        this.clock.after(this.#random.fraction() * untilMs, () => bidder.restart())
      }
    }
    this.clock.runUntil(endMs, () => this.check())
  }

  check(): void {
    const { nowMs } = this.clock
    for (const bidder of this.bidders) {
      if (!bidder.isJudged) continue
      const { bytes, load, count } = bidder.taken(nowMs)
      assert(count <= MAX_PROMISES, 'promises are bounded')
      assert(bytes <= CAPACITY_BYTES, 'no space is promised twice')
      assert(load <= THRESHOLD + 1e-9, 'no headroom is promised twice')
    }
  }

  #source(i: number): Source {
    const id = randomNodeId(this.#random)
    const trust = new Trust()
    const rank: Rank = bids =>
      bids
        .map(({ node, figures }) => ({
          node,
          score: -figures.headroom * trust.factor(node, this.clock.nowMs),
          why: 'most headroom',
          isFit: figures.headroom >= 0
        }))
        .sort((a, b) => a.score - b.score)
    const source: Source = {
      id,
      volume: i.toString(16).padStart(32, '0') as VolumeId,
      held: new Set(Array.from({ length: this.#options.chunks }, (_, extent) => extent)),
      open: new OpenOffers(),
      trust,
      rank,
      negotiator: new Negotiator({
        self: id,
        wire: this.#wire,
        started: ({ to, promise }) => this.#start(source, to, promise.id),
        ended: (move, end) => this.#end(source, move, end),
        noted: ({ node, is }) => trust.note(node, is, this.clock.nowMs)
      })
    }
    return source
  }

  #offer(source: Source): void {
    const extent = this.#random.below(this.#options.chunks)
    const path = this.#path()
    const offer: Offer = {
      call: 'offer',
      id: (++this.#ids).toString(16).padStart(12, '0'),
      volume: source.volume,
      ranges: [{ generation: 1, column: 0, replica: 0, from: extent, to: extent + 1 }],
      bytes: 1 + this.#random.below(600),
      path,
      reason: 'predicted',
      copyMs: MINUTE_MS,
      horizonMs: 60 * MINUTE_MS
    }
    const isOpen = source.open.has(chunkOf(source.volume, extent))
    if (!source.held.has(extent) || isOpen) return
    assert(source.open.open(offer.id, offer), 'what is not open can be opened')
    this.#offers.set(offer.id, { offer, extent })
    const candidates = this.#someBidders()
    source.negotiator.begin(offer, candidates, source.rank)
    if (this.#random.fraction() < 0.1) {
      this.clock.after(this.#random.fraction() * 8_000, () =>
        source.negotiator.tell(offer.id, { type: 'cancel', why: 'not wanted any more' })
      )
    }
  }

  #path(): LoadPath {
    const high = Array.from({ length: 12 }, () => this.#random.fraction() * 40)
    return { atMs: 0, stepMs: 5 * MINUTE_MS, expected: high.map(load => load / 2), high }
  }

  #someBidders(): NodeId[] {
    const left = this.bidders.map(({ id }) => id)
    const some: NodeId[] = []
    const count = 1 + this.#random.below(4)
    while (some.length < count && left.length > 0) {
      some.push(...left.splice(this.#random.below(left.length), 1))
    }
    return some
  }

  #start(source: Source, to: NodeId, id: string): void {
    const known = this.#offers.get(id)
    const bidder = this.bidders.find(one => one.id === to)
    if (known === undefined || bidder === undefined) throw new Error('a move of nothing')
    for (const { source: other, offer } of this.moving.values()) {
      const isSame = other === source && offer.ranges[0]?.from === known.extent
      assert(!isSame, 'a chunk is in one move at most')
    }
    assert(!this.moving.has(id), 'a move starts once')
    this.moves++
    this.moving.set(id, { source, to: bidder, offer: known.offer })
    const lastsMs = this.#random.fraction() * this.#options.longestMoveMs
    this.clock.after(lastsMs, () => this.#moved(id, known.extent))
  }

  #moved(id: string, extent: number): void {
    const move = this.moving.get(id)
    if (move === undefined) throw new Error('the end of no move')
    this.moving.delete(id)
    const { source, to, offer } = move
    const promise = to.ledger.find(source.id, id)
    if (promise === undefined || promise.untilMs <= this.clock.nowMs) to.hasLapsed = true
    const isDone = this.#random.fraction() < 0.7
    if (isDone) {
      source.held.delete(extent)
      to.came.set(id, offer)
    }
    source.negotiator.moved(id, isDone ? 'done' : 'failed')
  }

  #end(source: Source, id: string, end: OfferEnd): void {
    assert(!this.ends.has(id), 'a negotiation ends once')
    this.ends.set(id, end)
    source.open.close(id)
  }

  #connect(bidder: Bidder): void {
    this.#wire.connect(bidder.id, (from, request) => {
      const at = { nowMs: this.clock.nowMs, nonce: this.#nonce() }
      switch (bidder.kind) {
        case 'mute':
          return undefined
        case 'half-dead':
          return this.#random.fraction() < 0.6 ? undefined : bidder.ledger.answer(from, request, at)
        case 'boaster':
          return boast(bidder.ledger.answer(from, request, at), at.nonce, request.call)
        case 'breaker':
          if (request.call === 'award') return refused('no-headroom', 'changed my mind')
          return bidder.ledger.answer(from, request, at)
        case 'babbler':
          return this.#babble(at.nonce)
        case 'honest':
          return bidder.ledger.answer(from, request, at)
      }
    })
  }

  #babble(nonce: Nonce): NegotiateAnswer {
    const figures: BidFigures = { headroom: HUGE, addedExcess: 0, freeBytes: HUGE }
    return this.#random.pick<NegotiateAnswer>([
      { is: 'bid', figures, reservation: nonce, lastsMs: this.#random.below(40_000) },
      { is: 'awarded' },
      { is: 'kept' },
      { is: 'noted' },
      refused('unknown', '')
    ])
  }

  #nonce(): Nonce {
    return (++this.#ids).toString(16).padStart(16, '0') as Nonce
  }
}

/** Says yes to everything. */
function boast(answer: NegotiateAnswer, reservation: Nonce, call: string): NegotiateAnswer {
  if (call === 'award') return { is: 'awarded' }
  if (call !== 'offer' || answer.is !== 'refused') return answer
  const figures = { headroom: HUGE, addedExcess: 0, freeBytes: HUGE }
  return { is: 'bid', figures, reservation, lastsMs: 40_000 }
}

function chunkOf(volume: VolumeId, extent: number): ChunkKey {
  return { volume, extent, generation: 1, column: 0, replica: 0 }
}

function peak(path: LoadPath): number {
  return Math.max(...path.high)
}
