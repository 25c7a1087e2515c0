/**
 * What the policy looks at: this node and its shards with their loads to come, as far as they are
 * known, less what is on its way away, with what was promised to others.
 *
 * Invariants: reading it moves nothing and asks nobody but the keeper of this node; it goes over a
 * bounded number of shards, in pieces that are short; chunks that anybody moves are not in it.
 */
import type { VolumeView } from '../../crdt/types.ts'
import { addPaths, cutPath, loadAt } from '../../protocols/balance/paths.ts'
import type { Look } from '../../protocols/balance/policy.ts'
import type { NodeSettings } from '../../protocols/balance/settings.ts'
import type { KnownPeer, Place } from '../../protocols/balance/target.ts'
import type { LoadPath, NodeOutlook, ShardOutlook, Used } from '../../protocols/balance/types.ts'
import type { VolumeId } from '../../protocols/ids.ts'
import { MIN_ROOM_BYTES } from '../../protocols/layout/placement.ts'
import { loadOf } from '../../protocols/load/record.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import {
  LEAST_LOOKED_CHUNKS,
  MAX_LOOKED_SHARDS,
  MAX_LOOKED_STEPS,
  STANDING_MINUTES
} from '../limits.ts'
import { NODE_KEY } from '../load/keeper-messages.ts'
import type { Load } from '../load/load.ts'
import type { ShardMap } from '../map/types.ts'
import type { ChunkRange } from '../moves/ranges.ts'
import type { Clock, Network } from '../ports.ts'
import type { ShardServer } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import { chunksOf } from './chunks.ts'
import type { LongOutlooks } from './long-outlooks.ts'
import { type Ahead, aheadOf, peakMs, standingPath, unchanged } from './outlooks.ts'
import type { Past } from './past.ts'
import type { Pressure } from './pressure.ts'
import { homeRoundTripMs, roundTripMs } from './round-trips.ts'
import { thresholdOf } from './threshold.ts'

const DAY_MINUTES = 1_440
/** Units of a request at a volume's limit of requests: one, and one for each 32 KiB up to 256 KiB. */
const LIMITED_UNITS = 9
/** High quantile over what is expected, where nothing is known. */
const YOUNG_SPREAD = 1.5

export interface LookSources {
  readonly self: Place
  /** That of load. */
  readonly clock: Clock
  readonly load: Load
  readonly longer: LongOutlooks
  readonly pressure: Pressure
  readonly map: Pick<ShardMap, 'volume' | 'mesh'>
  readonly network: Pick<Network, 'self' | 'roundTripMs'>
  readonly store: Pick<ChunkStore, 'shards' | 'chunkBytes' | 'space'>
  readonly shards: Pick<ShardServer, 'replicas'>
  readonly settings: () => NodeSettings
  readonly past: Past
  /** Nothing is taken to change: for a bench that asks what forecasts are worth. */
  readonly isReactive?: boolean
}

/** What forecasts do not know of. */
export interface Pending {
  /** Of what was promised to others, and of what is leaving. */
  readonly more: readonly Ahead[]
  readonly less: readonly Ahead[]
  readonly promisedBytes: number
}

export interface Surroundings extends Pending {
  /** Chunks that somebody moves, or offers. */
  readonly busy: (volume: VolumeId) => readonly ChunkRange[]
  /** What of it is on offer. */
  readonly offered: (volume: VolumeId) => Used
  readonly peers: readonly KnownPeer[]
  readonly copyBytesPerSecond: number
  /** What a move takes beside copying. */
  readonly besideMs: number
  /** Offered lately for an overload, or to where they are at home, and nobody took them. */
  readonly refused: ReadonlySet<VolumeId>
  readonly refusedAtHome: ReadonlySet<VolumeId>
  readonly mostChunks: ReadonlyMap<VolumeId, number>
}

/** Undefined: nothing is foretold yet, or there is no threshold. */
export function nodeOutlook(sources: LookSources, pending: Pending): NodeOutlook | undefined {
  const { self, load, pressure, store, clock } = sources
  const ahead = aheadOfKey(sources, NODE_KEY, sources.settings().horizonMinutes)
  const limit = thresholdOf(load, sources.settings())
  if (ahead === undefined || limit === undefined) return undefined
  const capacity = load.options.capacity()
  const nowMs = clock.now()
  const leaving = pending.less.reduce((sum, { path }) => sum + loadAt(path, nowMs).expected, 0)
  const { more, less } = pending
  const chance = load.forecast(NODE_KEY)?.chance
  return {
    ...self,
    load: Math.max(0, pressure.node - leaving),
    ...(capacity !== undefined && { capacity }),
    threshold: limit.threshold,
    path: addPaths(ahead.path, more.map(pathOf), less.map(pathOf)),
    ...(chance !== undefined && { chance }),
    freeBytes: Math.max(0, store.space().availableBytes - MIN_ROOM_BYTES - pending.promisedBytes),
    ...(ahead.day !== undefined && {
      day: addPaths(ahead.day, more.map(dayOf), less.map(dayOf))
    })
  }
}

function pathOf({ path }: Ahead): LoadPath {
  return path
}

function dayOf({ path, day }: Ahead): LoadPath {
  return day ?? path
}

/** In pieces: each turn looks at one shard. Undefined: as with nodeOutlook. */
export function* looking(
  sources: LookSources,
  around: Surroundings
): Generator<void, Look | undefined> {
  const node = nodeOutlook(sources, around)
  if (node === undefined) return undefined
  const shards: ShardOutlook[] = []
  const found = busiest(sources)
  const most = chunksEach(found)
  for (const one of found) {
    shards.push(shardOutlook(sources, around, one, most))
    yield
  }
  const { peers, copyBytesPerSecond, besideMs } = around
  const costs = peers.flatMap(({ linkCost }) => (linkCost === 'never' ? [] : [linkCost]))
  const thresholds = peers.flatMap(({ threshold }) => threshold ?? [])
  return {
    nowMs: sources.clock.now(),
    node,
    shards,
    settings: sources.settings(),
    past: sources.past.history,
    linkCost: costs.length === 0 ? 0 : Math.min(...costs),
    copyBytesPerSecond,
    besideMs,
    // They were left out of the chunks of each shard.
    underWay: [],
    refused: around.refused,
    refusedAtHome: around.refusedAtHome,
    mostChunks: around.mostChunks,
    ...(thresholds.length > 0 && { greatestThreshold: Math.max(...thresholds) })
  }
}

function aheadOfKey(
  sources: Pick<LookSources, 'load' | 'longer' | 'pressure' | 'clock' | 'isReactive'>,
  key: string,
  minutes: number,
  most?: number
): Ahead | undefined {
  const { load, longer, pressure, clock } = sources
  if (sources.isReactive === true) {
    const now = key === NODE_KEY ? pressure.node : loadOf(load.recent(key))
    return { path: unchanged(now, clock.now(), minutes) }
  }
  const published = load.forecast(key)
  const standing = published && standingPath(published, most)
  if (standing === undefined) return undefined
  const long = longer.path(key, DAY_MINUTES)
  return aheadOf(standing, long && most !== undefined ? cutPath(long, most) : long, minutes)
}

interface Found {
  readonly head: ShardHead
  readonly ahead: Ahead
}

/** Those with the greatest peaks to come, or loads of now. */
function busiest(sources: LookSources): Found[] {
  const { store, settings, load } = sources
  const peaks = store.shards().flatMap(head => {
    if (head.runs.length === 0) return []
    const { q90 = 0 } = load.forecast(head.spec.id)?.bands.at(-1) ?? {}
    return [{ head, peak: Math.max(q90, loadOf(load.recent(head.spec.id))) }]
  })
  return peaks
    .sort((a, b) => b.peak - a.peak)
    .slice(0, MAX_LOOKED_SHARDS)
    .flatMap(({ head }) => {
      const view = sources.map.volume(head.spec.id)
      const minutes = view?.policy.horizonMinutes ?? settings().horizonMinutes
      const far = Math.max(minutes, STANDING_MINUTES)
      const known = aheadOfKey(sources, head.spec.id, far, mostOf(view))
      const ahead = known ?? asNow(sources, head.spec.id)
      return ahead === undefined ? [] : [{ head, ahead }]
    })
}

/** The policy looks at each of them in each step: the plan is one piece of work in this thread. */
function chunksEach(found: readonly Found[]): number {
  const steps = found.reduce((sum, { ahead }) => sum + ahead.path.expected.length, 0)
  return Math.max(LEAST_LOOKED_CHUNKS, Math.floor(MAX_LOOKED_STEPS / Math.max(1, steps)))
}

/** What is too young to be foretold is taken to go on as it is. */
function asNow({ load }: LookSources, volume: VolumeId): Ahead | undefined {
  const now = loadOf(load.recent(volume))
  const node = load.forecast(NODE_KEY)
  if (node === undefined || now === 0) return undefined
  const steps = Array.from({ length: node.path.length }, () => now)
  const high = steps.map(expected => expected * YOUNG_SPREAD)
  return { path: { atMs: node.atMs, stepMs: node.stepMs, expected: steps, high } }
}

/** A request weighs more than one unit if it is long: the limit is of requests, and says the least. */
function mostOf(view: VolumeView | undefined): number | undefined {
  return view?.policy.maxIops === undefined ? undefined : view.policy.maxIops * LIMITED_UNITS
}

function shardOutlook(
  sources: LookSources,
  { busy, offered, peers }: Surroundings,
  { head, ahead: { path, day } }: Found,
  most: number
): ShardOutlook {
  const { load, map, shards, store } = sources
  const volume = head.spec.id
  const view = map.volume(volume)
  const settings = view?.policy ?? { isOn: true }
  const parts = shards.replicas.sharesIn(volume, new Date(peakMs(path)).getUTCHours())
  const chance = load.forecast(volume)?.chance
  const rttMs = roundTripMs(sources.network, view)
  const homeRttMs = homeRoundTripMs(peers, view, sources)
  return {
    volume,
    load: loadOf(load.recent(volume)),
    path,
    ...(chance !== undefined && { chance }),
    chunks: settings.isOn ? chunksOf(head, { store, parts, busy: busy(volume), most }) : [],
    settings,
    offered: offered(volume),
    ...(day !== undefined && { day }),
    ...(rttMs !== undefined && { rttMs }),
    ...(homeRttMs !== undefined && { homeRttMs })
  }
}
