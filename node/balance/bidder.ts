/**
 * Answers `/shoal/negotiate/1`: what this node would take of others, and what it has promised to.
 *
 *   offer -> may it at all? -> fits with all that is promised? -> bid, kept in the ledger
 *
 * Invariants: any request of a member gets an answer, and none waits for anything; a node that is
 * drained, paused or over its own threshold bids on nothing; a round trip that counts was measured
 * here; what came counts as promised until forecasts know of it.
 */

import { assert } from '../../protocols/assert.ts'
import { linkFactor } from '../../protocols/balance/links.ts'
import { appraise } from '../../protocols/balance/target.ts'
import type { NodeOutlook } from '../../protocols/balance/types.ts'
import type { NodeId, Nonce } from '../../protocols/ids.ts'
import { isNonce } from '../../protocols/ids.ts'
import {
  type Appraisal,
  Ledger,
  type LedgerPromise,
  promisedBytes
} from '../../protocols/negotiate/ledger.ts'
import { ARRIVED_COUNTS_MS } from '../../protocols/negotiate/limits.ts'
import {
  NEGOTIATE_PROTOCOL,
  type NegotiateAnswer,
  type NegotiateRequest,
  negotiateRequestSchema,
  type Offer,
  type RefusalCode
} from '../../protocols/negotiate/messages.ts'
import { MAX_OFFERED_CHUNKS, MOVED_SETTLES_MS } from '../limits.ts'
import type { ShardMap } from '../map/types.ts'
import { countChunks, overlap, rangesOf } from '../moves/ranges.ts'
import type { Moves } from '../moves/types.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import { rateOf } from '../scaled-clock.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { Pending } from './look.ts'
import { chunksIn, type Past } from './past.ts'
import { peakOf } from './receipt.ts'
import type { Settings } from './settings-file.ts'
import type { PromiseView } from './types.ts'

export interface BidderParts {
  readonly region: string
  readonly rpc: Rpc
  /** Of time, and of load. */
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Pick<Network, 'self' | 'roundTripMs'>
  readonly map: Pick<ShardMap, 'mesh'>
  readonly store: Pick<ChunkStore, 'shard'>
  readonly moves: Pick<Moves, 'draining'>
  readonly settings: Settings
  readonly past: Past
  /** Of this node, with all that; undefined: nothing is foretold. */
  readonly outlook: (pending: Pending) => NodeOutlook | undefined
}

interface Arrived {
  readonly from: NodeId
  readonly id: string
  /** Monotonic, of load. */
  readonly atMs: number
}

export class Bidder {
  readonly #parts: BidderParts
  readonly #ledger: Ledger
  #arrived: Arrived[] = []

  constructor(parts: BidderParts) {
    this.#parts = parts
    this.#ledger = new Ledger({
      appraise: (offer, from, promised) => this.#appraise(offer, from, promised),
      arrivedCountsMs: ARRIVED_COUNTS_MS / rateOf(parts.loadClock)
    })
  }

  serve(): void {
    this.#parts.rpc.serve(NEGOTIATE_PROTOCOL, negotiateRequestSchema, async (from, request) =>
      this.answer(from, request)
    )
  }

  answer(from: NodeId, request: NegotiateRequest): NegotiateAnswer {
    const { clock, log } = this.#parts
    const nowMs = clock.monotonicMs()
    const before = this.#ledger.find(from, request.id)
    const answer = this.#ledger.answer(from, request, { nowMs, nonce: this.#nonce() })
    const after = this.#ledger.find(from, request.id)
    if (before?.at !== after?.at) this.#follow(request, before ?? after, after?.at)
    const { call, id } = request
    const why = answer.is === 'refused' ? { code: answer.code, why: answer.why } : {}
    log.debug({ move: id, from, call, answer: answer.is, ...why }, 'a negotiation')
    return answer
  }

  /** What will come, for a plan: of what has come forecasts may know already. */
  coming(): Omit<Pending, 'less'> {
    const promises = this.#ledger.promises(this.#parts.clock.monotonicMs())
    return pendingOf(promises.filter(({ at }) => at === 'awarded'))
  }

  views(): PromiseView[] {
    return this.#ledger.promises(this.#parts.clock.monotonicMs()).flatMap(promise => {
      const { at, from, offer } = promise
      if (at === 'arrived') return []
      const { id, volume, bytes, path } = offer
      return [{ id, from, volume, bytes, highPeak: peakOf(path, 'high'), at }]
    })
  }

  /** A forecast of the node came in: what came long enough before is in it. */
  foretold(): void {
    const knownMs = this.#parts.loadClock.monotonicMs() - MOVED_SETTLES_MS
    for (const { from, id, atMs } of this.#arrived) {
      if (atMs <= knownMs) this.#ledger.counted(from, id)
    }
    this.#arrived = this.#arrived.filter(({ atMs }) => atMs > knownMs)
  }

  /** Chunks that were promised a place stay where they come, for a while. */
  #follow(
    request: NegotiateRequest,
    promise: LedgerPromise | undefined,
    at: LedgerPromise['at'] | undefined
  ): void {
    if (promise === undefined || (at !== 'awarded' && at !== 'arrived')) return
    const { past, loadClock } = this.#parts
    past.noted('arrived', promise.offer.volume, promise.offer.ranges)
    past.saveSoon()
    if (at !== 'arrived') return
    const { from } = promise
    this.#arrived.push({ from, id: request.id, atMs: loadClock.monotonicMs() })
  }

  #appraise(offer: Offer, from: NodeId, promised: readonly LedgerPromise[]): Appraisal {
    const unfit = this.#forbidden(offer, from)
    if (unfit !== undefined) return unfit
    const { outlook, settings, past, loadClock } = this.#parts
    // What is leaving counts until forecasts know that it is gone: it may also fail to leave.
    const own = outlook({ ...pendingOf(promised), less: [] })
    if (own === undefined) return no('blind', 'it has no forecast, or no threshold, yet')
    if (own.load > own.threshold) return no('no-headroom', 'it is over its threshold now')
    const nowMs = loadClock.now()
    const chunks = offer.ranges.flatMap(range => chunksIn(offer.volume, range))
    const returns = chunks.flatMap(chunk => past.history.returnsAt(chunk, nowMs) ?? [])
    const rttMs = this.#roundTripMs(offer)
    const { reason, bytes, path, hourly, copyMs } = offer
    const appraisal = appraise({
      nowMs,
      own,
      offered: { reason, bytes, path, copyMs, ...(hourly !== undefined && { day: hourly }) },
      settings: settings.now,
      ...(returns.length > 0 && { returnsAt: Math.max(...returns) }),
      wasHere: chunks.some(chunk => past.history.wasHere(chunk, nowMs)),
      ...(rttMs !== undefined && { rttMs })
    })
    if (appraisal.is === 'bid') return { is: 'fit', figures: appraisal.figures }
    if (returns.length > 0) return no('returning', appraisal.why)
    return no(own.freeBytes < bytes ? 'no-space' : 'no-headroom', appraisal.why)
  }

  /** What no figures change. */
  #forbidden(offer: Offer, from: NodeId): Appraisal | undefined {
    const { moves, settings, region, map } = this.#parts
    if (moves.draining() !== undefined) return no('draining', 'it is being drained')
    if (settings.now.isPaused) return no('paused', 'its balancing is paused')
    if (offer.regions?.includes(region) === false) return no('region', 'its region is not allowed')
    const source = map.mesh().nodes.get(from)
    if (source === undefined) return no('blind', 'its map does not show the source yet')
    if (linkFactor(map.mesh().links, source.region, region) === 'never') {
      return no('region', `nothing moves from ${source.region} to ${region}`)
    }
    if (countChunks(offer.ranges) > MAX_OFFERED_CHUNKS) {
      return no('too-many', 'these are more chunks than one move may have')
    }
    return this.#tooFar(offer) ?? this.#conflict(offer, from)
  }

  #tooFar(offer: Offer): Appraisal | undefined {
    const { maxRttMs, gateway } = offer
    if (maxRttMs === undefined || gateway === undefined) return undefined
    const rttMs = this.#roundTripMs(offer)
    if (rttMs === undefined) return no('unknown-gateway', 'its way to the gateway is not measured')
    if (rttMs <= maxRttMs) return undefined
    return no('too-far', `its round trip to the gateway is ${rttMs.toFixed(1)} ms`)
  }

  /** Nobody passes on what is here, or on its way from elsewhere; copies of a chunk keep apart. */
  #conflict({ volume, ranges }: Offer, from: NodeId): Appraisal | undefined {
    const head = this.#parts.store.shard(volume)
    if (head === undefined) return undefined
    const held = rangesOf(head.runs)
    const coming = rangesOf(head.receiving.filter(one => one.from !== from).map(({ run }) => run))
    const anyCopy = ranges.flatMap(range => held.map(({ replica }) => ({ ...range, replica })))
    if (!overlap(held, anyCopy) && !overlap(coming, ranges)) return undefined
    return no('conflict', 'it has these chunks, or another copy of them')
  }

  #roundTripMs({ gateway }: Offer): number | undefined {
    const { network } = this.#parts
    if (gateway === undefined) return undefined
    return gateway === network.self ? 0 : network.roundTripMs(gateway)
  }

  #nonce(): Nonce {
    const nonce = Buffer.from(this.#parts.random.bytes(8)).toString('hex')
    assert(isNonce(nonce), '8 bytes are a nonce')
    return nonce
  }
}

function pendingOf(promised: readonly LedgerPromise[]): Omit<Pending, 'less'> {
  return {
    more: promised.map(({ offer: { path, hourly } }) => ({
      path,
      ...(hourly !== undefined && { day: hourly })
    })),
    promisedBytes: promisedBytes(promised)
  }
}

function no(code: RefusalCode, why: string): Appraisal {
  return { is: 'unfit', code, why }
}
