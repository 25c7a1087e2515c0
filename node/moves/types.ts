/** Moves as the daemon and its control API see them. Plain types; see moves.ts. */
import type { MoveReason, Want } from '../../protocols/balance/types.ts'
import type { ChunkKey, NodeId, VolumeId } from '../../protocols/ids.ts'
import type {
  DrainPurpose,
  DrainStatus,
  Move,
  MovesAnswer,
  Selection
} from '../../protocols/moves/messages.ts'
import type { Handoffs } from '../handoff/types.ts'
import type { ShardMap } from '../map/types.ts'
import type { Clock, Disk, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import type { SavedMove } from './open-move.ts'
import type { Pacer } from './pace.ts'
import type { ChunkRange } from './ranges.ts'

export interface HotChunk {
  readonly chunk: ChunkKey
  readonly perSecond: number
}

/** What moves are made of: the parts of a daemon with a store. */
export interface MovesParts {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Network
  readonly rpc: Rpc
  readonly map: ShardMap
  readonly store: Pick<ChunkStore, 'shards' | 'shard' | 'allocatedBytes'>
  /** The data directory, where moves.json is. */
  readonly disk: Disk
  readonly handoffs: Handoffs
  readonly pacer: Pacer
  /** The chunks of a volume here with the most requests, the hottest first. */
  readonly hottest: (volume: VolumeId, limit: number) => readonly HotChunk[]
  /**
   * The bound on copying that this start was told (bytes per second; null: none), instead of the
   * one that is kept.
   */
  readonly bound?: number | null | undefined
}

export interface MoveWish {
  readonly volume: VolumeId
  readonly to: NodeId
  readonly selection: Selection
  readonly why: string
}

/** Why a node moves something by itself. */
export type OrderReason = Want['reason']

/** A move that was negotiated with its target: exactly these chunks, under this id. */
export interface MoveOrder {
  /** 12 hex digits. */
  readonly id: string
  readonly volume: VolumeId
  readonly to: NodeId
  readonly chunks: readonly ChunkKey[]
  /** What they take, about. */
  readonly bytes: number
  readonly reason: OrderReason
  readonly why: string
}

/** Told of every move of this node; must not throw. */
export interface MovesWatcher {
  /** Durably queued. */
  readonly started: (move: Move, reason: MoveReason, ranges: readonly ChunkRange[]) => void
  readonly ended: (move: Move, reason: MoveReason, ranges: readonly ChunkRange[]) => void
}

export type MovesList = Omit<Extract<MovesAnswer, { is: 'moves' }>, 'is'>

/** The moves of which this node is the source. All throw ShoalError. */
export interface Moves {
  /** Durably queued when it resolves. */
  start: (wish: MoveWish) => Promise<Move>
  /**
   * The same for a negotiated move. CONFLICT if a chunk is not held or is being moved already, or
   * while the node is drained.
   */
  order: (order: MoveOrder) => Promise<Move>
  /** Negotiated moves that have not ended. */
  ordered: () => readonly SavedMove[]
  /** Chunks of the volume that open moves have. */
  busy: (volume: VolumeId) => readonly ChunkRange[]
  /** From now on. */
  watch: (watcher: MovesWatcher) => void
  list: (ended: number) => MovesList
  cancel: (id: string) => Promise<Move>
  /** Durable; null: no bound. */
  setBound: (bytesPerSecond: number | null) => Promise<void>
  /** Refuses with NO_CAPACITY if the other nodes have no room; durable when it resolves. */
  drain: (purpose: DrainPurpose) => Promise<DrainStatus>
  /** Calls the drain off; what has gone stays where it is. */
  undrain: () => Promise<DrainStatus>
  drainStatus: () => DrainStatus
  /** Undefined: this node takes new chunks. */
  draining: () => DrainPurpose | undefined
  /** What a person should know, in words. */
  problems: () => string[]
  /** Calls off what is in flight; the next start goes on with it. */
  close: () => Promise<void>
}
