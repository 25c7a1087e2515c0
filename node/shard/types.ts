/** The shard server as the daemon and the gateway see it. Implemented by server.ts. */
import type { NodeId, VolumeId } from '../../protocols/ids.ts'
import type { ControlAnswer, ControlRequest } from '../../protocols/shard-control/messages.ts'
import type { Answer, Request } from '../../protocols/shard-io/messages.ts'

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
  volumes: () => VolumeId[]
  stats: () => ShardServerStats
  /** Closes every connection, and resolves when the store has settled what had begun. */
  close: () => Promise<void>
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
