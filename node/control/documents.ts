/**
 * The documents that the control API answers: plain JSON, described in docs/control-api.md. Sizes in
 * bytes, times in wall milliseconds since 1970, durations in milliseconds.
 */
import type { Role } from '../../crdt/types.ts'
import type { LinkCost } from '../../protocols/balance/links.ts'
import type { VolumeBalance } from '../../protocols/balance/types.ts'
import type { HandoffId, Incarnation, NodeId, Token, VolumeId } from '../../protocols/ids.ts'
import type { Quiet } from '../../protocols/layout/quiet.ts'
import type { DrainPurpose, DrainStatus, Move } from '../../protocols/moves/messages.ts'
import type { Load } from '../../protocols/node-status/messages.ts'
import type { ChunkRange } from '../moves/ranges.ts'
import type { ExportPoint } from '../volumes/types.ts'
import type { ReceiptDocument } from './balance-documents.ts'
import type { PatternDocument } from './load-documents.ts'

export interface SelfDocument {
  readonly id: NodeId
  readonly name: string
  readonly region: string
  readonly host: string
  readonly role: Role
  readonly mesh: string
  readonly dir: string
  readonly version: string
  readonly pid: number
  readonly startedAt: number
  readonly addresses: readonly string[]
  readonly certificateExpiresAt: number
  /** So many times as fast as time goes the clock of load and balancing: only in a demo, or a test. */
  readonly loadRate?: number
}

export interface NodeDocument {
  readonly id: NodeId
  readonly name: string
  readonly region: string
  readonly host: string
  readonly role: Role
  readonly version: string
  /** The node that answers. */
  readonly isSelf: boolean
  readonly connected: boolean
  /** Absent if it never was, or is connected now. */
  readonly lastSeenAt?: number
  readonly roundTripMs?: number
  /** Since it said the load that is known of it here by gossip; absent: it never did. */
  readonly sampleAgeMs?: number
  readonly incarnation: Incarnation
  readonly capacityBytes: number
  /** The rest is absent while the node cannot be asked. */
  readonly usedBytes?: number
  readonly availableBytes?: number
  readonly shardCount?: number
  readonly chunkCount?: number
  /** Set while it is emptied on purpose. */
  readonly draining?: DrainPurpose
  readonly uptimeMs?: number
  readonly load?: Load
  /** What it serves at most, if that is bounded; units per second. */
  readonly maxLoad?: number
  /** Units per second that it can do within that, and the part of it that the load takes; once known. */
  readonly capacity?: number
  readonly share?: number
}

/**
 * - attached: a gateway serves it
 * - free: nobody does
 * - unknown: its document is not here, or the gateway that had it cannot be asked
 */
export type VolumeState = 'attached' | 'free' | 'unknown'

export interface VolumeSummary {
  readonly id: VolumeId
  readonly name: string
  readonly state: VolumeState
  /** Absent while the volume's document cannot be had. */
  readonly sizeBytes?: number
  readonly columns?: number
  readonly stripeUnitBytes?: number
  /** On the nodes that answered. */
  readonly allocatedBytes: number
  readonly load: Load
  /** Where it is attached, or was last. */
  readonly host?: string
  readonly node?: NodeId
  readonly since?: number
  /** Nodes with shards of it that are not connected. */
  readonly missingNodes: readonly string[]
}

export interface StatusDocument {
  readonly mesh: string
  readonly problems: readonly string[]
  readonly self: SelfDocument
  readonly capacityBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
  readonly load: Load
  /** Sorted by region, then by name. */
  readonly nodes: readonly NodeDocument[]
  readonly volumes: readonly VolumeSummary[]
  readonly map: {
    readonly documents: number
    readonly bytes: number
    readonly lastSyncAgoMs?: number
  }
}

export interface ShardDocument {
  readonly node: NodeId
  readonly name: string
  readonly region: string
  /** What the shard answered, or why not, in words. */
  readonly state: 'held' | 'absent' | 'removed' | 'unreachable'
  readonly why?: string
  readonly columns: readonly number[]
  /** Held here, and which; on their way here. */
  readonly chunks?: number
  readonly ranges?: readonly ChunkRange[]
  readonly receiving?: number
  readonly allocatedBytes?: number
  readonly token?: Token
  readonly incarnation?: Incarnation
  readonly holderHost?: string
  readonly holderSilentMs?: number
}

/** A node that was considered for a new volume. */
export interface PlaceDocument {
  readonly id: NodeId
  readonly name: string
  readonly region: string
  /** To where the volume is wanted, if it was measured. */
  readonly distanceMs?: number
  readonly availableBytes: number
  /** Of the node when the volume is busy, within the next day; absent: nothing is known. */
  readonly forecast?: Quiet
}

export interface CreatedDocument {
  readonly id: VolumeId
  readonly name: string
  readonly sizeBytes: number
  readonly columns: number
  readonly stripeUnitBytes: number
  /** In order of columns. */
  readonly nodes: readonly PlaceDocument[]
  /** Who would have been chosen but for their forecasts. */
  readonly passedOver: readonly PlaceDocument[]
  readonly warnings: readonly string[]
}

export interface VolumeDocument extends VolumeSummary {
  readonly createdAt: number
  readonly extentBytes: number
  readonly copies: number
  readonly generation: number
  readonly expectedIops?: number
  readonly near?: string
  /** In which its days and the times of its patterns are read. */
  readonly zone: string
  readonly patterns: readonly PatternDocument[]
  /** What people set for its balancing. */
  readonly policy: VolumeBalance
  readonly shards: readonly ShardDocument[]
  /** Where NBD clients of this host find it. */
  readonly export?: ExportPoint & { readonly connections: number }
}

/** Units per second; null: no limit. */
export interface NodeLimitDocument {
  readonly maxLoad: number | null
  /** From the next start on. */
  readonly kept: number | null
}

export interface LinksDocument {
  /** Of the mesh as it is now. */
  readonly regions: readonly string[]
  /** Those that differ from the defaults: between two regions, and within one. */
  readonly links: readonly LinkCost[]
  readonly between: number
  readonly within: number
}

export interface MoveDocument extends Move {
  readonly volumeName: string
  readonly fromName: string
  readonly toName: string
  /** What it was decided on, and what became of it; absent: nobody who answered keeps one. */
  readonly receipt?: ReceiptDocument
  /** Its source did not answer: this is what its target keeps of it. */
  readonly fromReceipt?: true
}

export interface MovesDocument {
  readonly moves: readonly MoveDocument[]
  /** Of the node that was asked: wall ms of its load time, and its time zone. */
  readonly at: number
  readonly zone: string
  /** The storage nodes that answered. */
  readonly nodes: ReadonlyArray<{
    readonly node: NodeId
    readonly name: string
    /** What copying may use at most, and may use now; bytes per second, null: no bound. */
    readonly bound: number | null
    readonly rate: number | null
    readonly drain: DrainStatus
  }>
  /** Names of those that did not. */
  readonly silent: readonly string[]
}

export interface DrainDocument {
  readonly node: NodeId
  readonly name: string
  readonly drain: DrainStatus
}

/** A handoff that had not come to its end when its node was given up. */
export interface HandoffDocument {
  readonly is: 'prepared' | 'copying' | 'released'
  readonly handoff: HandoffId
  readonly volume: VolumeId
  readonly volumeName: string
  readonly extent: number
  readonly column: number
  readonly source: string
  readonly target: string
  /** Once the node is given up. */
  readonly outcome?: 'granted' | 'by-itself' | 'refused'
  readonly why?: string
}

export interface GiveUpDocument {
  readonly node: NodeId
  readonly name: string
  readonly isRevoked: boolean
  readonly connected: boolean
  /** What exists only there. */
  readonly losses: ReadonlyArray<{
    readonly volume: VolumeId
    readonly name: string
    readonly chunks: number
    readonly mostBytes: number
  }>
  /** Volumes that could not be looked at, that are attached there, and nodes that did not answer. */
  readonly unknown: readonly string[]
  readonly attached: readonly string[]
  readonly silent: readonly string[]
  readonly handoffs: readonly HandoffDocument[]
}
