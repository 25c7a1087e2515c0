/**
 * What a running daemon gives its control API (node/control) and its volume operations
 * (node/volumes): the parts, already wired, behind plain types. node/daemon.ts builds it, tests
 * build it from in-memory parts.
 *
 * Nothing here is on the data path. Whatever a person asks for arrives through these operations.
 */
import type { Role } from '../../crdt/types.ts'
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { Balance } from '../balance/types.ts'
import type { Gateway } from '../gateway/types.ts'
import type { Calibration } from '../load/calibrate.ts'
import type { Load } from '../load/load.ts'
import type { NodeLimit } from '../load/node-limit.ts'
import type { ShardMap } from '../map/types.ts'
import type { GiveUpSettlers } from '../moves/give-up.ts'
import type { Moves } from '../moves/types.ts'
import type { Clock, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { AttachmentList, ExportService } from '../volumes/types.ts'

export type { ExportPoint, ExportService } from '../volumes/types.ts'

export interface DaemonContext {
  readonly self: SelfInfo
  readonly clock: Clock
  /** What load and balancing go by; the same, but in the demo and in tests. */
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Network
  readonly rpc: Rpc
  readonly map: ShardMap
  readonly gateway: Gateway
  /** Absent on a node without capacity. */
  readonly store: ChunkStore | undefined
  /** What is measured and foretold here, and known of others. */
  readonly load: Load
  /** How long a node may take to foretell its next day for a new volume. */
  readonly outlookTimeoutMs?: number | undefined
  /** Absent on a node without capacity: nothing can move from there. */
  readonly moves?: Moves | undefined
  /** Absent on a node without capacity: nothing of its own accord either. */
  readonly balance?: Balance | undefined
  /** Absent on a node without capacity: there is nothing to measure. */
  readonly calibration?: Calibration | undefined
  /** What is served at most; absent on a node without capacity. */
  readonly limit?: NodeLimit | undefined
  /** What settles open handoffs of a node that is given up, where no gateway can. */
  readonly settlers?: GiveUpSettlers | undefined
  readonly members: MemberOperations
  readonly exports: ExportService
  /** Where the attached volumes are kept across restarts: `openAttachmentFile` of node/volumes. */
  readonly savedAttachments: AttachmentList | undefined
  /** Work done by each local shard since the daemon started; only grows. */
  readonly shardCounters: () => readonly ShardCounters[]
  /** What is wrong here, in words for a person, the worst first. Empty when all is well. */
  readonly problems: () => readonly string[]
  /** Wall ms at which a peer that is not connected was last connected; undefined if never. */
  readonly lastSeen: (peer: NodeId) => number | undefined
  /**
   * Announces that this node left the mesh, notes it durably in the data directory so that the
   * daemon refuses to start from it again. The caller has checked that nothing is held here, and
   * asks for the shutdown.
   */
  readonly leave: () => Promise<void>
  /** Begins a clean stop of the daemon; returns at once. */
  readonly shutdown: (reason: string) => void
}

export interface SelfInfo {
  readonly id: NodeId
  readonly name: string
  readonly region: string
  readonly host: string
  readonly role: Role
  /** Identity of the mesh, as its people see it (a short text made from the mesh key). */
  readonly mesh: string
  /** The data directory, absolute. */
  readonly dir: string
  readonly version: string
  readonly startedAt: number
  /** Where this node listens: multiaddrs without the peer id. */
  readonly addresses: () => readonly string[]
}

export interface Invite {
  /** One line of text to paste after `shoal join`. */
  readonly token: string
  readonly expiresAt: number
}

/** Wired to node/members. All throw ShoalError NOT_ADMIN on a node that is no admin. */
export interface MemberOperations {
  createInvite: (options: { role: Role; validMs: number }) => Promise<Invite>
  /**
   * Signs, stores and spreads the revocation and cuts the peer off. The check that no data is
   * lost has been made by the caller.
   */
  revoke: (peer: NodeId) => Promise<void>
  /** This node's own certificate: expiry in wall ms. */
  certificate: () => { readonly role: Role; readonly expiresAt: number }
}

export interface ShardCounters {
  readonly volume: VolumeId
  readonly readOperations: number
  readonly writeOperations: number
  readonly readBytes: number
  readonly writtenBytes: number
}
