/**
 * The choice of a target: whom to ask, what a bidder says of itself, and who is the best.
 *
 *   source: candidates(peers by gossip) --offer--> bidder: appraise(own, offered) --bid--> source: rank
 *
 * Invariants: hard limits come before any score; a bid that adds as much overload as the move takes
 * away is never the best; the same figures and the same seed give the same choice.
 */
import { Random } from '../forecast/random.ts'
import type { NodeId } from '../ids.ts'
import { type Curve, curveOf, excessOfCurve, excessWith, gridOf, shiftCurve } from './curve.ts'
import { loadOfMoments } from './excess.ts'
import { MAX_CANDIDATES } from './limits.ts'
import { addPaths, forEachStep } from './paths.ts'
import type { NodeSettings } from './settings.ts'
import { DAY_MS, MINUTE_MS } from './time.ts'
import type { BidFigures, NodeOutlook, VolumeBalance, Want } from './types.ts'

/** What a bidder hears of a want. */
export type Offered = Pick<Want, 'reason' | 'bytes' | 'path' | 'day' | 'copyMs'>

export type Appraisal =
  | { readonly is: 'bid'; readonly figures: BidFigures }
  | { readonly is: 'refusal'; readonly why: string }

export interface Appraise {
  readonly nowMs: number
  /** With everything already promised. */
  readonly own: NodeOutlook
  readonly offered: Offered
  readonly settings: NodeSettings
  /** When chunks that left here may be back; absent: now. */
  readonly returnsAt?: number
  /** Some of it left here within RETURN_REMEMBERED_MS. */
  readonly wasHere?: boolean
  /** To the volume's gateway. */
  readonly rttMs?: number
}

/** What a bidder computes about itself. Space for the bytes is part of it. */
export function appraise(of: Appraise): Appraisal {
  const { nowMs, own, offered, settings, rttMs } = of
  if (of.returnsAt !== undefined) return refuse('it left here less than 6 hours ago')
  if (own.freeBytes < offered.bytes) return refuse('not enough free space')
  if (of.wasHere === true || offered.reason === 'home') {
    const why = unquiet(own, offered, nowMs)
    if (why !== undefined) return refuse(why)
  }
  const horizonMs = settings.horizonMinutes * MINUTE_MS
  const endMs = nowMs + horizonMs + Math.min(15 * MINUTE_MS, horizonMs)
  const grid = gridOf(nowMs, endMs, own.path.stepMs)
  const now = curveOf(own.path, grid)
  const moved = curveOf(offered.path, grid)
  const shift = { way: 1, from: Math.ceil(offered.copyMs / grid.stepMs) } as const
  const before = excessOfCurve(now, own.threshold, grid)
  const after = excessWith(now, moved, own.threshold, grid, shift)
  shiftCurve(now, moved, shift)
  const figures = {
    headroom: headroomOf(own, now),
    addedExcess: Math.max(0, after - before),
    freeBytes: own.freeBytes - offered.bytes
  }
  return { is: 'bid', figures: { ...figures, ...(rttMs !== undefined && { rttMs }) } }
}

function refuse(why: string): Appraisal {
  return { is: 'refusal', why }
}

/** The least of what the high quantile leaves below the threshold. */
function headroomOf(own: NodeOutlook, { mean, variance }: Curve): number {
  let least = own.threshold - own.load
  for (let i = 0; i < mean.length; i++) {
    const { high } = loadOfMoments({ mean: mean[i] ?? 0, variance: variance[i] ?? 0 })
    least = Math.min(least, own.threshold - high)
  }
  return least
}

/** Why what was here before, or comes home, may not: the high quantile of the next day. */
function unquiet(own: NodeOutlook, offered: Offered, nowMs: number): string | undefined {
  if (own.day === undefined) return 'it was here before, and the next day is not foretold'
  const withIt = addPaths(own.day, [offered.day ?? offered.path])
  let most = 0
  forEachStep(withIt, nowMs, nowMs + DAY_MS, ({ high }) => {
    most = Math.max(most, high)
  })
  return most > own.threshold ? 'it would not stay quiet here for the next day' : undefined
}

/** A place, as far as hard limits and preferences ask. */
export interface Place {
  readonly node: NodeId
  readonly region: string
  readonly host: string
}

export interface Bid extends Place {
  readonly figures: BidFigures
  /** 0 to 1: how far its words have come true. */
  readonly trust: number
  /** Factor of the link to its region; 'never': nothing goes there. */
  readonly linkCost: number | 'never'
}

export interface RankTerms {
  readonly want: Pick<Want, 'benefit' | 'cost' | 'bytes' | 'reason'>
  readonly volume: VolumeBalance
  readonly settings: NodeSettings
  /** Hosts and regions that hold another replica of what moves. */
  readonly takenHosts: ReadonlySet<string>
  readonly source: Place
  /** Of what goes home: only where the round trip to the gateway is shorter than it is now. */
  readonly nearerThanMs?: number
}

export interface Ranked {
  readonly bid: Bid
  /** Undefined: unfit. */
  readonly score: number | undefined
  readonly why: string
}

/** The best first, the unfit last. Less score is better. */
export function rank(bids: readonly Bid[], terms: RankTerms): Ranked[] {
  return bids
    .map((bid): Ranked => {
      const why = unfit(bid, terms) ?? hopeless(bid, terms)
      if (why !== undefined) return { bid, score: undefined, why }
      return { bid, score: scoreOf(bid, terms), why: 'fits' }
    })
    .sort((a, b) => order(a, b))
}

function order(a: Ranked, b: Ranked): number {
  const worst = Number.POSITIVE_INFINITY
  const by = (a.score ?? worst) - (b.score ?? worst)
  if (by < 0 || by > 0) return by
  return a.bid.node < b.bid.node ? -1 : 1
}

/** Why a place is out of the question, whatever it bids. */
export function unfit(
  place: Place & Pick<Bid, 'linkCost'> & { readonly figures?: BidFigures },
  { volume, settings, takenHosts, source, want, nearerThanMs }: RankTerms
): string | undefined {
  const { regions, maxRttMs } = volume
  const { rttMs, freeBytes } = place.figures ?? {}
  if (place.linkCost === 'never') return `nothing may go to region ${place.region}`
  if (regions?.includes(place.region) === false) return 'its region is not allowed for the volume'
  if (settings.regions?.includes(place.region) === false) return 'its region is not allowed here'
  if (takenHosts.has(place.host)) return 'its host has another copy'
  if (place.host === source.host && place.node === source.node) return 'it is the source'
  if (freeBytes !== undefined && freeBytes < 0) return 'not enough free space'
  if (maxRttMs !== undefined && place.figures !== undefined && !((rttMs ?? Infinity) <= maxRttMs)) {
    return `its round trip to the gateway is not within ${maxRttMs} ms`
  }
  if (
    nearerThanMs !== undefined &&
    place.figures !== undefined &&
    !((rttMs ?? Infinity) < nearerThanMs)
  ) {
    return 'it is no nearer to the gateway'
  }
  return want.bytes < 0 ? 'nothing to move' : undefined
}

/**
 * So many times what comes there must go away here: in a mesh that is full everywhere, chunks would
 * else go round for ever, each time for a little.
 */
const LEAST_GAIN = 2

function hopeless({ figures }: Bid, { want }: RankTerms): string | undefined {
  return LEAST_GAIN * figures.addedExcess + want.cost >= want.benefit
    ? 'too much of the overload that goes away here would come there'
    : undefined
}

/** Units: expected excess that comes there, and what the rest is worth in the same. */
function scoreOf({ figures, trust, linkCost }: Bid, { want }: RankTerms): number {
  const link = linkCost === 'never' ? 0 : linkCost
  const near = Math.min(1, (figures.rttMs ?? 0) / 100)
  return (
    figures.addedExcess +
    want.cost * link +
    want.benefit * (0.2 * near + 0.5 * (1 - trust)) -
    1e-3 * figures.headroom
  )
}

/** A peer as gossip tells of it. */
export interface KnownPeer extends Place {
  readonly load: number
  readonly threshold?: number
  readonly capacity?: number
  /** High quantile an hour ahead, if it said one. */
  readonly high?: number
  readonly chance?: number
  readonly freeBytes: number
  readonly rttMs?: number
  readonly trust: number
  readonly linkCost: number | 'never'
}

/** The few to ask, the best first; drawn by headroom, so that not all sources ask the same. */
export function candidates(
  peers: readonly KnownPeer[],
  terms: RankTerms,
  seed: number
): KnownPeer[] {
  const random = new Random(seed)
  return [...peers]
    .sort((a, b) => (a.node < b.node ? -1 : 1))
    .filter(peer => peer.freeBytes >= terms.want.bytes && unfit(peer, terms) === undefined)
    .map(peer => ({ peer, weight: promiseOf(peer, terms.source) * (0.5 + random.unit()) }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, MAX_CANDIDATES)
    .map(({ peer }) => peer)
}

function promiseOf(peer: KnownPeer, source: Place): number {
  const threshold = peer.threshold ?? peer.capacity
  const load = Math.max(peer.load, peer.high ?? 0)
  const room = threshold === undefined ? 0.25 : Math.max(0.01, 1 - load / Math.max(1e-9, threshold))
  const apart = peer.host === source.host ? 0.5 : 1
  return room * apart * (0.25 + 0.75 * peer.trust)
}
