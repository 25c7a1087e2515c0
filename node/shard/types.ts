/** The shard server as the daemon and the gateway see it. Implemented by server.ts. */
import type { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'
import type { ChunkKey, HandoffId, NodeId, VolumeId } from '../../protocols/ids.ts'
import type { HeatState } from '../../protocols/load/heat.ts'
import type { ShardHead } from '../../protocols/shard-control/grants.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import type { Answer, Request } from '../../protocols/shard-io/messages.ts'
import type { ClientLoad } from './client-load.ts'
import type { ChunkHeat } from './heat.ts'
import type { ChunkShare } from './heat-share.ts'
import type { LoadMonitor } from './monitor.ts'

export interface ShardServer {
  /**
   * A connection of this very process: the same messages, order and refusals as a stream of
   * shard-io, without encoding. Begin it with a hello.
   */
  connectLocal: () => LocalConnection
  /** What shard-control answers to `from`, or to this node itself. Never rejects. */
  control: (request: ControlRequest, from?: NodeId) => Promise<ControlAnswer>
  /** Answers nothing but refusals from now on: the store is a copy, or was restored. */
  quarantine: (why: string) => void
  /** Units per second (protocols/load/record.ts) that are begun at most; undefined: no limit. */
  limitLoad: (unitsPerSecond: number | undefined) => void
  volumes: () => VolumeId[]
  /** For what moves chunks from and to this node. */
  readonly replicas: ReplicaDesk
  /** What the shards were asked; a driver turns it once a second. */
  readonly monitor: LoadMonitor
  stats: () => ShardServerStats
  /** Closes every connection, and resolves when the store has settled what had begun. */
  close: () => Promise<void>
}

/** Function calls for the handoff drivers of this node. Implemented by replicas.ts. */
export interface ReplicaDesk {
  /** The durable head, as it is in force. */
  head: (volume: VolumeId) => ShardHead | undefined
  /**
   * In the volume's turn, so that no grant, growth or removal comes between: `decide` (pure) makes
   * the next head of the present one. Words refuse and change nothing; the same object back changes
   * nothing either; another one is saved durably, then in force, then answered. A volume without a
   * shard here gains one. Words of its own: `removed`, the node is full, or out of service. Rejects
   * if the head cannot be saved, and nothing is in force.
   */
  update: (
    volume: VolumeId,
    decide: (head: ShardHead | undefined) => ShardHead | string
  ) => Promise<ShardHead | string>
  /**
   * Erases (by the caller's means, durably) a shard whose head is empty, in the volume's turn, and
   * closes its streams. Undefined: it is gone; else words say why not. Rejects as `erase` does.
   */
  forget: (volume: VolumeId, erase: () => Promise<void>) => Promise<string | undefined>
  /** Until every handoff that froze the chunk has thawed it, its changes are answered BUSY. */
  freeze: (chunk: ChunkKey, handoff: HandoffId) => void
  thaw: (chunk: ChunkKey, handoff: HandoffId) => void
  /**
   * From this call on, every change of the chunk marks its blocks in the step in which the store
   * gets it, just before. One tracker per chunk, until `close`. Undefined: the chunk is not held.
   */
  track: (chunk: ChunkKey) => DirtyBlocks | undefined
  /** Resolves when every request of the volume that had begun before the call has settled. */
  settled: (volume: VolumeId) => Promise<void>
  /** Over all clients, since the start of the server. */
  clientLoad: () => ClientLoad
  /** Held chunks that are asked most often, by requests per second, the hottest first. */
  hottest: (volume: VolumeId, limit: number) => ChunkHeat[]
  /** Mean load by UTC hour of the day, if the chunk is among the hottest of this node. */
  profileOf: (chunk: ChunkKey) => HeatState['profile']
  /** Which part of its shard's load the chunk is; ask before its heat is taken. */
  shareOf: (chunk: ChunkKey) => ChunkShare
  /** The same of every held chunk of which anything is known, in one UTC hour of the day; most first. */
  sharesIn: (volume: VolumeId, hour: number) => ChunkPart[]
  /** The heat of a chunk that leaves, to be given where it is held from now on. */
  takeHeat: (chunk: ChunkKey) => HeatState | undefined
  /** The heat of a chunk that came here. False: it is no such state, or its shard is not here. */
  giveHeat: (chunk: ChunkKey, state: unknown) => boolean
}

/** A chunk, and which part of its shard's load it is: 0 to 1. */
export interface ChunkPart {
  readonly chunk: ChunkKey
  readonly share: number
}

/** Answers never arrive inside `send`; one listener of each kind. */
export interface LocalConnection {
  /**
   * `request.data` is kept by reference: never reuse it. False: the queue is long, wait for
   * answers; far beyond that, requests are answered BUSY.
   */
  send: (request: Request) => boolean
  onAnswer: (listener: (answer: Answer) => void) => void
  /** Once; `reason` is absent after `close`. */
  onClose: (listener: (reason?: Error) => void) => void
  close: () => void
}

/** Counters since the start of the server, and gauges of now. */
export interface ShardStats {
  readonly volume: VolumeId
  readonly readOperations: number
  readonly writeOperations: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly flushes: number
  /** Handed to the store and not answered. */
  readonly inFlight: number
  /** Received and not handed to the store. */
  readonly queued: number
  readonly allocatedBytes: number
  /** Since the holder was last heard; undefined without a holder. */
  readonly holderSilentMs: number | undefined
}

export interface ShardServerStats {
  readonly shards: readonly ShardStats[]
  readonly streams: number
  readonly inFlightRequests: number
  readonly inFlightBytes: number
  /** Frames and exchanges against the protocol, by the peer that sent them. */
  readonly violations: ReadonlyMap<NodeId, number>
  /** Why nothing is served (failed store, quarantine), or undefined. */
  readonly outOfService: string | undefined
}
