/**
 * Which nodes a new volume is first spread over. A pure choice from measurements: the same
 * candidates give the same answer on every node, in whatever order they are listed.
 *
 * Nodes are taken one at a time, each time the cheapest. Costs are in milliseconds of round trip,
 * so that each term says how far away a node may be before it is the better choice after all:
 *
 *   distance   measured round trip to the gateway (or to the region that was asked for)
 *   load       1 ms per 1,000 IOPS that the node serves already
 *   fullness   up to 20 ms, with the square of the used share
 *   quiet      up to 45 ms: by what the node foretells, when the volume will be busy (quiet.ts)
 *   region     10 ms for every node already taken in the same region; 1 ms if a region is asked for
 *   host       20 ms for every node already taken on the same host
 *
 * Invariants: never on fewer hosts than without forecasts; no node twice; only nodes with room;
 * exactly as many as asked for.
 */
import { assert } from '../assert.ts'
import type { NodeId } from '../ids.ts'
import { MiB } from '../limits.ts'
import { type Quiet, quietMs } from './quiet.ts'

/** Free space below which a node is given no new shard. */
export const MIN_ROOM_BYTES = 64 * MiB

const UNKNOWN_DISTANCE_MS = 100
const FULL_COST_MS = 20
const IOPS_PER_MS = 1000
const SAME_REGION_MS = 10
const SAME_REGION_NEAR_MS = 1
const SAME_HOST_MS = 20
/** What asking for a region is worth against everything that was only measured. */
const OUTSIDE_NEAR_MS = 50

export interface Candidate {
  readonly node: NodeId
  readonly region: string
  readonly host: string
  /** Measured to the gateway, or to the nearest node of the region asked for. */
  readonly distanceMs: number | undefined
  readonly iops: number
  readonly capacityBytes: number
  readonly availableBytes: number
  /** Of the node, when the volume is busy; absent: nothing is known. */
  readonly quiet?: Quiet | undefined
}

export interface PlacementWish {
  readonly columns: number
  /** A region to stay near to, if one was asked for. */
  readonly nearRegion?: string | undefined
}

export function hasRoom(candidate: Candidate): boolean {
  return candidate.capacityBytes > 0 && candidate.availableBytes >= MIN_ROOM_BYTES
}

/** The node of each column. The caller has checked that enough candidates have room. */
export function choosePlacement(candidates: readonly Candidate[], wish: PlacementWish): NodeId[] {
  const foretold = oneByOne(candidates, wish)
  const blind = oneByOne(unforetold(candidates), wish)
  const chosen = hostsOf(foretold) < hostsOf(blind) ? blind : foretold
  return chosen.map(candidate => candidate.node)
}

function oneByOne(candidates: readonly Candidate[], wish: PlacementWish): readonly Candidate[] {
  const left = candidates.filter(hasRoom).sort(byId)
  assert(left.length >= wish.columns, 'there is a node with room for every column')
  const taken: Candidate[] = []
  while (taken.length < wish.columns) {
    const best = cheapest(withinRules(left, taken, wish), taken, wish)
    taken.push(best)
    left.splice(left.indexOf(best), 1)
  }
  return taken
}

function unforetold(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates.map(candidate => ({ ...candidate, quiet: undefined }))
}

function hostsOf(candidates: readonly Candidate[]): number {
  return new Set(candidates.map(({ host }) => host)).size
}

/** A candidate of a placement, and why. */
export interface Reason {
  readonly node: NodeId
  readonly distanceMs: number | undefined
  readonly availableBytes: number
  readonly quiet: Quiet | undefined
}

/** Why these nodes: what is known of each, and who would have been chosen but for its forecast. */
export function reasonsFor(
  candidates: readonly Candidate[],
  chosen: readonly NodeId[],
  wish: PlacementWish
): { readonly chosen: readonly Reason[]; readonly passedOver: readonly Reason[] } {
  const reasons = (nodes: readonly NodeId[]): Reason[] =>
    nodes.flatMap(id => {
      const found = candidates.find(({ node }) => node === id)
      if (found === undefined) return []
      const { node, distanceMs, availableBytes, quiet } = found
      return [{ node, distanceMs, availableBytes, quiet }]
    })
  const blind = choosePlacement(unforetold(candidates), wish)
  const others = blind.filter(node => !chosen.includes(node))
  return { chosen: reasons(chosen), passedOver: reasons(others) }
}

/**
 * Failure domains first: a forecast decides only among those that share a host no more. What was
 * taken before may have been the forecast's choice already: choosePlacement looks at the whole.
 */
function withinRules(
  left: readonly Candidate[],
  taken: readonly Candidate[],
  wish: PlacementWish
): readonly Candidate[] {
  const shares = ({ host }: Candidate) => taken.some(other => other.host === host)
  if (shares(cheapest(unforetold(left), taken, wish))) return left
  return left.filter(candidate => !shares(candidate))
}

function cheapest(
  left: readonly Candidate[],
  taken: readonly Candidate[],
  wish: PlacementWish
): Candidate {
  let best: Candidate | undefined
  let bestMs = Number.POSITIVE_INFINITY
  for (const candidate of left) {
    const ms = costMs(candidate, taken, wish)
    if (ms >= bestMs) continue
    best = candidate
    bestMs = ms
  }
  assert(best !== undefined, 'there is a candidate left')
  return best
}

/** Exported for tests and for `--json` explanations. */
export function costMs(
  candidate: Candidate,
  taken: readonly Candidate[],
  wish: PlacementWish
): number {
  const isNear = wish.nearRegion === undefined || candidate.region === wish.nearRegion
  const usedShare = 1 - Math.min(1, candidate.availableBytes / candidate.capacityBytes)
  const sameRegion = taken.filter(other => other.region === candidate.region).length
  const sameHost = taken.filter(other => other.host === candidate.host).length
  const regionMs = wish.nearRegion === undefined ? SAME_REGION_MS : SAME_REGION_NEAR_MS
  return (
    (candidate.distanceMs ?? UNKNOWN_DISTANCE_MS) +
    (isNear ? 0 : OUTSIDE_NEAR_MS) +
    candidate.iops / IOPS_PER_MS +
    FULL_COST_MS * usedShare ** 2 +
    quietMs(candidate.quiet) +
    regionMs * sameRegion +
    SAME_HOST_MS * sameHost
  )
}

function byId(a: Candidate, b: Candidate): number {
  return a.node < b.node ? -1 : a.node > b.node ? 1 : 0
}
