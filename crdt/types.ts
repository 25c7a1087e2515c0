/**
 * What the shard map says, as plain values: the views that the rest of Shoal reads. The documents
 * behind them (mesh-document.ts, volume-document.ts) are nobody else's business.
 *
 * A view announces; the shards enforce (design.md rule 2). Nothing may be deleted, and no write
 * sent, because of a view alone.
 */
import type { LinkCost } from '../protocols/balance/links.ts'
import type { VolumeBalance } from '../protocols/balance/types.ts'
import type {
  Incarnation,
  NodeId,
  PlacementEpoch,
  Token,
  VolumeId,
  VolumeSpec
} from '../protocols/ids.ts'

export type Role = 'admin' | 'node'

/** What a node says of itself; written by that node alone, at each start and when it changes. */
export interface NodeEntry {
  readonly id: NodeId
  readonly name: string
  readonly region: string
  readonly host: string
  readonly role: Role
  /** 0: a gateway or witness that holds no shards. */
  readonly capacityBytes: number
  /** Multiaddrs without the peer id. */
  readonly addresses: readonly string[]
  /** Under ZERO_NONCE if two copies of the node's store made this start: neither is believed. */
  readonly incarnation: Incarnation
  /** Version of the Shoal that runs there. */
  readonly version: string
  /** Set when the node left on purpose: it is no member any more. Wall ms. */
  readonly leftAt?: number
}

/** One line of the directory of volumes. */
export interface DirectoryEntry {
  readonly id: VolumeId
  readonly name: string
  /** Version of the name: (counter, node that set it); the greatest wins. */
  readonly namedAt: { readonly counter: number; readonly by: NodeId }
  readonly createdAt: number
}

export interface Tombstone {
  readonly id: VolumeId
  readonly token: Token
  /** Wall ms. */
  readonly at: number
}

export interface MeshView {
  readonly nodes: ReadonlyMap<NodeId, NodeEntry>
  /** Live volumes: in the directory and not under a tombstone. */
  readonly volumes: ReadonlyMap<VolumeId, DirectoryEntry>
  /** Names that more than one live volume holds; such a name resolves to none of them. */
  readonly ambiguousNames: ReadonlyMap<string, readonly VolumeId[]>
  readonly tombstones: ReadonlyMap<VolumeId, Tombstone>
  /** Signed revocations by peer, opaque here (protocols/admission checks them). */
  readonly revocations: ReadonlyMap<NodeId, Uint8Array>
  /** Pairs of regions whose cost differs from the default; see `linkFactor`. */
  readonly links: readonly LinkCost[]
}

/** A column of a layout generation: node that holds it unless a claim says otherwise. */
export interface LayoutRun {
  readonly from: number
  readonly to: number
  readonly generation: number
  /** nodes[column][replica] */
  readonly nodes: ReadonlyArray<readonly NodeId[]>
  readonly epoch: PlacementEpoch
}

export interface PlacementClaim {
  readonly extent: number
  readonly generation: number
  readonly column: number
  readonly replica: number
  readonly epoch: PlacementEpoch
  readonly node: NodeId
}

/** Load that people know in advance. `when` is read in the volume's zone. */
export interface DeclaredPattern {
  /** `mon-fri 02:00` */
  readonly when: string
  readonly minutes: number
  /** On top of what there is anyway; at least one of the two is more than 0. */
  readonly iops: number
  readonly bytesPerSecond: number
}

export interface PatternEntry extends DeclaredPattern {
  /** Follows from what it says: 16 hex digits. */
  readonly id: string
}

export interface VolumeView {
  readonly spec: VolumeSpec
  /** The size claim with the greatest epoch. */
  readonly sizeBytes: number
  readonly sizeEpoch: PlacementEpoch
  readonly layout: readonly LayoutRun[]
  /** Highest claim per chunk replica; empty for a volume that never moved. */
  readonly claims: readonly PlacementClaim[]
  /** Last announced attach, for people; the shards know better. */
  readonly holder:
    | { readonly token: Token; readonly node: NodeId; readonly since: number }
    | undefined
  readonly expectedIops: number | undefined
  readonly near: string | undefined
  /** Named by whoever made or changed it; this node's zone data may not know it. */
  readonly zone: string | undefined
  /** In order of their ids, at most MAX_PATTERNS. */
  readonly patterns: readonly PatternEntry[]
  /** What people set for its balancing; all as its nodes say if nobody set anything. */
  readonly policy: VolumeBalance
}
