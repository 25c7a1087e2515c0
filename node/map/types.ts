/** The shard map as the daemon uses it: views to read, announcements to make, changes to follow. */
import type {
  DeclaredPattern,
  MeshView,
  NodeEntry,
  PlacementClaim,
  Tombstone,
  VolumeView
} from '../../crdt/types.ts'
import type { LinkFactor } from '../../protocols/balance/links.ts'
import type { VolumeBalance } from '../../protocols/balance/types.ts'
import type { NodeId, PlacementEpoch, Token, VolumeId, VolumeSpec } from '../../protocols/ids.ts'

export interface NewVolume {
  readonly spec: VolumeSpec
  readonly name: string
  readonly sizeBytes: number
  /** nodes[column][replica] */
  readonly nodes: ReadonlyArray<readonly NodeId[]>
  readonly epoch: PlacementEpoch
  readonly expectedIops: number | undefined
  readonly near: string | undefined
  /** Time zone of declared patterns; absent: none is said. */
  readonly zone?: string | undefined
  /** Absent: as its nodes say. */
  readonly policy?: VolumeBalance | undefined
}

export interface ShardMap {
  mesh: () => MeshView
  /** The volume's view if its document is here; see `fetchVolume`. */
  volume: (id: VolumeId) => VolumeView | undefined
  /** Makes the volume's document present and current with at least one peer that has it. */
  fetchVolume: (id: VolumeId, options?: { timeoutMs?: number }) => Promise<VolumeView>
  /** True once one of `peers` has the document and the directory that names it; false if late. */
  spread: (
    id: VolumeId,
    peers: readonly NodeId[],
    options: { timeoutMs: number }
  ) => Promise<boolean>
  /** The id behind a name or id text. Throws NOT_FOUND or NAME_AMBIGUOUS. */
  resolve: (nameOrId: string) => VolumeId

  announceNode: (entry: NodeEntry) => void
  announceVolume: (volume: NewVolume) => void
  rename: (id: VolumeId, name: string) => void
  announceSize: (id: VolumeId, sizeBytes: number, epoch: PlacementEpoch) => void
  /** Adds or replaces the layout of extents [from, to), as a claim at `epoch`. */
  announceLayout: (
    id: VolumeId,
    run: {
      from: number
      to: number
      nodes: ReadonlyArray<readonly NodeId[]>
      epoch: PlacementEpoch
    }
  ) => void
  /** Who holds these chunks now; says what the volume is, too, if the map does not know it. */
  announceClaims: (spec: VolumeSpec, sizeBytes: number, claims: readonly PlacementClaim[]) => void
  announceHolder: (id: VolumeId, token: Token, node: NodeId, since: number) => void
  /** Declares a pattern of load; one that was removed is there again. */
  announcePattern: (id: VolumeId, declared: DeclaredPattern) => void
  /** Removes what `patternId` of a declared pattern names; nothing if it is not declared. */
  announcePatternRemoval: (id: VolumeId, pattern: string) => void
  announceZone: (id: VolumeId, zone: string) => void
  /** Replaces all that was set for its balancing. */
  announcePolicy: (id: VolumeId, policy: VolumeBalance) => void
  /** Cost of moving between two regions, or within one; undefined: the default again. */
  announceLink: (one: string, other: string, factor: LinkFactor | undefined) => void
  announceDelete: (tombstone: Tombstone) => void
  announceRevocation: (peer: NodeId, signed: Uint8Array) => void

  onMesh: (listener: (view: MeshView) => void) => void
  onVolume: (listener: (id: VolumeId, view: VolumeView) => void) => void
  /** Counters for status: documents, bytes, bad updates dropped (by peer), last sync (mono ms). */
  stats: () => MapStats
  /** Resolves once everything announced so far is in the durable log. */
  flush: () => Promise<void>
  close: () => Promise<void>
}

export interface MapStats {
  readonly documents: number
  readonly bytes: number
  readonly badUpdates: ReadonlyMap<NodeId, number>
  readonly lastSyncAgoMs: number | undefined
}
