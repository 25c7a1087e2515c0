/**
 * One request of the gateway to one shard, from its making until it is settled. The link that
 * carries it decides nothing about it but when it is sent, sent again, or given up.
 */
import type { ChunkKey, PlacementEpoch } from '../../protocols/ids.ts'
import type { Answer, Op } from '../../protocols/shard-io/messages.ts'
import type { ShardLink } from './shard-link.ts'

export interface LinkRequest {
  readonly op: Op
  readonly flags: number
  readonly chunk: ChunkKey
  epoch: PlacementEpoch
  readonly offsetBytes: number
  readonly lengthBytes: number
  readonly crcs: Uint32Array
  readonly data: Uint8Array
  /** Monotonic ms. */
  readonly startedAt: number
  /** Session of the link in which it was last sent and not answered; 0 if there is none. */
  sentSession: number
  /** Where it was last submitted, for those that may be asked again elsewhere. */
  link?: ShardLink | undefined
  /** Hello, ping and replay: dropped with the connection, not sent again. */
  readonly isOfConnection?: boolean
  /** Just before it is handed to the connection, each time. */
  sending?: () => void
  /** Status ok. Once, and never after `failed`. */
  answered: (answer: Answer) => void
  /**
   * It is given up. `mayStillApply`: the shard may have it and apply it later; the link calls
   * `expired` as soon as that is no longer possible.
   */
  failed: (error: Error, mayStillApply: boolean) => void
  expired?: () => void
}

export const NO_CRCS: Uint32Array = new Uint32Array(0)
export const NO_DATA: Uint8Array = new Uint8Array(0)
