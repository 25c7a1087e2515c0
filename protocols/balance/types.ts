/**
 * What balancing by load speaks of: loads to come, what a node could move, and what was decided.
 * Plain values; all loads in the units of protocols/load/record.ts, per second.
 *
 * Invariant: nothing here names an instant that was not passed in.
 */
import type { ChunkKey, NodeId, VolumeId } from '../ids.ts'

/**
 * A load to come: the expected load and its high quantile (q90) of each step. The first step begins
 * at `atMs`; both lists are of one length.
 */
export interface LoadPath {
  readonly atMs: number
  readonly stepMs: number
  readonly expected: readonly number[]
  readonly high: readonly number[]
}

/** Of a chunk that could move. */
export interface ChunkLoad {
  readonly chunk: ChunkKey
  /** Part of its shard's load, 0 to 1. */
  readonly share: number
  /** Allocated: what has to be copied. */
  readonly bytes: number
}

/** What people set for a volume; absent: as its node says. */
export interface VolumeBalance {
  /** False: only people move it. */
  readonly isOn: boolean
  /** Where it may go; absent: everywhere. */
  readonly regions?: readonly string[]
  /** Round trip to its gateway that no place may exceed. */
  readonly maxRttMs?: number
  readonly horizonMinutes?: number
  /** Part of a node's capacity that its shard there may use. */
  readonly thresholdPart?: number
  /** Enforced at the gateway: so it bounds what any forecast can come to. */
  readonly maxIops?: number
  /** Moves, and bytes of them, that each of its nodes may begin within an hour by its own decision. */
  readonly movesPerHour?: number
  readonly bytesPerHour?: number
}

/** Moves, and bytes of them, that count against a budget. */
export interface Used {
  readonly moves: number
  readonly bytes: number
}

export interface ShardOutlook {
  readonly volume: VolumeId
  readonly load: number
  readonly path: LoadPath
  /** By trees: that an overload starts within the hour. */
  readonly chance?: number
  /** The hottest first; at most MAX_LOOKED_CHUNKS. */
  readonly chunks: readonly ChunkLoad[]
  readonly settings: VolumeBalance
  /** What of it is on offer: it counts as begun. */
  readonly offered?: Used
  /** The hours after the path, up to a day, if something foretells them. */
  readonly day?: LoadPath
  /** Round trip to the gateway of its volume, now. */
  readonly rttMs?: number
  /** The least that a peer with room has to that gateway. */
  readonly homeRttMs?: number
}

export interface NodeOutlook {
  readonly node: NodeId
  readonly region: string
  readonly host: string
  readonly load: number
  /** Units per second that it can do; undefined: no calibration and no limit said. */
  readonly capacity?: number
  /** Above it the node counts as overloaded. */
  readonly threshold: number
  /** With what it has promised to take, and without what it is giving away. */
  readonly path: LoadPath
  readonly chance?: number
  readonly freeBytes: number
  /** The hours after the path, up to a day, if something foretells them. */
  readonly day?: LoadPath
}

/** Why something moves, or should. */
export type MoveReason = 'predicted' | 'reactive' | 'home' | 'asked' | 'drain'

/** When, and by how much, a load exceeds a threshold if nothing is done. */
export interface Excess {
  readonly subject: 'node' | 'shard'
  readonly threshold: number
  /** First step whose high quantile is above; wall ms. */
  readonly highAtMs: number
  /** First step whose expected load is above. */
  readonly expectedAtMs?: number
  readonly expectedPeak: number
  readonly highPeak: number
  /** Expected load above the threshold, summed over the horizon: units (per second times seconds). */
  readonly volume: number
  /** Expected time above it within the horizon. */
  readonly overMs: number
  readonly horizonMs: number
}

/** A set of chunks of one volume that should leave this node. */
export interface Want {
  readonly volume: VolumeId
  readonly reason: 'predicted' | 'reactive' | 'home'
  readonly chunks: readonly ChunkLoad[]
  readonly bytes: number
  /** Of these chunks alone. */
  readonly path: LoadPath
  readonly excess: Excess | undefined
  /** Excess volume that goes away if they go, weighted by the band; and what moving costs; units. */
  readonly benefit: number
  readonly cost: number
  /** From the want until the load has moved. */
  readonly copyMs: number
  /** Its load in the hours after the path. */
  readonly day?: LoadPath
}

/** What a node answers to an offer. */
export interface BidFigures {
  /** The least of threshold minus predicted high quantile, over the horizon, with the new load. */
  readonly headroom: number
  /** Expected excess volume that the new load adds there. */
  readonly addedExcess: number
  readonly freeBytes: number
  /** To the volume's gateway; absent: not measured. */
  readonly rttMs?: number
}
